package websocket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// A socket is the byte stream under a Conn. There are two kinds: a descriptor,
// for which a loop waits, and a waited one, for which a goroutine does.
type socket interface {
	// tryRead reads what has arrived. At the end of the stream it gives io.EOF.
	tryRead(b []byte) (int, error)

	// tryWrite writes as much of b as there is room for.
	tryWrite(b []byte) (int, error)

	// closeWrite ends our half of the stream, where it has halves.
	closeWrite() error

	// Close ends the stream at once. Twice is once.
	Close() error
}

// errAgain says that a socket has no bytes, or no room, at this moment.
var errAgain = errors.New("websocket: would wait")

// A waited socket is a stream that Go's own poller waits for. TLS and pipes
// cannot be tried.
type waited struct {
	net.Conn
	raw syscall.RawConn // nil: cannot be tried
}

func newWaited(nc net.Conn) *waited {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return &waited{nc, raw}
		}
	}
	return &waited{nc, nil}
}

func (s *waited) tryRead(b []byte) (int, error) {
	n, err := s.try(b, syscall.Read)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

func (s *waited) tryWrite(b []byte) (int, error) { return s.try(b, syscall.Write) }

func (s *waited) try(b []byte, call func(int, []byte) (int, error)) (int, error) {
	if s.raw == nil {
		return 0, errAgain
	}
	a := attempts.Get().(*attempt)
	a.b, a.call = b, call
	// Control keeps the descriptor from being closed meanwhile and, unlike
	// Read and Write, knows nothing of deadlines.
	err := s.raw.Control(a.do)
	n := a.n
	if err == nil {
		err = a.err
	}
	a.b, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	return n, err
}

// attempts hold the functions that RawConn.Control wants, made once so that
// no write allocates.
var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.do = func(fd uintptr) { a.n, a.err = attemptCall(a.call, int(fd), a.b) }
	return a
}}

// An attempt is one system call on a socket that does not wait.
type attempt struct {
	call func(int, []byte) (int, error)
	b    []byte
	n    int
	err  error
	do   func(fd uintptr)
}

// attemptCall reads or writes once, and gives errAgain where that would wait.
func attemptCall(call func(int, []byte) (int, error), fd int, b []byte) (n int, err error) {
	for {
		n, err = call(fd, b)
		if err != syscall.EINTR {
			break
		}
	}
	if err == syscall.EAGAIN {
		err = errAgain
	}
	return max(n, 0), err
}

// Close closes the stream at once. On TLS no alert is sent first, for that may
// wait for a client that does not read.
func (s *waited) Close() error {
	if t, ok := s.Conn.(*tls.Conn); ok {
		return t.NetConn().Close()
	}
	return s.Conn.Close()
}

func (s *waited) closeWrite() error {
	if h, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return s.Conn.Close()
}
