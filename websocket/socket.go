package websocket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// A socket is the byte stream under a Conn. A plain TCP or Unix socket can be
// tried, which never waits; TLS and pipes can only be waited for.
type socket struct {
	net.Conn
	raw syscall.RawConn // nil: cannot be tried
}

// errAgain says that a socket has no bytes, or no room, at this moment.
var errAgain = errors.New("websocket: would wait")

func newSocket(nc net.Conn) socket {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return socket{nc, raw}
		}
	}
	return socket{nc, nil}
}

// tryRead reads what has arrived. At the end of the stream it gives io.EOF.
func (s socket) tryRead(b []byte) (int, error) {
	n, err := s.try(b, false)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// tryWrite writes as much of b as there is room for.
func (s socket) tryWrite(b []byte) (int, error) { return s.try(b, true) }

func (s socket) try(b []byte, write bool) (int, error) {
	if s.raw == nil {
		return 0, errAgain
	}
	a := attempts.Get().(*attempt)
	a.b = b
	do := a.read
	if write {
		do = a.write
	}
	// Control keeps the descriptor from being closed meanwhile and, unlike
	// Read and Write, knows nothing of deadlines.
	err := s.raw.Control(do)
	n := a.n
	if err == nil {
		err = a.err
	}
	a.b, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	return n, err
}

// attempts hold the functions that RawConn.Control wants, made once so that
// no read or write allocates.
var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.read = func(fd uintptr) { a.do(syscall.Read, fd) }
	a.write = func(fd uintptr) { a.do(syscall.Write, fd) }
	return a
}}

// An attempt is one system call on a socket that does not wait.
type attempt struct {
	b           []byte
	n           int
	err         error
	read, write func(fd uintptr)
}

func (a *attempt) do(call func(int, []byte) (int, error), fd uintptr) {
	for {
		a.n, a.err = call(int(fd), a.b)
		if a.err != syscall.EINTR {
			break
		}
	}
	a.n = max(a.n, 0)
	if a.err == syscall.EAGAIN {
		a.err = errAgain
	}
}

// Close closes the stream at once. On TLS no alert is sent first, for that may
// wait for a client that does not read.
func (s socket) Close() error {
	if t, ok := s.Conn.(*tls.Conn); ok {
		return t.NetConn().Close()
	}
	return s.Conn.Close()
}

// closeWrite ends our half of the stream, where it has halves.
func (s socket) closeWrite() error {
	if h, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return s.Conn.Close()
}
