package websocket

import "sync"

// A loop serves a share of the connections: one goroutine that waits for all
// of them, reads whichever has bytes, hands on what they say, and writes to
// whichever has room what waits for it.
type loop struct {
	server *Server
	poll   *poller // nil: a goroutine waits for each connection
	table  table[Conn]
	guests table[watch] // sockets of others
}

// run serves sockets until the poller is closed.
func (l *loop) run() {
	buf := make([]byte, readSize)
	ready := func(t ticket, can uint32) {
		if t.slot&guestSlot != 0 {
			t.slot &^= guestSlot
			if w := l.guests.find(t); w != nil {
				w.ready(buf)
			}
			return
		}
		c := l.table.find(t)
		if c == nil {
			return
		}
		if can&writable != 0 {
			c.flush()
		}
		if can&readable != 0 {
			c.read(buf)
		}
	}
	for l.poll.wait(ready) == nil {
	}
}

// A ticket names a connection in a table. It outlives the connection without
// harm: a slot's next tenant has another generation.
type ticket struct{ slot, generation uint32 }

// A table holds the connections of a loop, or what else it waits for.
type table[T any] struct {
	mu    sync.Mutex // guards what follows
	slots []slot[T]
	free  []uint32
}

type slot[T any] struct {
	c          *T // nil: free
	generation uint32
}

func (t *table[T]) add(c *T) ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) == 0 {
		t.free = append(t.free, uint32(len(t.slots)))
		t.slots = append(t.slots, slot[T]{})
	}
	n := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.slots[n].c = c
	return ticket{n, t.slots[n].generation}
}

func (t *table[T]) remove(k ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[k.slot] = slot[T]{generation: t.slots[k.slot].generation + 1}
	t.free = append(t.free, k.slot)
}

// find returns the connection that k was given to, or nil if it has gone.
func (t *table[T]) find(k ticket) *T {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(k.slot) >= len(t.slots) || t.slots[k.slot].generation != k.generation {
		return nil
	}
	return t.slots[k.slot].c
}

func (t *table[T]) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slots) - len(t.free)
}

// part appends to list the connections of one of several equal parts of the
// table, so that a walk over all of them never holds the lock for long.
func (t *table[T]) part(list []*T, i, parts int) []*T {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.slots[len(t.slots)*i/parts : len(t.slots)*(i+1)/parts] {
		if s.c != nil {
			list = append(list, s.c)
		}
	}
	return list
}
