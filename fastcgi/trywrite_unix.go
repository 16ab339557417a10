//go:build unix

package fastcgi

import (
	"errors"
	"syscall"
)

// A tryWriter hands a socket what it takes at once, without waiting. One
// goroutine at a time may use it.
type tryWriter struct {
	raw  syscall.RawConn // nil: the connection is no socket
	wide bool            // the socket has all the room that it may have
	b    []byte
	n    int
	err  error
	fn   func(fd uintptr) bool // write, kept so that a call allocates nothing
}

// sendRoom is how many bytes a Unix socket is to have room for once it had not
// enough; what the system allows may be less, and is no error.
const sendRoom = 2 << 20

func newTryWriter(raw syscall.RawConn, tcp bool) tryWriter { return tryWriter{raw: raw, wide: tcp} }

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
		switch {
		case err == nil:
			w.n += n
		case err == syscall.EINTR, err == syscall.EAGAIN && w.widen(fd):
		case err == syscall.EAGAIN:
			return true // never wait for the socket to become writable
		default:
			w.err = err
			return true
		}
	}
	return true
}

// widen makes room once: a Unix socket does not do so by itself, as TCP does.
func (w *tryWriter) widen(fd uintptr) bool {
	if w.wide {
		return false
	}
	w.wide = true
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendRoom) == nil
}
