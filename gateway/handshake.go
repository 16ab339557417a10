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
		key, counted := g.opts().Trust.socketKey(c)
		if counted {
			g.shaking.Store(c, key)
		}
		if !g.arrive(key, counted) {
			g.heard.Add(1)
			g.count.handshakes[refusedFlood].Inc()
			c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		key, counted := g.shaking.LoadAndDelete(c)
		if counted {
			g.depart(key.(netip.Prefix), true)
		} else {
			g.depart(netip.Prefix{}, false)
		}
		// Whatever net/http itself refuses never reaches ServeHTTP; all that
		// is seen of it is one connection more that ends than was heard.
		if g.heard.Add(-1) < 0 {
			g.heard.Add(1)
			g.count.handshakes[unread].Inc()
		}
	}
}

// arrive counts one more connection that is not upgraded, in the share of key if
// that is counted, and reports whether it is one of as many as there may be. It
// is counted in any case, until depart.
func (g *Gateway) arrive(key netip.Prefix, counted bool) (fits bool) {
	o := g.opts()
	fits = g.handshakes.Add(1) <= int64(o.MaxHandshakes)
	if counted {
		fits = g.visitors.begin(key, max(1, o.MaxHandshakes/maxHandshakeShare)) && fits
	}
	return fits
}

func (g *Gateway) depart(key netip.Prefix, counted bool) {
	g.handshakes.Add(-1)
	if counted {
		g.visitors.end(key)
	}
}

// socketKey is the visitorKey of the socket's other end: before a request is
// read that is all that is known of a client.
func (t Trust) socketKey(c net.Conn) (key netip.Prefix, counted bool) {
	remote := c.RemoteAddr()
	if remote == nil {
		return netip.Prefix{}, false // it has gone, and nobody knows who it was
	}
	a, err := netip.ParseAddrPort(remote.String())
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
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // zero for a Unix socket
	guest, refused := g.judge(r, remote, localAddr(r))
	if refused != nil {
		if fallback := g.opts().Fallback; fallback != nil && refused.status == http.StatusNotFound {
			fallback.ServeHTTP(w, r)
			return ""
		}
		refused.write(w)
		return refused.result
	}
	s, refused := g.admit(guest)
	if refused != nil {
		refused.write(w)
		return refused.result
	}
	return s.accept(w, r, guest)
}

// A rebuff is the answer to a handshake that PHP is not asked about.
type rebuff struct {
	result outcome
	status int
	text   string      // for the client's developer; nothing from the request
	header http.Header // to be set
}

func (b *rebuff) write(w http.ResponseWriter) {
	for name, values := range b.header {
		w.Header()[name] = values
	}
	http.Error(w, b.text, b.status)
}

// noRoute is for a path that nobody serves, unless there is a fallback.
func noRoute() *rebuff { return &rebuff{refusedPath, http.StatusNotFound, "not found", nil} }

// A guest is a handshake that may be accepted, unless there is no room, or PHP
// says no.
type guest struct {
	route   *route
	joined  *terms
	request *request
	params  fastcgi.Params // of request
	offer   websocket.Handshake
	speaks  string       // the subprotocol agreed on, unless PHP says otherwise
	visitor netip.Prefix // whose connections are counted together; zero: nobody's
}

// judge decides by the request alone, which came from remote to local.
func (g *Gateway) judge(r *http.Request, remote, local netip.AddrPort) (*guest, *rebuff) {
	o := g.opts()
	if result, status := checkSize(r); status != 0 {
		return nil, &rebuff{result, status, http.StatusText(status), nil}
	}
	if o.Hosts != nil && !o.Hosts(r.Host) {
		return nil, &rebuff{refusedHost, http.StatusForbidden, "not a name of this server", nil}
	}
	// As it was sent: net/url puts some paths into a form of its own.
	if path, _, _ := strings.Cut(r.RequestURI, "?"); checkPath(path) != nil {
		return nil, &rebuff{refusedPath, http.StatusBadRequest, "bad path", nil}
	}
	v := &guest{route: o.find(r.URL.Path)}
	if v.route == nil {
		return nil, noRoute()
	}
	var refusal *websocket.Refusal
	if v.offer, refusal = websocket.CheckHandshake(r); refusal != nil {
		return nil, &rebuff{refusedRequest, refusal.Status, refusal.Reason, refusal.Header}
	}
	v.joined = v.route.now.Load()
	v.request = readRequest(r, o.Trust, remote, local)
	if !websocket.OriginAllowed(r.Header.Get("Origin"), r.Host, v.request.knownScheme(r), v.joined.Origins) {
		return nil, &rebuff{refusedOrigin, http.StatusForbidden, "this page's origin may not connect: it is not the request's Host " +
			"(behind nginx: proxy_set_header Host $http_host), nor in the route's origins", nil}
	}
	var err error
	if v.params, err = requestParams(v.request); err != nil {
		return nil, &rebuff{refusedRequest, http.StatusBadRequest, "request not fit for CGI", nil}
	}
	v.speaks = choose(v.joined.Subprotocols, v.offer.Subprotocols)
	v.visitor, _ = o.Trust.visitorKey(v.request.peer.addr)
	return v, nil
}

// admit gives a guest a place, if there is one.
func (g *Gateway) admit(v *guest) (*session, *rebuff) {
	result, ok := refusedBuffers, !g.conns.Pressed()
	if ok {
		result, ok = refusedMemory, !g.opts().MemoryShort()
	}
	if ok {
		result, ok = g.enter(v.route, v.visitor)
	}
	switch {
	case result == refusedPath:
		return nil, noRoute()
	case !ok:
		return nil, &rebuff{result, http.StatusServiceUnavailable, "no more connections at the moment", http.Header{"Retry-After": {"5"}}}
	}
	s := &session{gateway: g, route: v.route, joined: v.joined, terms: v.joined, id: randomID(), since: time.Now().UnixMilli(),
		remote: v.request.peer.addr, visitor: v.visitor}
	if s.joined.has(eventConnect) {
		s.identify(v.params, "")
	} else {
		s.identify(v.params, v.speaks)
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
		params := v.params
		if changes := said.cookieChanges(time.Now()); len(changes) > 0 {
			v.request.setCookies(changes)
			var err error
			if params, err = requestParams(v.request); err != nil {
				s.turnAway(true)
				http.Error(w, "cookies not fit for CGI", http.StatusBadGateway)
				return refusedBackend
			}
		}
		s.identify(params, subprotocol)
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
func (s *session) identify(params fastcgi.Params, subprotocol string) {
	e := environment{params: params}
	e.add("WS_CONNECTION_ID", s.id)
	e.add("WS_CONNECTED_AT", itoa(int(s.since)))
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

// readRequest takes from r, which came from remote to local, what PHP is told.
func readRequest(r *http.Request, trust Trust, remote, local netip.AddrPort) *request {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
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
	if local.IsValid() {
		req.serverAddr, req.serverPort = local.Addr().Unmap().WithZone("").String(), itoa(int(local.Port()))
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

// acceptance is the response that accepts the handshake.
func (s *session) acceptance(offer websocket.Handshake, subprotocol string, said *welcome) ([]byte, error) {
	var extra http.Header
	if said != nil {
		if cookies := said.header.Values("Set-Cookie"); len(cookies) > 0 {
			extra = http.Header{"Set-Cookie": cookies}
		}
	}
	return websocket.AppendResponse(nil, offer.Key, subprotocol, s.deflate(offer), extra)
}

// upgrade completes the handshake and starts the session.
func (s *session) upgrade(w http.ResponseWriter, offer websocket.Handshake, subprotocol string, said *welcome) outcome {
	g := s.gateway
	answer, err := s.acceptance(offer, subprotocol, said)
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

// choose picks the first of ours that was offered, or none.
func choose(ours, offered []string) string {
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}
