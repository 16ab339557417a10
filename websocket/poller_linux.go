package websocket

import (
	"cmp"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
)

// epollBatch is how many sockets one wait reports at most: many, for who has moved
// little is served before all those among them that are put off.
const epollBatch = 512

// If many sockets are served, the guests that can be read are reported in between.
const (
	guestsEvery = 8  // sockets, and before the next it is looked for guests
	guestsBatch = 16 // guests that are reported then, at most
)

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
// To wait holds a thread. In Go's own poller, which holds none, each wake-up
// costs three system calls more, the scheduler's search for work, and another
// wake-up for the runtime's monitor, which sleeps when no goroutine runs.
//
// What the kernel gives back with an event is a ticket, the number of a slot
// and its generation, never a descriptor: the number of one closed in this
// batch may belong to the next client already.
type poller struct {
	fd       descriptor // of the epoll instance
	end      descriptor // can be read when the poller is closed
	endWrite int        // its other end
	closed   atomic.Bool
	events   [epollBatch]syscall.EpollEvent

	// Guests are watched in an instance of their own as well, which is asked
	// while clients are served: a short answer is not to wait for each of them.
	guests      descriptor
	guestEvents [guestsBatch]syscall.EpollEvent
}

// endTicket is what end is watched with. No slot has that number.
var endTicket = ticket{slot: 1<<32 - 1}

func newPoller() (*poller, error) {
	p := new(poller)
	for _, d := range []*descriptor{&p.fd, &p.guests} {
		fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			if d != &p.fd {
				p.fd.Close()
			}
			return nil, fmt.Errorf("websocket: making an epoll instance: %w", err)
		}
		d.fd = int32(fd)
	}
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		p.fd.Close()
		p.guests.Close()
		return nil, fmt.Errorf("websocket: making a pipe: %w", err)
	}
	p.end.fd, p.endWrite = int32(ends[0]), ends[1]
	if err := p.watch(&p.end, endTicket, 0, readable); err != nil {
		p.close()
		return nil, fmt.Errorf("websocket: watching a pipe: %w", err)
	}
	return p, nil
}

// watch has t reported whenever d can be read or written, whichever of these
// next says; was is what it was watched for before. Nothing to watch for ends
// all reports: a hang-up would be reported for ever otherwise.
func (p *poller) watch(d *descriptor, t ticket, was, next uint32) error {
	if !p.fd.use() {
		return net.ErrClosed
	}
	defer p.fd.done()
	if !d.use() {
		return net.ErrClosed
	}
	defer d.done()
	return control(int(p.fd.fd), int(d.fd), t, was, next)
}

// watchGuest is watch for a socket that is somebody else's.
func (p *poller) watchGuest(sock syscall.RawConn, t ticket, was, next uint32) error {
	var failure error
	for _, epoll := range []*descriptor{&p.guests, &p.fd} {
		if !epoll.use() {
			return net.ErrClosed
		}
		err := sock.Control(func(fd uintptr) { failure = cmp.Or(failure, control(int(epoll.fd), int(fd), t, was, next)) })
		epoll.done()
		failure = cmp.Or(failure, err)
	}
	return failure
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

// each calls ready for each of the n sockets that wait has found, with readable,
// writable or both; ready says whether it has done something.
func (p *poller) each(n int, ready func(t ticket, can uint32) (served bool)) {
	served := 0
	for _, ev := range p.events[:n] {
		if served == guestsEvery-1 {
			p.serveGuests(ready)
			served = -1
		}
		can := ev.Events & (readable | writable)
		if ev.Events&^can != 0 {
			can = readable | writable // whoever tries is told what is wrong
		}
		if ready(ticket{uint32(ev.Fd), uint32(ev.Pad)}, can) {
			served++
		}
	}
}

// serveGuests calls ready for the guests that can be read.
func (p *poller) serveGuests(ready func(t ticket, can uint32) (served bool)) {
	if !p.guests.use() {
		return
	}
	n, err := syscall.EpollWait(int(p.guests.fd), p.guestEvents[:], 0)
	p.guests.done()
	if err != nil {
		return // wait sees them
	}
	for _, ev := range p.guestEvents[:n] {
		ready(ticket{uint32(ev.Fd), uint32(ev.Pad)}, readable)
	}
}

// wait looks for sockets with which something can be done, and gives their number.
// If there is none and block is set, it waits for one. It fails once the poller is
// closed.
func (p *poller) wait(block bool) (n int, err error) {
	if !p.fd.use() {
		return 0, net.ErrClosed
	}
	defer p.fd.done()
	if !p.end.use() { // if it were closed before we wake up, we would not
		return 0, net.ErrClosed
	}
	defer p.end.done()
	timeout := 0
	if block {
		timeout = -1
	}
	for {
		n, err = syscall.EpollWait(int(p.fd.fd), p.events[:], timeout)
		if p.closed.Load() {
			return 0, net.ErrClosed
		}
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// close ends a wait, now or later.
func (p *poller) close() {
	if !p.closed.Swap(true) {
		p.fd.Close()
		p.guests.Close()
		p.end.Close()
		syscall.Close(p.endWrite)
	}
}
