package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"ws-fpm/websocket"
)

// Limits of a handshake's request. Those of net/http's own parser come first.
const (
	maxHeaderBytes = 12 << 10 // net/http adds 4 KiB of grace: 16 KiB in all; 431
	maxFields      = 100      // header fields, repeated ones each; 431
	maxTarget      = 8 << 10  // bytes of path and query; 414
)

// A guest is a handshake that may be accepted, unless there is no room, or PHP
// says no. Whoever takes one gives it back when the handshake is over.
type guest struct {
	route   *route
	joined  *terms
	request request
	params  blocks // of request
	offer   websocket.Handshake
	speaks  string       // the subprotocol agreed on, unless PHP says otherwise
	visitor netip.Prefix // whose connections are counted together; zero: nobody's

	plain  plain  // where the request is put down, if that is not for net/http
	answer []byte // to it, then
}

var guests = sync.Pool{New: func() any { return new(guest) }}

func takeGuest() *guest { return guests.Get().(*guest) }

// giveGuest leaves nothing of v but memory for the next.
func giveGuest(v *guest) {
	poison(v.params.common.params)
	poison(v.params.own.params)
	poison(v.answer)
	*v = guest{params: v.params.emptied(), plain: v.plain.emptied(), answer: v.answer[:0]}
	guests.Put(v)
}

// judge decides by the request alone, which came from remote to local, whether v
// may be accepted.
func (g *Gateway) judge(v *guest, r *http.Request, remote, local netip.AddrPort) *rebuff {
	o := g.opts()
	if result, status := checkSize(r); status != 0 {
		return &rebuff{result, status, http.StatusText(status), nil}
	}
	if o.Hosts != nil && !o.Hosts(r.Host) {
		return &rebuff{refusedHost, http.StatusForbidden, "not a name of this server", nil}
	}
	// As it was sent: net/url puts some paths into a form of its own.
	if path, _, _ := strings.Cut(r.RequestURI, "?"); checkPath(path) != nil {
		return &rebuff{refusedPath, http.StatusBadRequest, "bad path", nil}
	}
	if v.route = o.find(r.URL.Path); v.route == nil {
		return noRoute()
	}
	var refusal *websocket.Refusal
	if v.offer, refusal = websocket.CheckHandshake(r); refusal != nil {
		return &rebuff{refusedRequest, refusal.Status, refusal.Reason, refusal.Header}
	}
	v.joined = v.route.now.Load()
	v.request = readRequest(r, o.Trust, remote, local)
	if !websocket.OriginAllowed(r.Header.Get("Origin"), r.Host, v.request.knownScheme(r), v.joined.Origins) {
		return &rebuff{refusedOrigin, http.StatusForbidden, "this page's origin may not connect: it is not the request's Host " +
			"(behind nginx: proxy_set_header Host $http_host), nor in the route's origins", nil}
	}
	if err := v.params.gather(&v.request); err != nil {
		return &rebuff{refusedRequest, http.StatusBadRequest, "request not fit for CGI", nil}
	}
	v.speaks = choose(v.joined.Subprotocols, v.offer.Subprotocols)
	v.visitor, _ = o.Trust.visitorKey(v.request.peer.ip)
	return nil
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

// noRoom is for whom there is no place now; there may be one soon.
func noRoom(result outcome) *rebuff {
	return &rebuff{result, http.StatusServiceUnavailable, "no more connections at the moment", http.Header{"Retry-After": {"5"}}}
}

// noRoomAnswer is noRoom as net/http writes it, but for the date.
const noRoomAnswer = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Retry-After: 5\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 34\r\n\r\nno more connections at the moment\n"

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
func readRequest(r *http.Request, trust Trust, remote, local netip.AddrPort) request {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	req := request{
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

// choose picks the first of ours that was offered, or none.
func choose(ours, offered []string) string {
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}
