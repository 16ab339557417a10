package websocket

import "time"

// Who has moved muchWork or more of late is put off: it is served behind all
// others that the poller has reported, and after lateWork of that it is asked again.
// Many small messages are not to wait for a few large ones.
const (
	muchWork = 16 << 10  // bytes moved at the last visits: see turns.visited
	lateWork = 1 << 20   // bytes moved for those who are put off, in a turn, at least
	stint    = 256 << 10 // bytes moved for one of them before it is another's turn
	forget   = 100       // milliseconds without a visit, and it is as if nothing had been moved
)

// afresh is what a visit amounts to after which nothing can be said of the next.
const afresh = -1

// turns are whose turn it is among the tenants of a loop. One goroutine uses them.
type turns struct {
	late   []ticket // those who are put off, in the order in which they are served
	served int      // of late, and to be taken out
	known  []turn   // by slot; whoever has none has moved little
	now    uint32   // in milliseconds, and may wrap
}

// A turn is what is known of the tenant that had a slot last when it moved much.
type turn struct {
	generation uint32
	can        uint32 // what can be done with the socket of one that is put off; zero: it is not
	moved      uint32 // in bytes: at the last visit, half as much at the one before, and so on
	at         uint32 // of the last visit, in milliseconds
}

// begin begins a turn of the loop.
func (t *turns) begin(now int64) {
	t.now = uint32(now / int64(time.Millisecond))
	t.late = append(t.late[:0], t.late[t.served:]...)
	t.served = 0
}

// waiting is how many are put off.
func (t *turns) waiting() int { return len(t.late) - t.served }

// of is what is known of the tenant that k was given to; nil: nothing.
func (t *turns) of(k ticket) *turn {
	if int(k.slot) >= len(t.known) || t.known[k.slot].generation != k.generation {
		return nil
	}
	return &t.known[k.slot]
}

// putOff takes note of what can be done with the socket of k's tenant if it has
// moved much, and reports whether that is so.
func (t *turns) putOff(k ticket, can uint32) bool {
	r := t.of(k)
	switch {
	case r == nil:
		return false
	case r.can != 0:
		r.can |= can
		return true
	case r.moved < muchWork || t.now-r.at > forget:
		return false
	}
	r.can = can
	t.late = append(t.late, k)
	return true
}

// next takes out who is put off for longest; there is one.
func (t *turns) next() (k ticket, can uint32) {
	k = t.late[t.served]
	t.served++
	if r := t.of(k); r != nil { // else it has gone, and who has its slot now has moved much as well
		can, r.can = r.can, 0
	}
	return k, can
}

// visited takes note of how much a visit of k's tenant amounted to.
func (t *turns) visited(k ticket, work int) {
	r := t.of(k)
	switch {
	case r == nil && work < muchWork:
		return
	case r == nil:
		if more := int(k.slot) + 1 - len(t.known); more > 0 {
			t.known = append(t.known, make([]turn, more)...)
		}
		r = &t.known[k.slot]
		*r = turn{generation: k.generation}
	case work == afresh || t.now-r.at > forget:
		r.moved = 0
	}
	r.moved = r.moved/2 + uint32(max(work, 0))
	r.at = t.now
}
