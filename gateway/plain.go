package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ws-fpm/websocket"
)

// A plain is memory in which requests are put down, one after the other, without
// making it anew.
type plain struct {
	fields  []websocket.RequestField
	request http.Request
	url     url.URL
	header  http.Header
	values  []string
}

// maxPlain is how many fields memory may have room for to be used again: it is
// cleared each time, and one large request must not make all later ones dearer.
const maxPlain = 32

// emptied gives the memory of p for another request.
func (p *plain) emptied() plain {
	if cap(p.fields) > maxPlain {
		return plain{}
	}
	clear(p.fields[:cap(p.fields)]) // a request that was not plain may have left some
	clear(p.header)
	clear(p.values)
	return plain{fields: p.fields[:0], header: p.header, values: p.values[:0]}
}

// read makes of a request in its plainest form what net/http would. It reports
// false where it takes more than putting it down: fields that come twice, that
// say something about a body, or that net/http reads more into.
func (p *plain) read(head websocket.RequestHead) (r *http.Request, ok bool) {
	p.fields = head.Fields
	if !p.readTarget(head.Target) {
		return nil, false
	}
	if p.header == nil {
		p.header = make(http.Header, len(head.Fields))
	}
	p.values = slices.Grow(p.values[:0], len(head.Fields)) // in one piece: parts of it are in the header
	r = &p.request
	*r = http.Request{Method: http.MethodGet, URL: &p.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: p.header, RequestURI: head.Target}
	for i, f := range head.Fields {
		switch name := canonical(f.Name); {
		case name == "Host" && r.Host == "" && plainHost(f.Value):
			r.Host = f.Value
			p.values = append(p.values, "")
		case name == "Host", name == "Content-Length", name == "Transfer-Encoding", name == "Trailer", name == "Expect", r.Header[name] != nil:
			return nil, false
		default:
			p.values = append(p.values, f.Value)
			r.Header[name] = p.values[i : i+1 : i+1]
		}
	}
	pragma := r.Header["Pragma"] != nil && r.Header["Cache-Control"] == nil // net/http adds that
	return r, r.Host != "" && !pragma
}

// readTarget does without package net/url where there is nothing to decode.
func (p *plain) readTarget(target string) bool {
	path, query, _ := strings.Cut(target, "?")
	if madeOf(path, "/-_.~") {
		p.url = url.URL{Path: path, RawQuery: query}
		return true
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	p.url = *u
	return true
}

// canonical is http.CanonicalHeaderKey, which makes a new string of the names
// that each handshake has.
func canonical(name string) string {
	switch name {
	case "Sec-WebSocket-Key":
		return "Sec-Websocket-Key"
	case "Sec-WebSocket-Version":
		return "Sec-Websocket-Version"
	case "Sec-WebSocket-Extensions":
		return "Sec-Websocket-Extensions"
	case "Sec-WebSocket-Protocol":
		return "Sec-Websocket-Protocol"
	}
	return http.CanonicalHeaderKey(name)
}

// plainHost reports whether s can be nothing but a host and a port.
func plainHost(s string) bool { return s != "" && madeOf(s, "-._:[]") }
