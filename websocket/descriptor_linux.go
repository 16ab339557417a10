package websocket

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// A descriptor is a socket that no goroutine ever waits for, so it needs
// nothing of what net.Conn has: 8 bytes instead of some 500.
//
// System calls on it are counted, so that its number is not closed, and given
// to another client, while one is under way.
type descriptor struct {
	fd    int32
	state atomic.Int32 // calls under way, and descriptorClosed
}

const descriptorClosed = 1 << 30

// take moves the socket of nc to a descriptor of our own and closes
// nc. It reports false if nc has no socket that can be tried, as TLS and pipes
// have none; then nc is as before.
func (d *descriptor) take(nc net.Conn) (ok bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil || d.share(raw) != nil {
		return false
	}
	nc.Close() // the socket lives on
	return true
}

// share gives d a descriptor of its own for the socket of raw.
func (d *descriptor) share(raw syscall.RawConn) error {
	var errno syscall.Errno
	err := raw.Control(func(fd uintptr) {
		var n uintptr
		n, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		d.fd = int32(n)
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("fcntl", errno)
	}
	return err
}

// use begins a system call, unless d is closed; then done ends it.
func (d *descriptor) use() bool {
	for {
		n := d.state.Load()
		if n&descriptorClosed != 0 {
			return false
		}
		if d.state.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *descriptor) done() {
	if d.state.Add(-1) == descriptorClosed {
		syscall.Close(int(d.fd)) // it was closed during the last call
	}
}

func (d *descriptor) Close() error {
	if d.state.Or(descriptorClosed) == 0 {
		return syscall.Close(int(d.fd))
	}
	return nil // closed before, or to be closed by the last call under way
}

func (d *descriptor) tryRead(b []byte) (int, error) {
	if !d.use() {
		return 0, net.ErrClosed
	}
	defer d.done()
	n, err := attemptCall(syscall.Read, int(d.fd), b)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

func (d *descriptor) tryWrite(b []byte) (int, error) {
	if !d.use() {
		return 0, net.ErrClosed
	}
	defer d.done()
	return attemptCall(syscall.Write, int(d.fd), b)
}

func (d *descriptor) closeWrite() error {
	if !d.use() {
		return net.ErrClosed
	}
	defer d.done()
	return syscall.Shutdown(int(d.fd), syscall.SHUT_WR)
}
