//go:build linux

// Package epoll is the least that a program needs to serve many sockets from
// one thread: raw system calls, which Go's scheduler does not see. It is for
// programs that are to cost no more than their system calls.
package epoll

import (
	"syscall"
	"time"
	"unsafe"
)

// What a socket can be waited for, and what is told of it.
const (
	In       = syscall.EPOLLIN
	Out      = syscall.EPOLLOUT
	Edge     = 1 << 31 // EPOLLET, which package syscall has as a negative number
	Hangup   = syscall.EPOLLHUP | syscall.EPOLLERR
	Readable = In | Hangup // reading tells which
)

// A Set is an epoll instance and room for what one wait gives.
type Set struct {
	fd     int
	events [256]syscall.EpollEvent
}

// New makes an empty set.
func New() (*Set, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Set{fd: fd}, nil
}

// Add begins to wait on a socket; its events carry fd.
func (s *Set) Add(fd int, events uint32) error { return s.control(syscall.EPOLL_CTL_ADD, fd, events) }

// Change waits on a socket for something else.
func (s *Set) Change(fd int, events uint32) error {
	return s.control(syscall.EPOLL_CTL_MOD, fd, events)
}

// Remove waits on a socket no longer.
func (s *Set) Remove(fd int) error { return s.control(syscall.EPOLL_CTL_DEL, fd, 0) }

func (s *Set) control(op, fd int, events uint32) error {
	return syscall.EpollCtl(s.fd, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)})
}

// Close closes the set, not its sockets.
func (s *Set) Close() { syscall.Close(s.fd) }

// Wait waits without end. What it returns is overwritten by the next call.
func (s *Set) Wait() ([]syscall.EpollEvent, error) {
	// epoll_wait itself does not exist on arm64.
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.events[0])), uintptr(len(s.events)), ^uintptr(0), 0, 0)
	return s.given(n, errno)
}

// epollPwait2 is the system call of this name, on every architecture; Linux
// has it since 5.11.
const epollPwait2 = 441

// WaitFor waits no longer than d, to the nanosecond. The scheduler sees it, so
// that others can run.
func (s *Set) WaitFor(d time.Duration) ([]syscall.EpollEvent, error) {
	timeout := syscall.NsecToTimespec(max(int64(d), 0))
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.events[0])), uintptr(len(s.events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno == syscall.ENOSYS {
		n, _, errno = syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.events[0])), uintptr(len(s.events)), uintptr((d+time.Millisecond-1)/time.Millisecond), 0, 0)
	}
	return s.given(n, errno)
}

func (s *Set) given(n uintptr, errno syscall.Errno) ([]syscall.EpollEvent, error) {
	if errno == syscall.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, errno
	}
	return s.events[:n], nil
}

// Read reads once. An error of EAGAIN is given as it is; nothing read without
// an error is the end.
func Read(fd int, b []byte) (int, error) { return transfer(syscall.SYS_READ, fd, b) }

// Write writes what the socket takes at once, which may be nothing.
func Write(fd int, b []byte) (int, error) {
	n, err := transfer(syscall.SYS_WRITE, fd, b)
	if err == syscall.EAGAIN {
		return 0, nil
	}
	return n, err
}

func transfer(call uintptr, fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, syscall.EAGAIN // a constant: converting errno would allocate
		default:
			return 0, errno
		}
	}
}

// Accept takes one connection that waits, non-blocking. An error of EAGAIN
// says that none waits.
func Accept(listener int) (int, error) {
	for {
		fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != syscall.EINTR && err != syscall.ECONNABORTED {
			return fd, err
		}
	}
}
