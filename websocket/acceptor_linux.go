package websocket

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// acceptBatch is how many sockets are accepted, and greeted if they have spoken,
// before others have their turn.
const acceptBatch = 8

// An acceptor accepts sockets in a loop.
type acceptor struct {
	server  *Server
	loop    *loop
	ticket  ticket
	fd      descriptor // of the listening socket
	local   netip.AddrPort
	tunes   bool // each socket: those of Multipath TCP begin anew
	greeter Greeter
	silence time.Duration // how long an arrival may be silent
	waiting arrivals
	failed  chan error // why nothing more is accepted

	mu     sync.Mutex // guards what follows
	closed bool
	pause  *time.Timer // until it fires, nothing is accepted
}

// Listen accepts from l until the function that it returns is called; g is
// told of each socket. One that has sent nothing for silence is closed. Failed
// gets the error after which nothing more is accepted.
//
// L stays the caller's, who closes it behind the end. Where the loops have no
// poller it fails, and l can be used in another way.
func (s *Server) Listen(l Listener, g Greeter, silence time.Duration) (end func(), failed <-chan error, err error) {
	a := &acceptor{server: s, loop: s.loops[0], greeter: g, silence: silence, failed: make(chan error, 1)}
	if a.loop.poll == nil {
		return nil, nil, errNoPoller
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, nil, errNoPoller
	}
	if err := a.fd.share(raw); err != nil {
		return nil, nil, err
	}
	if tcp, is := l.Addr().(*net.TCPAddr); is {
		a.local = tcp.AddrPort()
		tune(int(a.fd.fd))
		protocol, err := syscall.GetsockoptInt(int(a.fd.fd), syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
		a.tunes = err != nil || protocol != syscall.IPPROTO_TCP
	}
	a.ticket = a.loop.table.add(a)
	s.mu.Lock()
	s.acceptors = append(s.acceptors, a)
	s.mu.Unlock()
	if err := a.loop.poll.watch(&a.fd, a.ticket, 0, readable); err != nil {
		a.end()
		return nil, nil, os.NewSyscallError("epoll_ctl", err)
	}
	return a.end, a.failed, nil
}

// ready accepts what has come (see tenant).
func (a *acceptor) ready(buf []byte, _ uint32) (work int) {
	for range acceptBatch {
		if !a.fd.use() {
			return 0
		}
		fd, from, err := syscall.Accept4(int(a.fd.fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		a.fd.done()
		switch err {
		case nil:
			a.admit(fd, from, buf)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0
		default:
			a.rest(os.NewSyscallError("accept", err))
			return 0
		}
	}
	return 0 // never put off: newcomers are few enough as it is
}

// rest accepts nothing for as long as the greeter says.
func (a *acceptor) rest(err error) {
	wait, fatal := a.greeter.AcceptFailed(err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	a.loop.poll.watch(&a.fd, a.ticket, readable, 0)
	if fatal {
		a.failed <- err
		return
	}
	a.pause = time.AfterFunc(wait, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.closed {
			a.loop.poll.watch(&a.fd, a.ticket, 0, readable)
		}
	})
}

// admit makes an accepted socket an arrival of the loop whose turn it is. Who is
// near has spoken by now, and is greeted at once; the others are waited for.
func (a *acceptor) admit(fd int, from syscall.Sockaddr, buf []byte) {
	v := &Arrival{acceptor: a, loop: a.server.pick(), remote: addrPort(from), fd: fd, since: a.server.now()}
	v.take()
	if !a.greeter.Arrived(v) {
		syscall.Close(fd)
		return
	}
	if a.tunes {
		tune(fd)
	}
	v.ticket = v.loop.table.add(v)
	if !v.hear(buf[:readSize]) {
		a.await(v)
	}
}

// await has the loop of v wait for its first bytes.
func (a *acceptor) await(v *Arrival) {
	a.waiting.add(v)
	v.watched = readable
	watched := descriptor{fd: int32(v.fd)}
	if v.loop.poll.watch(&watched, v.ticket, 0, readable) != nil {
		v.leave()
		return
	}
	v.owner.CompareAndSwap(arrivalTaken, arrivalWaits)
}

func (a *acceptor) forget(v *Arrival) { a.waiting.remove(v) }

// sweep closes the arrivals that have been silent for too long.
func (a *acceptor) sweep(now int64) {
	for v := a.waiting.head(); v != nil && now-v.since >= int64(a.silence); v = a.waiting.head() {
		if !v.take() {
			return // it is being greeted
		}
		v.leave()
	}
}

// end ends accepting. Who has arrived may still speak.
func (a *acceptor) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	a.closed = true
	if a.pause != nil {
		a.pause.Stop()
	}
	// The listener itself is still open, and would be reported for ever.
	a.loop.poll.watch(&a.fd, a.ticket, readable, 0)
	a.fd.Close()
	a.loop.table.remove(a.ticket)
}

// clear closes all arrivals.
func (a *acceptor) clear() {
	for v := a.waiting.head(); v != nil; v = a.waiting.head() {
		if v.take() {
			v.leave()
		}
	}
}

// LocalAddr is the address of the socket's own end; zero for a Unix socket.
func (a *Arrival) LocalAddr() netip.AddrPort {
	if !a.acceptor.local.IsValid() || !a.acceptor.local.Addr().IsUnspecified() {
		return a.acceptor.local
	}
	local, err := syscall.Getsockname(a.fd)
	if err != nil {
		return a.acceptor.local
	}
	return addrPort(local)
}

// addrPort gives a as an address of netip; zero if it is not of IP.
func addrPort(a syscall.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// Upgrade makes the arrival, whose handshake is answered, a connection as
// NewConn does.
func (a *Arrival) Upgrade(h Handler, l Limits) *Conn {
	s := a.loop.server
	c := s.makeConn(h, l)
	c.loop, c.ticket = a.loop, a.ticket
	c.fd.fd = int32(a.fd)
	c.watched = a.watched
	a.owner.Store(arrivalGone)
	a.loop.table.replace(a.ticket, c)
	s.closeIfClosed(c)
	return c
}

// Conn gives the socket to somebody else, as a net.Conn.
func (a *Arrival) Conn() (net.Conn, error) {
	watched := descriptor{fd: int32(a.fd)}
	a.loop.poll.watch(&watched, a.ticket, a.watched, 0)
	f := os.NewFile(uintptr(a.fd), "")
	nc, err := net.FileConn(f) // of a copy of the descriptor
	a.owner.Store(arrivalGone)
	a.loop.table.remove(a.ticket)
	f.Close()
	return nc, err
}
