package websocket

import (
	"runtime"
	"time"
)

// loopTurn is how long a loop that is never idle keeps from Go's scheduler. After
// 10 ms of that the runtime's monitor would take its processor away during some
// system call, and then look every 20 µs for a while whether there is more to take.
const loopTurn = 4 * time.Millisecond

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
	now := l.server.now()
	for turn := now; l.serve(buf, now) == nil; now = l.server.now() {
		if now-turn > int64(loopTurn) {
			turn = now
			runtime.Gosched()
		}
	}
}

// serve waits until something can be done, and does it: for those who have moved
// little, and then for those who are put off, about as long, one after the other:
// many large messages at once are too much for the caches. It fails once the
// poller is closed. Now is about when it is called.
func (l *loop) serve(buf []byte, now int64) error {
	l.turns.begin(now)
	visits := 0
	err := l.poll.wait(l.turns.waiting() == 0, func(t ticket, can uint32) (served bool) {
		if l.turns.putOff(t, can) {
			return false
		}
		l.visit(t, buf, can)
		visits++
		return true
	})
	if err != nil {
		return err
	}
	for left := max(lateWork, visits*muchWork); left > 0 && l.turns.waiting() > 0; {
		t, can := l.turns.next()
		for moved, work := 0, readSize; can != 0 && work >= readSize && moved < stint && left > 0; {
			work = l.visit(t, buf, can)
			moved += work
			left -= work
		}
	}
	return nil
}

// visit serves the tenant that t was given to, if it is still there.
func (l *loop) visit(t ticket, buf []byte, can uint32) (work int) {
	tenant := l.table.find(t)
	if tenant == nil {
		return 0
	}
	work = tenant.ready(buf, can)
	l.turns.visited(t, work)
	return work
}

// A tenant is something with a socket that a loop waits for.
type tenant interface {
	// ready is told what can be done with the socket: readable, writable or
	// both. It runs in the loop's goroutine, and may use its buffer, of which
	// guestSize bytes are for guests and readSize for all others. Work is how
	// many bytes it has moved, or afresh.
	ready(buf []byte, can uint32) (work int)
}
