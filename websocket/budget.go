package websocket

import (
	"sync"
	"sync/atomic"
)

// How full the budget is when something is done about it, in percent.
const (
	newcomersLevel = 80  // over it nobody else is let in
	relievedLevel  = 85  // down to it connections are shed
	shedLevel      = 90  // over it that begins
	messagesLevel  = 95  // over it a message that needs room costs its sender the connection
	outboxLevel    = 100 // over it a message that has to wait costs its receiver the connection

	// leavingLevel is where connections being shed count as well, for newcomers
	// and messages: some wait for PHP, which may take its time.
	leavingLevel = 150
)

// A budget bounds the memory that the queues of all connections hold
// together. Over it the connections that hold most have to go, for they are the
// ones whose going helps, and never one that holds little.
//
// A buffer that many connections hold, a message sent to all of them, is one
// buffer: it counts once in total, and fully for each of them in its account.
//
// To charge is a few atomic additions; only what a connection holds beyond its
// end costs a lock.
type budget struct {
	limit   atomic.Int64
	total   atomic.Int64
	leaving atomic.Int64 // the part of total held by connections being shed

	relieving atomic.Bool // somebody chooses who has to go

	mu   sync.Mutex     // guards what follows
	gone map[*Conn]bool // connections that have ended and hold something
}

// An account is what a connection holds, in bytes, and whether it is being shed.
// One number has both, so that each byte is counted as leaving or as staying and
// never as both. The parts of a connection charge independently, so that a sum
// may be below zero for a moment.
type account struct{ n atomic.Int64 }

const going = 1 << 62

func (a *account) load() (n int64, shed bool) { return split(a.n.Load()) }

func split(v int64) (n int64, shed bool) {
	if v > going/2 {
		return v - going, true
	}
	return v, false
}

// charge adds n bytes, which may be negative, to what c holds. It reports
// whether somebody has to go.
//
// What a connection being shed still holds counts no more for that: it is as
// good as free, and nobody else has to go for it. There is little of that: see
// crowded.
func (b *budget) charge(c *Conn, n int64) (strained bool) {
	if n == 0 {
		return false
	}
	// In an order in which what stays is never taken for less than it is, or
	// several who write at that time would find room that there is not.
	_, shed := split(c.holds.n.Add(n))
	if shed && n < 0 {
		b.leaving.Add(n)
	}
	b.total.Add(n)
	if shed && n > 0 {
		b.leaving.Add(n)
	}
	if readerState(c.reader.Load()) == ended {
		b.outlived(c)
	}
	return n > 0 && b.over(shedLevel)
}

// over reports whether what stays is more than that part of the limit.
func (b *budget) over(percent int64) bool {
	return (b.total.Load()-b.leaving.Load())*100 > b.limit.Load()*percent
}

// full reports whether nothing new is to be taken at that level.
func (b *budget) full(percent int64) bool {
	return b.over(percent) || b.total.Load()*100 > b.limit.Load()*leavingLevel
}

// choose marks c as one that has to go, which it is once.
func (b *budget) choose(c *Conn) (news bool) {
	for {
		v := c.holds.n.Load()
		n, shed := split(v)
		if shed {
			return false
		}
		if c.holds.n.CompareAndSwap(v, v+going) {
			b.leaving.Add(n)
			return true
		}
	}
}

// crowded reports whether connections being shed, c apart, hold more than a
// quarter of the limit.
func (b *budget) crowded(c *Conn) bool {
	n, _ := c.holds.load()
	return b.leaving.Load()-n > b.limit.Load()/4
}

// adjust adds n bytes to the total alone.
func (b *budget) adjust(n int64) { b.total.Add(n) }

// outlived keeps the books of connections that have ended: the loops know those
// no more. It is called after the end, and after each charge from then on.
func (b *budget) outlived(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, _ := c.holds.load(); n > 0 {
		b.gone[c] = true
	} else {
		delete(b.gone, c)
	}
}
