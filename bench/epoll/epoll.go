//go:build linux

// Package epoll is the least that a program needs to serve many sockets from
// one goroutine: package syscall's calls, past the runtime's own poller. It is
// for programs that are to cost little more than their system calls.
package epoll

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
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
	waits  uint
}

// yieldEvery is after how many waits the scheduler has a turn. Without one in
// 10 ms Go's monitor takes the goroutine's place away whenever a call lasts
// 20 µs, and does not sleep any longer than that itself: 7 % of the floor's CPU.
const yieldEvery = 64

// setSize is FD_SETSIZE: select knows descriptors below it.
const setSize = 1024

// New makes an empty set. It has to be made while descriptors below 1024 are
// free, for WaitFor.
func New() (*Set, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if fd >= setSize {
		syscall.Close(fd)
		return nil, fmt.Errorf("epoll: descriptor %d, want one below %d", fd, setSize)
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
func (s *Set) Wait() ([]syscall.EpollEvent, error) { return s.wait(-1) }

// WaitFor waits no longer than d, and may return nothing before: epoll_wait
// counts whole milliseconds, and what is left of one is waited for by the next
// call, with select, which counts microseconds.
func (s *Set) WaitFor(d time.Duration) ([]syscall.EpollEvent, error) {
	if d >= time.Millisecond {
		return s.wait(int(d / time.Millisecond))
	}
	if d > 0 {
		var set syscall.FdSet
		width := setSize / len(set.Bits)
		set.Bits[s.fd/width] = 1 << (s.fd % width)
		timeout := syscall.NsecToTimeval(int64(d + time.Microsecond - 1))
		n, err := syscall.Select(s.fd+1, &set, nil, nil, &timeout)
		if err != nil && err != syscall.EINTR {
			return nil, err
		}
		if n <= 0 {
			return nil, nil
		}
	}
	return s.wait(0)
}

// timerSlack is PR_SET_TIMERSLACK: how late, in nanoseconds, a thread may be
// woken so that timers can be taken together. It is 50 µs otherwise.
const timerSlack = 29

// Punctual keeps the goroutine on its thread, until it calls done, and has the
// thread woken in time, as far as the system can.
func Punctual() (done func()) {
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_PRCTL, timerSlack, 1, 0)
	return runtime.UnlockOSThread
}

// wait waits for so many milliseconds, or without end if they are negative.
func (s *Set) wait(milliseconds int) ([]syscall.EpollEvent, error) {
	if s.waits++; s.waits%yieldEvery == 0 {
		runtime.Gosched()
	}
	n, err := syscall.EpollWait(s.fd, s.events[:], milliseconds)
	if err == syscall.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.events[:n], nil
}

// Read reads once. An error of EAGAIN is given as it is; nothing read without
// an error is the end.
func Read(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// Write writes what the socket takes at once, which may be nothing.
func Write(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, err := syscall.Write(fd, b)
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
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
