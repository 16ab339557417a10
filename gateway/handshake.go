package gateway

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// Limits of a handshake's request. Those of net/http's own parser come first.
const (
	maxHeaderBytes = 12 << 10 // net/http adds 4 KiB of grace: 16 KiB in all; 431
	maxFields      = 100      // header fields, repeated ones each; 431
	maxTarget      = 8 << 10  // bytes of path and query; 414
)

// newHTTPServer makes the server for handshakes: HTTP/1.1 alone, for a
// WebSocket over HTTP/2 (RFC 8441) is another protocol. It has one request a
// connection, for ServeHTTP closes whatever is not upgraded; SetKeepAlivesEnabled
// would do that too, but take the "Upgrade" from the Connection field of a 426.
func (g *Gateway) newHTTPServer() *http.Server {
	s := &http.Server{
		Handler:                      g,
		ReadHeaderTimeout:            g.opts().HandshakeTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		ErrorLog:                     slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		ConnState:                    g.connState,
	}
	s.Protocols.SetHTTP1(true)
	return s
}

// connState counts connections that are not upgraded, all together and by
// client address. One too many is closed before a byte of it is read.
func (g *Gateway) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		o := g.opts()
		fits := g.handshakes.Add(1) <= int64(o.MaxHandshakes)
		if key, counted := o.Trust.socketKey(c); counted {
			g.shaking.Store(c, key)
			fits = g.visitors.begin(key, max(1, o.MaxHandshakes/maxHandshakeShare)) && fits
		}
		if !fits {
			g.heard.Add(1)
			g.count.handshakes[refusedFlood].Inc()
			c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		g.handshakes.Add(-1)
		if key, counted := g.shaking.LoadAndDelete(c); counted {
			g.visitors.end(key.(netip.Prefix))
		}
		// Whatever net/http itself refuses never reaches ServeHTTP; all that
		// is seen of it is one connection more that ends than was heard.
		if g.heard.Add(-1) < 0 {
			g.heard.Add(1)
			g.count.handshakes[unread].Inc()
		}
	}
}

// socketKey is the visitorKey of the socket's other end: before a request is
// read that is all that is known of a client.
func (t Trust) socketKey(c net.Conn) (key netip.Prefix, counted bool) {
	a, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}, false
	}
	return t.visitorKey(a.Addr().Unmap().String())
}

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
		g.log.Info("handshake refused", "result", string(result), "path", r.URL.Path, "host", r.Host, "origin", r.Header.Get("Origin"))
	}
	if result != accepted && result != broken {
		// net/http now waits for the rest of a body, and sets no limit.
		answer.SetReadDeadline(time.Now().Add(g.opts().HandshakeTimeout))
	}
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
	if result, status := checkSize(r); status != 0 {
		http.Error(w, http.StatusText(status), status)
		return result
	}
	if g.opts().Hosts != nil && !g.opts().Hosts(r.Host) {
		http.Error(w, "not a name of this server", http.StatusForbidden)
		return refusedHost
	}
	// As it was sent: net/url puts some paths into a form of its own.
	if path, _, _ := strings.Cut(r.RequestURI, "?"); checkPath(path) != nil {
		http.Error(w, "bad path", http.StatusBadRequest)
		return refusedPath
	}
	o := g.opts()
	route := o.find(r.URL.Path)
	switch {
	case route == nil && o.Fallback != nil:
		o.Fallback.ServeHTTP(w, r)
		return ""
	case route == nil:
		http.Error(w, "not found", http.StatusNotFound)
		return refusedPath
	}
	offer, refusal := websocket.CheckHandshake(r)
	if refusal != nil {
		for name, values := range refusal.Header {
			w.Header()[name] = values
		}
		http.Error(w, refusal.Reason, refusal.Status)
		return refusedRequest
	}
	joined := route.now.Load()
	req := readRequest(r, o.Trust)
	if !websocket.OriginAllowed(r.Header.Get("Origin"), r.Host, req.knownScheme(r), joined.Origins) {
		http.Error(w, "this page's origin may not connect: it is not the request's Host (behind nginx: "+
			"proxy_set_header Host $http_host), nor in the route's origins", http.StatusForbidden)
		return refusedOrigin
	}
	params, err := requestParams(req)
	if err != nil {
		http.Error(w, "request not fit for CGI", http.StatusBadRequest)
		return refusedRequest
	}
	visitor, _ := o.Trust.visitorKey(req.peer.addr)
	result, ok := g.enter(route, visitor)
	switch {
	case result == refusedPath:
		http.Error(w, "not found", http.StatusNotFound)
		return result
	case !ok:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "no more connections at the moment", http.StatusServiceUnavailable)
		return result
	}
	s := &session{gateway: g, route: route, joined: joined, terms: joined, id: randomID(), since: time.Now(),
		remote: req.peer.addr, visitor: visitor}
	s.identify(params, "")
	g.hub.Join(&s.seat, s.id, s)
	return s.admit(w, r, req, offer)
}

// admit asks PHP, where the route wants that, and upgrades.
func (s *session) admit(w http.ResponseWriter, r *http.Request, req *request, offer websocket.Handshake) outcome {
	defer s.release()
	subprotocol := choose(s.joined.Subprotocols, offer.Subprotocols)
	var said *welcome
	if s.joined.has(eventConnect) {
		v := s.connect(offer.Subprotocols)
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.gateway.opts().HandshakeTimeout))
		if v.welcome == nil {
			s.turnAway(v.owed)
			v.write(w)
			return v.result
		}
		said, subprotocol = v.welcome, v.welcome.subprotocol
		if changes := said.cookieChanges(time.Now()); len(changes) > 0 {
			req.setCookies(changes)
		}
	}
	params, err := requestParams(req)
	if err != nil {
		s.turnAway(said != nil)
		http.Error(w, "cookies not fit for CGI", http.StatusBadGateway)
		return refusedBackend
	}
	s.identify(params, subprotocol)
	if r.Context().Err() != nil {
		s.turnAway(said != nil) // it left while PHP was thinking
		return broken
	}
	return s.upgrade(w, offer, subprotocol, said)
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
func (s *session) identify(params fastcgi.Params, subprotocol string) {
	e := environment{params: params}
	e.add("WS_CONNECTION_ID", s.id)
	e.add("WS_CONNECTED_AT", itoa(int(s.since.UnixMilli())))
	if subprotocol != "" {
		e.add("WS_SUBPROTOCOL", subprotocol)
	}
	if e.err != nil {
		panic("BUG: " + e.err.Error())
	}
	s.params = slices.Clone(e.params)
}

// turnAway ends a session that was admitted and does not come about.
func (s *session) turnAway(owed bool) {
	s.part(websocket.Closing{Code: websocket.StatusAbnormal}, owed && s.joined.has(eventDisconnect))
}

// checkSize refuses a request that is larger than a handshake has to be.
func checkSize(r *http.Request) (result outcome, status int) {
	fields := 1 // Host, which net/http keeps apart
	for _, values := range r.Header {
		fields += len(values)
	}
	switch {
	case fields > maxFields:
		return refusedSize, http.StatusRequestHeaderFieldsTooLarge
	case len(r.RequestURI) > maxTarget:
		return refusedSize, http.StatusRequestURITooLong
	}
	return "", 0
}

// readRequest takes from r what PHP is told.
func readRequest(r *http.Request, trust Trust) *request {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // zero for a Unix socket
	req := &request{
		uri:        r.RequestURI,
		query:      r.URL.RawQuery,
		host:       r.Host,
		header:     r.Header,
		peer:       trust.findPeer(remote, scheme, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"]),
		serverAddr: "unix:",
		serverPort: "80",
	}
	if req.peer.scheme == "https" {
		req.serverPort = "443"
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if addr, err := netip.ParseAddrPort(local.String()); err == nil {
			req.serverAddr, req.serverPort = addr.Addr().Unmap().WithZone("").String(), itoa(int(addr.Port()))
		}
	}
	return req
}

// knownScheme is how the client reached us, where that is known: over our own
// TLS, or as a trusted proxy says. A plain socket tells nothing, for a proxy
// that is not configured as trusted may do TLS in front of it.
func (q *request) knownScheme(r *http.Request) string {
	if r.TLS != nil || q.peer.told {
		return q.peer.scheme
	}
	return ""
}

// upgrade completes the handshake and starts the session, which begins with
// what PHP said at connect, if it was asked.
func (s *session) upgrade(w http.ResponseWriter, offer websocket.Handshake, subprotocol string, said *welcome) outcome {
	g := s.gateway
	deflate := offer.Deflate
	if !s.joined.Compression {
		deflate = 0
	}
	extra := http.Header{}
	if said != nil {
		if cookies := said.header.Values("Set-Cookie"); len(cookies) > 0 {
			extra["Set-Cookie"] = cookies
		}
	}
	answer, err := websocket.AppendResponse(nil, offer.Key, subprotocol, deflate, extra)
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
	s.conn = g.conns.NewConn(nc, s, websocket.Limits{
		MaxMessage: s.joined.MaxMessage, MessageRate: s.joined.MessageRate, Fragment: s.joined.Fragment, Outbox: s.joined.Outbox,
		Deflate: deflate,
	})
	s.greet(said)
	if last := s.begin(); last != nil {
		s.closeNow(*last)
	}
	s.conn.Start(early)
	if g.isRefusing() {
		s.goAway() // Shutdown may have looked before the session was there
	}
	return accepted
}

// hijack takes the connection away from net/http, with the bytes that came
// behind the request.
func hijack(w http.ResponseWriter) (nc net.Conn, early []byte, err error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return nc, buffered(rw.Reader), nil
}

// buffered copies what r has read ahead, so that r itself can go.
func buffered(r *bufio.Reader) []byte {
	b, err := r.Peek(r.Buffered())
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return slices.Clone(b)
}

// choose picks the first of ours that was offered, or none.
func choose(ours, offered []string) string {
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}
