package websocket

import (
	"errors"
	"syscall"
)

// A watch is a socket of somebody else that a loop waits for, so that what
// answers a client is read where the client is.
type watch struct {
	read func(buf []byte) (n int)
}

// ready has the socket read (see tenant).
func (w *watch) ready(buf []byte, _ uint32) (work int) {
	return w.read(buf)
}

var errNoLoop = errors.New("websocket: no loop can wait for a socket")

// Watch has a loop of s call ready whenever sock can be read, with a buffer
// that ready may use until it returns, until stop is called; one more call may
// come after that. Ready must not wait. It returns how many bytes it has read, for
// whoever has read many is put off, or -1 if with them something has come to its
// end. When s is closed, the last call has a nil buffer. It is an error if s is
// closed or its loops have no poller.
func (s *Server) Watch(sock syscall.RawConn, ready func(buf []byte) (n int)) (stop func(), err error) {
	l := s.loops[s.guests.Add(1)%uint32(len(s.loops))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || l.poll == nil {
		return nil, errNoLoop
	}
	t := l.table.add(&watch{ready})
	if err := l.poll.watchGuest(sock, t, 0, readable); err != nil {
		l.table.remove(t)
		return nil, err
	}
	return func() {
		l.poll.watchGuest(sock, t, readable, 0) // fails if the socket is closed, which does as well
		l.table.remove(t)
	}, nil
}

// dismiss tells those whose sockets l waited for that it has ended.
func (l *loop) dismiss() {
	for _, w := range tenantsOf[*watch](nil, &l.table, 0, 1) {
		w.read(nil)
	}
}
