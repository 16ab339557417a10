//go:build unix

package fastcgi

import (
	"errors"
	"io"
	"syscall"
)

// errNothing says that a socket has no bytes at this moment.
var errNothing = errors.New("nothing to read")

// A tryReader reads what a socket has, without waiting. One goroutine at a time
// may use it.
type tryReader struct {
	raw syscall.RawConn // nil: the connection is no socket
	b   []byte
	n   int
	err error
	fn  func(fd uintptr) // read, kept so that a call allocates nothing
}

func newTryReader(raw syscall.RawConn) tryReader { return tryReader{raw: raw} }

func (r *tryReader) able() bool { return r.raw != nil }

// read reads into b. The end of the stream is io.EOF.
func (r *tryReader) read(b []byte) (int, error) {
	if r.fn == nil {
		r.fn = r.once
	}
	r.b = b
	// Control keeps the descriptor from being closed meanwhile.
	if err := r.raw.Control(r.fn); err != nil {
		return 0, err
	}
	r.b = nil
	return r.n, r.err
}

func (r *tryReader) once(fd uintptr) {
	for {
		r.n, r.err = syscall.Read(int(fd), r.b)
		if r.err != syscall.EINTR {
			break
		}
	}
	switch {
	case r.err == syscall.EAGAIN:
		r.err = errNothing
	case r.err == nil && r.n == 0:
		r.err = io.EOF
	}
	r.n = max(r.n, 0)
}
