package websocket

import "sync"

// A budget bounds the memory that the queues of all connections hold
// together. Over it the connection that holds most has to go, for it is the
// one whose going helps, and never one that holds little.
//
// A buffer that many connections hold, a message sent to all of them, is one
// buffer: it counts once in total, and fully for each of them in held.
type budget struct {
	mu      sync.Mutex // guards what follows, and Conn.shed
	limit   int64
	total   int64
	leaving int64           // the part of total held by connections being shed
	held    map[*Conn]int64 // of connections that hold anything
}

// charge adds n bytes, which may be negative, to what c holds. If the budget
// is exceeded it returns the connection to shed, else nil.
//
// What a connection being shed still holds counts no more: it is as good as
// free, and nobody else has to go for it. There is little of that: see crowded.
func (b *budget) charge(c *Conn, n int64) (victim *Conn) {
	if n == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total += n
	if c.shed {
		b.leaving += n
	}
	// The parts of a connection charge independently, so that a sum may be
	// below zero for a moment.
	if held := b.held[c] + n; held != 0 {
		b.held[c] = held
	} else {
		delete(b.held, c)
	}
	if n < 0 || b.total-b.leaving <= b.limit {
		return nil
	}
	var most int64
	for c, held := range b.held {
		if held > most && !c.shed {
			victim, most = c, held
		}
	}
	if victim != nil {
		victim.shed = true
		b.leaving += most
	}
	return victim
}

// allow changes the limit.
func (b *budget) allow(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
}

// crowded reports whether connections being shed, c apart, hold more than a
// quarter of the limit.
func (b *budget) crowded(c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leaving-b.held[c] > b.limit/4
}

// adjust adds n bytes to the total alone.
func (b *budget) adjust(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total += n
}

func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}
