package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"ws-fpm/websocket"
)

// plainRequest makes of a request in its plainest form what net/http would. It
// reports false where it takes more than putting it down: fields that come
// twice, that say something about a body, or that net/http reads more into.
func plainRequest(head websocket.RequestHead) (r *http.Request, ok bool) {
	u, err := url.ParseRequestURI(head.Target)
	if err != nil {
		return nil, false
	}
	r = &http.Request{Method: http.MethodGet, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(head.Fields)), RequestURI: head.Target}
	values := make([]string, len(head.Fields))
	for i, f := range head.Fields {
		switch name := http.CanonicalHeaderKey(f.Name); {
		case name == "Host" && r.Host == "" && plainHost(f.Value):
			r.Host = f.Value
		case name == "Host", name == "Content-Length", name == "Transfer-Encoding", name == "Trailer", name == "Expect", r.Header[name] != nil:
			return nil, false
		default:
			values[i] = f.Value
			r.Header[name] = values[i : i+1 : i+1]
		}
	}
	pragma := r.Header["Pragma"] != nil && r.Header["Cache-Control"] == nil // net/http adds that
	return r, r.Host != "" && !pragma
}

// plainHost reports whether s can be nothing but a host and a port.
func plainHost(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._:[]", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
