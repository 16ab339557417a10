package websocket

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"syscall"
)

// epollBatch is how many readable sockets one wait reports at most.
const epollBatch = 128

// What a socket can be watched for, and reported as. Errors and hang-ups are
// reported unasked, as both.
const (
	readable = syscall.EPOLLIN
	writable = syscall.EPOLLOUT
)

// A poller tells which sockets can be read or written. It is level-triggered: a
// socket is reported until it has been read, so nothing is re-armed after a
// read and a socket needs no system call while nobody pauses it.
//
// The epoll instance itself waits in Go's own poller and holds no thread.
//
// What the kernel gives back with an event is a ticket, the number of a slot
// and its generation, never a descriptor: the number of one closed in this
// batch may belong to the next client already.
type poller struct {
	file   *os.File // of the epoll instance
	raw    syscall.RawConn
	look   func(epfd uintptr) bool // looks for events; made once, so that no wait allocates
	n      int                     // events that look found
	err    error                   // or why it could not
	events [epollBatch]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("websocket: making an epoll instance: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("websocket: making an epoll instance: %w", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("websocket: making an epoll instance: %w", err)
	}
	p := &poller{file: file, raw: raw}
	p.look = func(epfd uintptr) bool {
		for {
			p.n, p.err = syscall.EpollWait(int(epfd), p.events[:], 0)
			if p.err != syscall.EINTR {
				return p.n > 0 || p.err != nil
			}
		}
	}
	return p, nil
}

// watch has t reported whenever d can be read or written, whichever of these
// next says; was is what it was watched for before. Nothing to watch for ends
// all reports: a hang-up would be reported for ever otherwise.
func (p *poller) watch(d *descriptor, t ticket, was, next uint32) error {
	failure := net.ErrClosed
	err := p.raw.Control(func(epfd uintptr) {
		if d.use() {
			failure = control(int(epfd), int(d.fd), t, was, next)
			d.done()
		}
	})
	return cmp.Or(err, failure)
}

// watchGuest is watch for a socket that is somebody else's.
func (p *poller) watchGuest(sock syscall.RawConn, t ticket, was, next uint32) error {
	var failure error
	err := p.raw.Control(func(epfd uintptr) {
		err := sock.Control(func(fd uintptr) { failure = control(int(epfd), int(fd), t, was, next) })
		failure = cmp.Or(err, failure)
	})
	return cmp.Or(err, failure)
}

func control(epfd, fd int, t ticket, was, next uint32) error {
	op := syscall.EPOLL_CTL_MOD
	switch {
	case was == next:
		return nil
	case was == 0:
		op = syscall.EPOLL_CTL_ADD
	case next == 0:
		op = syscall.EPOLL_CTL_DEL
	}
	ev := syscall.EpollEvent{Events: next, Fd: int32(t.slot), Pad: int32(t.generation)}
	return syscall.EpollCtl(epfd, op, fd, &ev)
}

// wait waits until something can be done with some sockets and calls ready for
// each with readable, writable or both. It fails once the poller is closed.
func (p *poller) wait(ready func(t ticket, can uint32)) error {
	if err := p.raw.Read(p.look); err != nil {
		return err
	}
	if p.err != nil {
		return p.err
	}
	for _, ev := range p.events[:p.n] {
		can := ev.Events & (readable | writable)
		if ev.Events&^can != 0 {
			can = readable | writable // whoever tries is told what is wrong
		}
		ready(ticket{uint32(ev.Fd), uint32(ev.Pad)}, can)
	}
	return nil
}

func (p *poller) close() { p.file.Close() }
