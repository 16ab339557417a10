package websocket

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errNoPoller is for systems without a poller, and for servers that are not to
// use it.
var errNoPoller = errors.New("websocket: no poller")

// A Listener is a listening socket that the loops can accept from, as those of
// package net are.
type Listener interface {
	net.Listener
	syscall.Conn
}

// A Greeter decides what becomes of the sockets that a Server accepts. Its
// methods run in a loop's goroutine: none may wait.
type Greeter interface {
	// Arrived takes note of a new socket and says whether it may stay. If not, it
	// is closed and nothing more is said of it.
	Arrived(a *Arrival) (stay bool)

	// Greet takes an arrival whose first bytes have come; they are lent until
	// it returns. By then it has called a.Upgrade, a.Conn or a.Close.
	Greet(a *Arrival, first []byte)

	// Left says that an arrival has gone, or was silent for too long.
	Left(a *Arrival)

	// AcceptFailed says how long to wait after err, an error of accept, before
	// the next attempt. If it is fatal, nothing more is accepted.
	AcceptFailed(err error) (wait time.Duration, fatal bool)
}

// An Arrival is a socket that was accepted and has said nothing yet. It costs
// some hundred bytes.
type Arrival struct {
	// Visitor is the greeter's to set in Arrived.
	Visitor netip.Prefix

	acceptor *acceptor
	loop     *loop
	ticket   ticket
	remote   netip.AddrPort
	fd       int
	watched  uint32 // what the poller reports of it
	since    int64  // on the server's clock
	owner    atomic.Uint32

	prev, next *Arrival // in the acceptor's list
}

// Who may touch the socket of an arrival.
const (
	arrivalWaits uint32 = iota // nobody: the poller will, or the sweeper when time is up
	arrivalTaken               // one goroutine
	arrivalGone                // nobody ever again: it is closed, or another's
)

func (a *Arrival) take() bool { return a.owner.CompareAndSwap(arrivalWaits, arrivalTaken) }

// ready reads the first bytes (see tenant).
func (a *Arrival) ready(buf []byte, _ uint32) (work int) {
	if a.take() && !a.hear(buf[:readSize]) {
		a.owner.Store(arrivalWaits)
	}
	return 0 // the next visit is a connection's, which has moved nothing yet
}

// hear reads the first bytes of an arrival that the caller has taken, and has it
// greeted. It reports false if there are none yet.
func (a *Arrival) hear(buf []byte) (spoken bool) {
	defer a.rescue()
	n, err := attemptCall(syscall.Read, a.fd, buf)
	if err == errAgain {
		return false
	}
	spoken = true // and nobody is to wait for more, even if the greeter panics
	if n == 0 {
		a.leave()
		return
	}
	a.acceptor.forget(a)
	a.acceptor.greeter.Greet(a, buf[:n])
	poison(buf[:n:n])
	return
}

// rescue is deferred where an arrival is greeted: a panic costs that client and
// no other.
func (a *Arrival) rescue() {
	if v := recover(); v != nil {
		a.loop.server.panicked(v)
		a.Close()
	}
}

// leave ends an arrival that the caller has taken, and that was not greeted.
func (a *Arrival) leave() {
	a.acceptor.forget(a)
	a.Close()
	a.acceptor.greeter.Left(a)
}

// RemoteAddr is the address of the socket's other end; zero for a Unix socket.
func (a *Arrival) RemoteAddr() netip.AddrPort { return a.remote }

// Age is how long ago it arrived.
func (a *Arrival) Age() time.Duration { return time.Duration(a.loop.server.now() - a.since) }

// Write writes b, and reports whether the socket has taken all of it.
func (a *Arrival) Write(b []byte) bool {
	n, err := attemptCall(syscall.Write, a.fd, b)
	return n == len(b) && err == nil
}

// Close closes the socket.
func (a *Arrival) Close() {
	if a.owner.Swap(arrivalGone) != arrivalGone {
		a.loop.table.remove(a.ticket)
		syscall.Close(a.fd)
	}
}

// arrivals is a list in the order of arrival, the longest silent first.
type arrivals struct {
	mu          sync.Mutex // guards what follows, and the links of all in it
	first, last *Arrival
}

func (l *arrivals) add(a *Arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.prev = l.last; a.prev != nil {
		a.prev.next = a
	} else {
		l.first = a
	}
	l.last = a
}

func (l *arrivals) remove(a *Arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.prev != nil {
		a.prev.next = a.next
	} else if l.first == a {
		l.first = a.next
	} else {
		return // it was removed before
	}
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		l.last = a.prev
	}
	a.prev, a.next = nil, nil
}

// head is the one that is silent for longest, or nil.
func (l *arrivals) head() *Arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}
