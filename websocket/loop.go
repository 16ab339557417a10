package websocket

import "runtime"

// loopTurn is how long a loop that is never idle keeps from Go's scheduler, in
// milliseconds; it is looked at between two turns. After 10 ms the runtime's monitor
// would take the loop's processor away during some system call, and then look every
// 20 µs for a while whether there is more to take.
const loopTurn = 4

// A loop serves a share of the connections: one goroutine that waits for all
// of them, reads whichever has bytes, hands on what they say, and writes to
// whichever has room what waits for it.
type loop struct {
	server *Server
	poll   *poller // nil: a goroutine waits for each connection
	table  table
	turns  turns
}

// run serves sockets until the poller is closed.
func (l *loop) run() {
	buf := make([]byte, guestSize)
	for turn := uint32(0); l.serve(buf) == nil; {
		if l.turns.now-turn >= loopTurn {
			turn = l.turns.now
			runtime.Gosched()
		}
	}
}

// serve waits until something can be done, and does it: for those who have moved
// little, and then for those who are put off, about as long, one after the other:
// many large messages at once are too much for the caches. It fails once the
// poller is closed.
func (l *loop) serve(buf []byte) error {
	reported, err := l.poll.wait(l.turns.waiting() == 0)
	if err != nil {
		return err
	}
	l.turns.begin(l.server.now())
	visits := 0
	l.poll.each(reported, func(t ticket, can uint32) (served bool) {
		if l.turns.putOff(t, can) {
			return false
		}
		_, served = l.visit(t, buf, can)
		if served {
			visits++
		}
		return served
	})
	for left := max(lateWork, visits*muchWork); left > 0 && l.turns.waiting() > 0; {
		t, can := l.turns.next()
		for moved, work := 0, readSize; can != 0 && work >= readSize && moved < stint && left > 0; {
			work, _ = l.visit(t, buf, can)
			moved += work
			left -= max(work, muchWork)
		}
	}
	return nil
}

// visit serves the tenant that t was given to, unless it has gone.
func (l *loop) visit(t ticket, buf []byte, can uint32) (work int, served bool) {
	tenant := l.table.find(t)
	if tenant == nil {
		return 0, false
	}
	work = tenant.ready(buf, can)
	l.turns.visited(t, work)
	return work, true
}

// A tenant is something with a socket that a loop waits for.
type tenant interface {
	// ready is told what can be done with the socket: readable, writable or
	// both. It runs in the loop's goroutine, and may use its buffer, of which
	// guestSize bytes are for guests and readSize for all others. Work is how
	// many bytes it has moved, or afresh.
	ready(buf []byte, can uint32) (work int)
}
