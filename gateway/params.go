package gateway

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"ws-fpm/fastcgi"
)

// This file is a trust boundary: whoever chooses the name of a param can run
// code in php-fpm. Every name below is written out, but for HTTP_*, which is
// made of a header's name in one place, and WS_ATTR_*, which PHP chooses.

// An environment gathers params; the first error sticks.
type environment struct {
	params fastcgi.Params
	err    error
}

func (e *environment) add(name, value string) {
	if e.err == nil {
		e.params, e.err = fastcgi.AppendParam(e.params, name, value)
	}
}

// addText adds a value that was not ours to choose: anything that AppendParam
// does not take, and other control characters, is an error as well.
func (e *environment) addText(name, value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			e.err = cmp.Or(e.err, errControl)
		}
	}
	e.add(name, value)
}

var errControl = errors.New("gateway: control character in a param")

// routeParams are the same for every request of a route.
func routeParams(r *Route, software, boot, api string) (fastcgi.Params, error) {
	var e environment
	script := "/" + strings.TrimLeft(strings.TrimPrefix(r.Script, strings.TrimRight(r.Root, "/")+"/"), "/")
	e.add("SCRIPT_FILENAME", r.Script)
	e.add("SCRIPT_NAME", script)
	e.add("DOCUMENT_URI", script)
	e.add("DOCUMENT_ROOT", r.Root)
	e.add("GATEWAY_INTERFACE", "CGI/1.1")
	e.add("SERVER_SOFTWARE", software)
	e.add("SERVER_PROTOCOL", "HTTP/1.1")
	e.add("REDIRECT_STATUS", "200")
	e.add("WS_ROUTE", r.Prefix)
	e.add("WS_BOOT", boot)
	if api != "" {
		e.add("WS_API", api)
	}
	return e.params, e.err
}

// A request is what of a handshake reaches PHP, again with every event.
type request struct {
	uri, query string
	host       string // the Host header
	header     map[string][]string
	peer       peer
	serverAddr string // of the socket's own end
	serverPort string
}

// Blocks are the params of a request, the same for every event of a connection.
// What all have alike who come with the same browser to the same site is in
// common, of which one copy serves all of them: it is most of what a connection
// takes. Neither what tells one visitor from another nor a secret is in there.
type blocks struct {
	common, own environment
	names       []string // of the request's header; memory only
}

// emptied gives the memory of b for another request.
func (b *blocks) emptied() blocks {
	clear(b.names)
	return blocks{environment{params: b.common.params[:0]}, environment{params: b.own.params[:0]}, b.names[:0]}
}

// gather makes the params of r. Their memory is that of what b held before.
func (b *blocks) gather(r *request) error {
	*b = b.emptied()
	b.own.add("REMOTE_ADDR", r.peer.addr) // the first: see session.adopt
	b.own.add("REMOTE_PORT", r.peer.port)
	b.own.add("REQUEST_URI", r.uri)
	if r.query != "" {
		b.own.add("QUERY_STRING", r.query)
	} else {
		b.common.add("QUERY_STRING", "")
	}
	b.common.add("SERVER_NAME", serverName(r.host, r.serverAddr))
	b.common.add("SERVER_ADDR", r.serverAddr)
	b.common.add("SERVER_PORT", r.serverPort)
	if r.peer.scheme == "https" {
		b.common.add("REQUEST_SCHEME", "https")
		b.common.add("HTTPS", "on") // absent otherwise: PHP programs test for non-empty
	} else {
		b.common.add("REQUEST_SCHEME", "http")
	}
	b.common.add("HTTP_HOST", r.host)
	for name := range r.header {
		b.names = append(b.names, name)
	}
	slices.Sort(b.names)
	for _, name := range b.names {
		if forwards(name, r.peer.trusted) {
			b.addHeader(name, r.header[name])
		}
	}
	return cmp.Or(b.common.err, b.own.err)
}

func (b *blocks) addHeader(name string, values []string) {
	if name == "Cookie" {
		b.own.add("HTTP_COOKIE", strings.Join(values, "; ")) // RFC 6265, section 5.4
		return
	}
	value := strings.Join(values, ", ")
	if param := commonParam(name); param != "" {
		b.common.add(param, value)
	} else {
		b.own.add(headerParam(name), value)
	}
}

// commonParam is the param of a header that many visitors have alike, empty for
// all others. Any other may be a secret, so these are written out.
func commonParam(name string) string {
	switch name {
	case "Accept":
		return "HTTP_ACCEPT"
	case "Accept-Encoding":
		return "HTTP_ACCEPT_ENCODING"
	case "Accept-Language":
		return "HTTP_ACCEPT_LANGUAGE"
	case "Cache-Control":
		return "HTTP_CACHE_CONTROL"
	case "Origin":
		return "HTTP_ORIGIN"
	case "Pragma":
		return "HTTP_PRAGMA"
	case "Sec-Fetch-Dest":
		return "HTTP_SEC_FETCH_DEST"
	case "Sec-Fetch-Mode":
		return "HTTP_SEC_FETCH_MODE"
	case "Sec-Fetch-Site":
		return "HTTP_SEC_FETCH_SITE"
	case "User-Agent":
		return "HTTP_USER_AGENT"
	case "X-Forwarded-Host":
		return "HTTP_X_FORWARDED_HOST"
	case "X-Forwarded-Port":
		return "HTTP_X_FORWARDED_PORT"
	case "X-Forwarded-Proto":
		return "HTTP_X_FORWARDED_PROTO"
	}
	return ""
}

// headerParam is the param of a header's name that forwards has let pass.
func headerParam(name string) string {
	b := append(make([]byte, 0, 64), "HTTP_"...)
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c == '-':
			c = '_'
		}
		b = append(b, c)
	}
	return string(b)
}

// forwards reports whether the header reaches PHP. Not forwarded are those
// that describe this connection and not the request (RFC 9110, section 7.6.1),
// those of the WebSocket handshake, Content-* of a body there is not, Proxy,
// which some programs take for a setting of their own (httpoxy), and from all
// but trusted proxies what claims to say who the client is.
//
// The Connection header's own list of further names is not obeyed: with it a
// client could take away what a proxy has added.
func forwards(name string, trusted bool) bool {
	if !plainName(name) {
		return false
	}
	var short [32]byte // longer ones are told apart by how they begin
	lower := short[:copy(short[:], name)]
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	switch string(lower) {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
		"te", "trailer", "transfer-encoding", "upgrade", "content-length", "content-type", "proxy", "host":
		return false
	case "forwarded", "x-real-ip":
		return trusted
	}
	if bytes.HasPrefix(lower, []byte("x-forwarded-")) {
		return trusted
	}
	return !bytes.HasPrefix(lower, []byte("sec-websocket-"))
}

// plainName reports whether name is of [A-Za-z0-9-] only. Others, X_A or X.A,
// would become the param of another header, which PHP could not tell apart.
func plainName(name string) bool { return name != "" && madeOf(name, "-") }

// madeOf reports whether s has no characters but letters and digits of ASCII and
// those of others.
func madeOf(s, others string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(others, c) >= 0:
		default:
			return false
		}
	}
	return true
}

// serverName is the host that the client asked for, without its port, if it
// can be one, else the address it connected to.
func serverName(host, fallback string) string {
	name := host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name = host[:i]
	}
	if name == "" || !madeOf(name, "-.:[]") {
		return fallback
	}
	return name
}

// contentType is the CONTENT_TYPE of a message: the one that is fixed, or one
// chosen by the message's look.
func contentType(fixed string, text bool, body []byte) string {
	switch {
	case fixed != "auto":
		return fixed
	case !text:
		return "application/octet-stream"
	case len(body) > 0 && (body[0] == '{' || body[0] == '['):
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

func itoa(n int) string { return strconv.Itoa(n) }
