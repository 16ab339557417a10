package fastcgi

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A socket is a connection to a Unix socket that Go's own poller does not know.
// There each of its replies would wake a thread that has nothing to do with it:
// the [Watcher] waits for it.
//
// System calls on it are counted, so that its number is not closed, and given to
// another connection, while one is under way. Package websocket has the like, but
// neither of the two packages knows the other.
type socket struct {
	fd    int
	state atomic.Int32 // calls under way, and socketClosed

	mu      sync.Mutex // guards what follows
	waiting *os.File   // the same, known to Go's poller; nil: no goroutine waits
	waits   int        // how many do
}

const socketClosed = 1 << 30

// connectUnix connects to the socket at path. That never waits: it fails with
// EAGAIN where it would.
func connectUnix(path string) (*socket, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		for {
			err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
			if err != syscall.EINTR {
				break
			}
		}
		if err == nil {
			return &socket{fd: fd}, nil
		}
		syscall.Close(fd)
	}
	return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError("connect", err)}
}

// use begins a system call, unless s is closed; then done ends it.
func (s *socket) use() bool {
	for {
		n := s.state.Load()
		if n&socketClosed != 0 {
			return false
		}
		if s.state.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *socket) done() {
	if s.state.Add(-1) == socketClosed {
		syscall.Close(s.fd) // it was closed during the last call
	}
}

// Close ends all that waits for s. Twice is once.
func (s *socket) Close() error {
	before := s.state.Or(socketClosed)
	s.mu.Lock()
	if s.waiting != nil {
		s.waiting.Close()
	}
	s.mu.Unlock()
	if before == 0 {
		return syscall.Close(s.fd)
	}
	return nil // closed before, or to be closed by the last call under way
}

// SyscallConn is that of syscall.Conn.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return rawSocket{s}, nil }

// A rawSocket is a socket for those who do not want to wait.
type rawSocket struct{ s *socket }

func (r rawSocket) Control(f func(fd uintptr)) error {
	if !r.s.use() {
		return net.ErrClosed
	}
	defer r.s.done()
	f(uintptr(r.s.fd))
	return nil
}

func (r rawSocket) Read(f func(fd uintptr) (done bool)) error  { return r.once(f) }
func (r rawSocket) Write(f func(fd uintptr) (done bool)) error { return r.once(f) }

func (r rawSocket) once(f func(fd uintptr) (done bool)) error {
	done := false
	err := r.Control(func(fd uintptr) { done = f(fd) })
	if err == nil && !done {
		err = os.ErrDeadlineExceeded // it wants to wait
	}
	return err
}

// Read waits for bytes. That is rare, and takes a second descriptor meanwhile.
func (s *socket) Read(b []byte) (int, error) { return s.wait((*os.File).Read, b) }

// Write waits until all of b is written, likewise.
func (s *socket) Write(b []byte) (int, error) { return s.wait((*os.File).Write, b) }

func (s *socket) wait(call func(*os.File, []byte) (int, error), b []byte) (int, error) {
	f, err := s.beginWait()
	if err != nil {
		return 0, err
	}
	defer s.endWait()
	return call(f, b)
}

func (s *socket) beginWait() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.use() {
		return nil, net.ErrClosed
	}
	defer s.done()
	if s.waiting == nil {
		fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(s.fd), syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return nil, os.NewSyscallError("fcntl", errno)
		}
		s.waiting = os.NewFile(fd, "socket")
	}
	s.waits++
	return s.waiting, nil
}

func (s *socket) endWait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits--; s.waits == 0 {
		s.waiting.Close()
		s.waiting = nil
	}
}
