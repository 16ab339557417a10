package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ws-fpm/websocket"
)

// A front is a listener whose clients are received in the loops of the
// connections. A handshake in its plainest form, that comes in one piece and
// asks for a route where PHP need not be asked, is accepted there and then, or
// refused if there is no room. Whatever else comes goes to net/http, as if it had
// been accepted there.
type front struct {
	net.Listener
	gateway *Gateway
	handed  chan *replayed // to net/http
	closed  chan struct{}
	failed  <-chan error
	hush    func() error // ends accepting, not handing on
	close   func()
}

// maxHanded is how many connections may wait for net/http to take them. It does
// nothing else between two.
const maxHanded = 1024

// newFront makes l a front. Where that cannot be, on TLS for example, l itself
// is for net/http.
func (g *Gateway) newFront(l net.Listener) net.Listener {
	socket, is := l.(websocket.Listener)
	if !is {
		return l
	}
	f := &front{Listener: l, gateway: g, handed: make(chan *replayed, maxHanded), closed: make(chan struct{})}
	end, failed, err := g.conns.Listen(socket, f, g.opts().HandshakeTimeout)
	if err != nil {
		return l
	}
	f.failed = failed
	f.hush = sync.OnceValue(func() error {
		end()
		return l.Close()
	})
	f.close = sync.OnceFunc(func() { close(f.closed) })
	return f
}

// Accept gives what is for net/http.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.handed:
		return c, nil
	case err := <-f.failed:
		return nil, err
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends accepting and handing on. Who has arrived may still speak, and is
// refused if that is no plain handshake.
func (f *front) Close() error {
	f.close()
	f.turnOut()
	return f.hush()
}

// turnOut refuses what waits for net/http, which takes nothing any more.
func (f *front) turnOut() {
	for {
		select {
		case c := <-f.handed:
			f.gateway.depart(c.visitor, c.visitor.IsValid())
			f.gateway.count.handshakes[refusedDrain].Inc()
			c.SetWriteDeadline(time.Now().Add(time.Second)) // there is room: nothing was written before
			c.Write([]byte(drainAnswer))
			c.Close()
		default:
			return
		}
	}
}

// AcceptFailed asks the listener (see websocket.Greeter).
func (f *front) AcceptFailed(err error) (wait time.Duration, fatal bool) {
	if l, is := f.Listener.(interface {
		AcceptFailed(error) (time.Duration, bool)
	}); is {
		return l.AcceptFailed(err)
	}
	return 0, true
}

// Arrived counts a connection that is not upgraded yet (see websocket.Greeter).
func (f *front) Arrived(a *websocket.Arrival) (stay bool) {
	key, counted := f.gateway.opts().Trust.visitorKey(a.RemoteAddr().Addr())
	if counted {
		a.Visitor = key
	}
	if stay = f.gateway.arrive(key, counted); !stay {
		f.gateway.count.handshakes[refusedFlood].Inc()
		f.gateway.depart(key, counted)
	}
	return stay
}

// Left takes note of one that has said nothing (see websocket.Greeter).
func (f *front) Left(a *websocket.Arrival) {
	f.gateway.depart(a.Visitor, a.Visitor.IsValid())
	f.gateway.count.handshakes[unread].Inc()
}

// Greet accepts a handshake or hands the connection on (see websocket.Greeter).
func (f *front) Greet(a *websocket.Arrival, first []byte) {
	given := false // and counted on, or a shutdown would not see that it is there
	defer func() {
		if !given {
			f.gateway.depart(a.Visitor, a.Visitor.IsValid())
		}
	}()
	v := takeGuest()
	defer giveGuest(v)
	head, n := websocket.ParseRequest(first, v.plain.fields)
	if n == 0 || !f.gateway.receive(a, v, head, first[n:]) {
		given = f.handOn(a, first)
	}
}

// handOn gives the connection to net/http, with what was read of it, and reports
// whether that worked.
func (f *front) handOn(a *websocket.Arrival, first []byte) (given bool) {
	select {
	case <-f.closed:
		f.gateway.count.handshakes[refusedDrain].Inc()
		a.Write([]byte(drainAnswer))
		a.Close()
		return false
	default:
	}
	until := time.Now().Add(f.gateway.opts().HandshakeTimeout - a.Age())
	nc, err := a.Conn()
	if err != nil {
		f.gateway.log.Warn("a connection cannot be handed on", "error", err)
		f.gateway.count.handshakes[broken].Inc()
		return false
	}
	if nc.RemoteAddr() == nil { // it has gone: the system does not know any more who it was
		nc.Close()
		f.gateway.count.handshakes[broken].Inc()
		return false
	}
	return f.give(&replayed{Conn: nc, visitor: a.Visitor, rest: slices.Clone(first), until: until})
}

// give has net/http accept c, or refuse it if that has ended.
func (f *front) give(c *replayed) (given bool) {
	select {
	case f.handed <- c:
	default:
		c.Close()
		f.gateway.count.handshakes[refusedFlood].Inc()
		return false
	}
	select {
	case <-f.closed: // meanwhile
		f.turnOut()
	default:
	}
	return true
}

// drainAnswer is for who has connected before we stopped accepting, and speaks
// after that.
const drainAnswer = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"

// receive accepts a handshake in the loop, if all is well and PHP need not be
// asked, or refuses it if there is no room. If neither, nothing has happened.
func (g *Gateway) receive(a *websocket.Arrival, v *guest, head websocket.RequestHead, early []byte) bool {
	r, ok := v.plain.read(head)
	if !ok || g.judge(v, r, a.RemoteAddr(), a.LocalAddr()) != nil {
		return false
	}
	var s *session
	refused := g.crowded()
	if refused == nil {
		if v.joined.has(eventConnect) {
			return false
		}
		s, refused = g.admit(v)
	}
	switch {
	case refused == nil:
	case refused.status == http.StatusServiceUnavailable:
		g.turnDown(a, r, refused)
		return true
	default: // the route has gone at this moment
		return false
	}
	defer s.release()
	var err error
	if v.answer, err = s.acceptance(v.answer, v.offer, v.speaks, nil); err != nil {
		panic("BUG: " + err.Error())
	}
	if !a.Write(v.answer) {
		a.Close()
		s.turnAway(false)
		g.count.handshakes[broken].Inc()
		return true
	}
	s.enter(a.Upgrade(s, s.limits(v.offer)), nil, early)
	g.count.handshakes[accepted].Inc()
	return true
}

// turnDown refuses a handshake for which there is no room, in the loop: that is
// not to cost more than to accept it.
func (g *Gateway) turnDown(a *websocket.Arrival, r *http.Request, refused *rebuff) {
	g.count.handshakes[refused.result].Inc()
	g.logRefused(refused.result, r)
	a.Write([]byte(noRoomAnswer))
	a.Close()
}

// A replayed connection begins with what was read of it before.
type replayed struct {
	net.Conn
	visitor netip.Prefix // in whose share it is counted; zero: nobody's
	rest    []byte
	until   time.Time // the first read deadline is not behind it; zero: it was
}

func (c *replayed) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// SetReadDeadline takes into account that a handshake's time began before.
func (c *replayed) SetReadDeadline(t time.Time) error {
	if !c.until.IsZero() && c.until.Before(t) {
		t = c.until
	}
	c.until = time.Time{}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite is asked for by net/http, which lets a client read its answer.
func (c *replayed) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}
