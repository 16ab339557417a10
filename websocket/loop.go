package websocket

import (
	"runtime"
	"time"
)

// loopTurn is how long a loop that is never idle keeps from Go's scheduler. After
// 10 ms of that the runtime's monitor would take its processor away during some
// system call, and then look every 20 µs for a while whether there is more to take.
const loopTurn = 4 * time.Millisecond

// Who moved much at the last visit is served behind all who did not, and not for
// long: what a few large messages take is not to be waited for by many small ones.
const (
	muchWork = 16 << 10 // bytes moved at one visit
	lateWork = 1 << 20  // bytes moved for those who are put off, before it is looked for others
)

// A loop serves a share of the connections: one goroutine that waits for all
// of them, reads whichever has bytes, hands on what they say, and writes to
// whichever has room what waits for it.
type loop struct {
	server *Server
	poll   *poller // nil: a goroutine waits for each connection
	table  table

	// Of the loop's goroutine. A slot beyond putOff has nobody who is put off.
	late   []ticket // those who are put off, in the order in which they are served
	putOff []reported
}

// reported is what can be done with the socket of the tenant that has a slot.
type reported struct {
	generation uint32
	can        uint32 // zero: it is not put off
}

// run serves sockets until the poller is closed.
func (l *loop) run() {
	buf := make([]byte, guestSize)
	turn := l.server.now()
	for l.serve(buf) == nil {
		if now := l.server.now(); now-turn > int64(loopTurn) {
			turn = now
			runtime.Gosched()
		}
	}
}

// serve waits until something can be done, and does it for those who have little
// to do and for the first of the others. It fails once the poller is closed.
func (l *loop) serve(buf []byte) error {
	err := l.poll.wait(len(l.late) == 0, func(t ticket, can uint32) {
		if l.isPutOff(t, can) {
			return
		}
		tenant, much := l.table.find(t)
		switch {
		case tenant == nil:
		case much:
			l.delay(t, can)
		default:
			l.visit(t, tenant, false, buf, can)
		}
	})
	if err != nil {
		return err
	}
	served := 0
	for work := 0; served < len(l.late) && work < lateWork; served++ {
		t := l.late[served]
		can := l.putOff[t.slot].can
		if !l.isPutOff(t, 0) {
			continue // it has gone, and the next one in its place is put off
		}
		l.putOff[t.slot].can = 0
		// One large message after the other, for all at once are too much for the caches.
		for n := readSize; n >= readSize && work < lateWork; work += n {
			tenant, _ := l.table.find(t)
			if tenant == nil {
				break // it may have gone at the last visit
			}
			n = l.visit(t, tenant, true, buf, can)
		}
	}
	l.late = append(l.late[:0], l.late[served:]...)
	return nil
}

// isPutOff reports whether t is put off already. If it is, can is added to what
// can be done.
func (l *loop) isPutOff(t ticket, can uint32) bool {
	if int(t.slot) >= len(l.putOff) {
		return false
	}
	r := &l.putOff[t.slot]
	if r.can == 0 || r.generation != t.generation {
		return false
	}
	r.can |= can
	return true
}

// delay puts t off.
func (l *loop) delay(t ticket, can uint32) {
	if more := int(t.slot) + 1 - len(l.putOff); more > 0 {
		l.putOff = append(l.putOff, make([]reported, more)...)
	}
	l.putOff[t.slot] = reported{t.generation, can}
	l.late = append(l.late, t)
}

// visit serves a tenant of which is known whether it moved much the last time.
func (l *loop) visit(t ticket, tenant tenant, much bool, buf []byte, can uint32) (work int) {
	work = tenant.ready(buf, can)
	if much != (work >= muchWork) {
		l.table.mark(t, !much)
	}
	return work
}

// A tenant is something with a socket that a loop waits for.
type tenant interface {
	// ready is told what can be done with the socket: readable, writable or
	// both. It runs in the loop's goroutine, and may use its buffer, of which
	// guestSize bytes are for guests and readSize for all others. Work is how
	// many bytes it has moved, or what else it did amounts to.
	ready(buf []byte, can uint32) (work int)
}
