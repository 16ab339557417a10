//go:build unix

package fastcgi

import (
	"errors"
	"syscall"
)

// A tryWriter hands a socket what it takes at once, without waiting. One
// goroutine at a time may use it.
type tryWriter struct {
	raw syscall.RawConn // nil: the connection is no socket
	b   []byte
	n   int
	err error
	fn  func(fd uintptr) bool // write, kept so that a call allocates nothing
}

func newTryWriter(raw syscall.RawConn) tryWriter { return tryWriter{raw: raw} }

// try returns how much of b the socket took, which may be nothing.
func (w *tryWriter) try(b []byte) (int, error) {
	if w.raw == nil {
		return 0, nil
	}
	if w.fn == nil {
		w.fn = w.write
	}
	w.b, w.n, w.err = b, 0, nil
	err := w.raw.Write(w.fn)
	w.b = nil
	return w.n, errors.Join(err, w.err)
}

func (w *tryWriter) write(fd uintptr) bool {
	for len(w.b) > w.n {
		n, err := syscall.Write(int(fd), w.b[w.n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			if err != syscall.EAGAIN {
				w.err = err
			}
			break
		}
		w.n += n
	}
	return true // never wait for the socket to become writable
}
