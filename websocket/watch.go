package websocket

import (
	"errors"
	"syscall"
)

// guestSlot marks the ticket of a socket that is no connection's.
const guestSlot = 1 << 31

// A watch is a socket of somebody else that a loop waits for, so that what
// answers a client is read where the client is.
type watch struct {
	ready func(buf []byte)
}

var errNoLoop = errors.New("websocket: no loop can wait for a socket")

// Watch has a loop of s call ready whenever sock can be read, with a buffer
// that ready may use until it returns, until stop is called; one more call may
// come after that. Ready must not wait. When s is closed, the last call has a
// nil buffer. It is an error if s is closed or its loops have no poller.
func (s *Server) Watch(sock syscall.RawConn, ready func(buf []byte)) (stop func(), err error) {
	l := s.loops[s.guests.Add(1)%uint32(len(s.loops))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || l.poll == nil {
		return nil, errNoLoop
	}
	t := l.guests.add(&watch{ready})
	marked := ticket{t.slot | guestSlot, t.generation}
	if err := l.poll.watchGuest(sock, marked, 0, readable); err != nil {
		l.guests.remove(t)
		return nil, err
	}
	return func() {
		l.poll.watchGuest(sock, marked, readable, 0) // fails if the socket is closed, which does as well
		l.guests.remove(t)
	}, nil
}

// dismiss tells those whose sockets l waited for that it has ended.
func (l *loop) dismiss() {
	for _, w := range l.guests.part(nil, 0, 1) {
		w.ready(nil)
	}
}
