package websocket

import (
	"fmt"
	"os"
	"syscall"
)

// epollBatch is how many readable sockets one wait reports at most.
const epollBatch = 128

// A poller tells which sockets can be read. It is level-triggered: a socket
// is reported until it has been read, so nothing is re-armed after a read and
// a socket needs no system call while nobody pauses it.
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

// add has t reported whenever sock can be read.
func (p *poller) add(sock syscall.RawConn, t ticket) error {
	return p.control(sock, syscall.EPOLL_CTL_ADD, &syscall.EpollEvent{
		Events: syscall.EPOLLIN, // errors and hang-ups are reported unasked
		Fd:     int32(t.slot),
		Pad:    int32(t.generation),
	})
}

// remove ends the reports about sock. Asking for no events would not do: a
// hang-up is reported all the same, and for ever.
func (p *poller) remove(sock syscall.RawConn) error {
	return p.control(sock, syscall.EPOLL_CTL_DEL, &syscall.EpollEvent{})
}

// control calls epoll_ctl while sock holds its descriptor, so that it cannot
// be closed and given to another client in between.
func (p *poller) control(sock syscall.RawConn, op int, ev *syscall.EpollEvent) error {
	var failure error
	err := p.raw.Control(func(epfd uintptr) {
		err := sock.Control(func(fd uintptr) {
			failure = syscall.EpollCtl(int(epfd), op, int(fd), ev)
		})
		if err != nil {
			failure = err
		}
	})
	if err != nil {
		return err
	}
	return failure
}

// wait waits until some sockets can be read and calls ready for each. It
// fails once the poller is closed.
func (p *poller) wait(ready func(ticket)) error {
	if err := p.raw.Read(p.look); err != nil {
		return err
	}
	if p.err != nil {
		return p.err
	}
	for _, ev := range p.events[:p.n] {
		ready(ticket{uint32(ev.Fd), uint32(ev.Pad)})
	}
	return nil
}

func (p *poller) close() { p.file.Close() }
