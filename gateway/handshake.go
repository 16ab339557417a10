package gateway

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"
	"unique"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// ServeHTTP answers one request: it becomes a session or is refused.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.heard.Add(1)
	defer g.rescueHandshake()
	answer := http.NewResponseController(w)
	answer.SetWriteDeadline(time.Now().Add(g.opts().HandshakeTimeout))
	w.Header().Set("Connection", "close")
	result := g.handshake(w, r)
	if result != "" {
		g.count.handshakes[result].Inc()
	}
	if result != "" && result != accepted {
		g.logRefused(result, r)
	}
	if result != accepted && result != broken {
		// net/http now waits for the rest of a body, and sets no limit.
		answer.SetReadDeadline(time.Now().Add(g.opts().HandshakeTimeout))
	}
}

func (g *Gateway) logRefused(result outcome, r *http.Request) {
	g.log.Info("handshake refused", "result", string(result), "path", r.URL.Path, "host", r.Host, "origin", r.Header.Get("Origin"))
}

// rescueHandshake is deferred where a handshake is answered: a panic ends that
// connection.
func (g *Gateway) rescueHandshake() {
	if v := recover(); v != nil {
		g.panicked(v, debug.Stack())
		panic(http.ErrAbortHandler) // which net/http takes as an order to cut it
	}
}

// handshake does the work of ServeHTTP. The result is empty for a request that
// was no handshake and went to the fallback.
func (g *Gateway) handshake(w http.ResponseWriter, r *http.Request) outcome {
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // zero for a Unix socket
	v := takeGuest()
	defer giveGuest(v)
	if refused := g.judge(v, r, remote, localAddr(r)); refused != nil {
		if fallback := g.opts().Fallback; fallback != nil && refused.status == http.StatusNotFound {
			fallback.ServeHTTP(w, r)
			return ""
		}
		refused.write(w)
		return refused.result
	}
	var s *session
	refused := g.crowded()
	if refused == nil {
		s, refused = g.admit(v)
	}
	if refused != nil {
		refused.write(w)
		return refused.result
	}
	return s.accept(w, r, v)
}

// crowded refuses everybody while memory is short.
func (g *Gateway) crowded() *rebuff {
	switch {
	case g.conns.Pressed():
		return noRoom(refusedBuffers)
	case g.opts().MemoryShort():
		return noRoom(refusedMemory)
	}
	return nil
}

// admit gives a guest a place, if there is one and it is not crowded.
func (g *Gateway) admit(v *guest) (*session, *rebuff) {
	who, result, ok := g.enter(v.route, v.visitor)
	switch {
	case result == refusedPath:
		return nil, noRoute()
	case !ok:
		return nil, noRoom(result)
	}
	s := &session{gateway: g, route: v.route, joined: v.joined, terms: v.joined, id: randomID(), since: time.Now().UnixMilli(),
		remote: v.request.peer.addr, visitor: who}
	if s.joined.has(eventConnect) {
		s.identify(&v.params, "") // until PHP has answered
	} else {
		s.identify(&v.params, v.speaks)
		s.adopt()
	}
	g.hub.Join(&s.seat, s.id, s)
	return s, nil
}

// accept asks PHP, where the route wants that, and upgrades.
func (s *session) accept(w http.ResponseWriter, r *http.Request, v *guest) outcome {
	defer s.release()
	subprotocol := v.speaks
	var said *welcome
	if s.joined.has(eventConnect) {
		answer := s.connect(v.offer.Subprotocols)
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.gateway.opts().HandshakeTimeout))
		if answer.welcome == nil {
			s.turnAway(answer.owed)
			answer.write(w)
			return answer.result
		}
		said, subprotocol = answer.welcome, answer.welcome.subprotocol
		if changes := said.cookieChanges(time.Now()); len(changes) > 0 {
			v.request.setCookies(changes)
			if err := v.params.gather(&v.request); err != nil {
				s.turnAway(true)
				http.Error(w, "cookies not fit for CGI", http.StatusBadGateway)
				return refusedBackend
			}
		}
		s.identify(&v.params, subprotocol)
	}
	if r.Context().Err() != nil {
		s.turnAway(said != nil) // it left while PHP was thinking
		return broken
	}
	return s.upgrade(w, v.offer, subprotocol, said)
}

// release gives up the place of a session whose handshake panics.
func (s *session) release() {
	v := recover()
	switch {
	case v == nil:
		return
	case s.conn != nil:
		s.conn.Kill() // which ends the session
	default:
		s.turnAway(true) // PHP may have let it in
	}
	panic(v)
}

// identify makes the params that every event of the connection repeats.
func (s *session) identify(params *blocks, subprotocol string) {
	e := environment{params: params.own.params}
	if subprotocol != "" {
		e.add("WS_SUBPROTOCOL", subprotocol)
	}
	e.add("WS_CONNECTED_AT", itoa(int(s.since)))
	e.add("WS_CONNECTION_ID", s.id) // the last: see adopt
	if e.err != nil {
		panic("BUG: " + e.err.Error())
	}
	s.common, s.own = unique.Make(string(params.common.params)), string(e.params)
}

// adopt makes the id and the address of s parts of its own params, which are not
// to change any more: nothing is kept twice.
func (s *session) adopt() {
	s.remote = s.own[2+len("REMOTE_ADDR"):][:len(s.remote)]
	s.id = s.own[len(s.own)-len(s.id):]
}

// appendParams appends those params to b.
func (s *session) appendParams(b fastcgi.Params) fastcgi.Params {
	if s.common != (unique.Handle[string]{}) { // else nobody has come: see startSession
		b = append(b, s.common.Value()...)
	}
	return append(b, s.own...)
}

// turnAway ends a session that was admitted and does not come about.
func (s *session) turnAway(owed bool) {
	s.part(websocket.Closing{Code: websocket.StatusAbnormal}, owed && s.joined.has(eventDisconnect))
}

// acceptance appends the response that accepts the handshake to b.
func (s *session) acceptance(b []byte, offer websocket.Handshake, subprotocol string, said *welcome) ([]byte, error) {
	var extra http.Header
	if said != nil {
		if cookies := said.header.Values("Set-Cookie"); len(cookies) > 0 {
			extra = http.Header{"Set-Cookie": cookies}
		}
	}
	return websocket.AppendResponse(b, offer.Key, subprotocol, s.deflate(offer), extra)
}

// upgrade completes the handshake and starts the session.
func (s *session) upgrade(w http.ResponseWriter, offer websocket.Handshake, subprotocol string, said *welcome) outcome {
	g := s.gateway
	answer, err := s.acceptance(nil, offer, subprotocol, said)
	if err != nil {
		g.log.Warn("reply of PHP", "connection", s.id, "script", s.terms.Script, "error", string(badReply), "reason", err.Error())
		s.turnAway(said != nil)
		http.Error(w, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
		return refusedBackend
	}
	nc, early, err := hijack(w)
	if err != nil {
		g.log.Error("taking over a connection", "error", err)
		s.turnAway(said != nil)
		return broken
	}
	nc.SetDeadline(time.Now().Add(g.opts().HandshakeTimeout))
	if _, err := nc.Write(answer); err != nil {
		nc.Close()
		s.turnAway(said != nil)
		return broken
	}
	nc.SetDeadline(time.Time{})
	s.enter(g.conns.NewConn(nc, s, s.limits(offer)), said, early)
	return accepted
}

// deflate is what of the client's offer to compress is agreed on.
func (s *session) deflate(offer websocket.Handshake) websocket.Deflate {
	if !s.joined.Compression {
		return 0
	}
	return offer.Deflate
}

// limits are those of the session's connection.
func (s *session) limits(offer websocket.Handshake) websocket.Limits {
	return websocket.Limits{MaxMessage: s.joined.MaxMessage, MessageRate: s.joined.MessageRate, Fragment: s.joined.Fragment,
		Outbox: s.joined.Outbox, Deflate: s.deflate(offer)}
}

// enter starts the session, with what PHP said at connect, if it was asked, and
// with what the client has sent behind its handshake.
func (s *session) enter(c *websocket.Conn, said *welcome, early []byte) {
	s.conn = c
	s.greet(said)
	if last := s.begin(); last != nil {
		s.closeNow(*last)
	}
	s.conn.Start(early)
	if s.gateway.isRefusing() {
		s.goAway() // Shutdown may have looked before the session was there
	}
}

// hijack takes the connection away from net/http, with the bytes that came
// behind the request.
func hijack(w http.ResponseWriter) (nc net.Conn, early []byte, err error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early = buffered(rw.Reader)
	if r, is := nc.(*replayed); is {
		nc, early = r.Conn, append(early, r.rest...)
	}
	return nc, early, nil
}

// buffered copies what r has read ahead, so that r itself can go.
func buffered(r *bufio.Reader) []byte {
	b, err := r.Peek(r.Buffered())
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return slices.Clone(b)
}

// localAddr is the address of a request's socket as net/http tells it.
func localAddr(r *http.Request) netip.AddrPort {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		addr, _ := netip.ParseAddrPort(local.String()) // zero for a Unix socket
		return addr
	}
	return netip.AddrPort{}
}
