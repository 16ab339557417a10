package websocket

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const goodHandshake = "GET /chat HTTP/1.1\r\n" +
	"Host: server.example.com\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Origin: http://example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n\r\n"

// edit returns the handshake of RFC 6455, section 1.2, with the first line
// that begins with prefix replaced. An empty prefix adds lines.
func edit(prefix, lines string) string {
	if prefix == "" {
		return strings.TrimSuffix(goodHandshake, "\r\n") + lines + "\r\n\r\n"
	}
	i := strings.Index(goodHandshake, prefix)
	end := i + strings.Index(goodHandshake[i:], "\r\n")
	if lines == "" {
		end += 2
	}
	return goodHandshake[:i] + lines + goodHandshake[end:]
}

func checkHandshake(t testing.TB, wire string) (Handshake, *Refusal) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	return CheckHandshake(r)
}

func TestCheckHandshakeAccepts(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		offered    []string
	}{
		{"RFC 6455 1.2", goodHandshake, nil},
		{"Firefox's Connection", edit("Connection", "Connection: keep-alive, Upgrade"), nil},
		{"Connection in two lines", edit("Connection", "Connection: keep-alive\r\nConnection: upgrade"), nil},
		{"other case", edit("Upgrade:", "uPGRADE: WebSocket"), nil},
		{"another protocol to choose from", edit("Upgrade:", "Upgrade: foo/2, websocket"), nil},
		{"one subprotocol", edit("", "Sec-WebSocket-Protocol: chat"), []string{"chat"}},
		{"subprotocols in order", edit("", "Sec-WebSocket-Protocol: superchat , chat,v1.x"), []string{"superchat", "chat", "v1.x"}},
		{"subprotocols in two lines", edit("", "Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Protocol: a"), []string{"b", "a"}},
		{"subprotocols that differ in case", edit("", "Sec-WebSocket-Protocol: a, A"), []string{"a", "A"}},
		{"no Origin", edit("Origin", ""), nil},
		{"Content-Length of 0", edit("", "Content-Length: 0"), nil},
		{"an offer to deflate", edit("", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, refusal := checkHandshake(t, test.wire)
			if refusal != nil {
				t.Fatalf("refused: %d %s", refusal.Status, refusal.Reason)
			}
			if h.Key != "dGhlIHNhbXBsZSBub25jZQ==" || !slices.Equal(h.Subprotocols, test.offered) {
				t.Errorf("%+v; want subprotocols %q", h, test.offered)
			}
		})
	}
}

func TestCheckHandshakeRefuses(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		status     int
		reason     string
	}{
		{"POST", edit("GET", "POST /chat HTTP/1.1"), 405, "GET"},
		{"HEAD", edit("GET", "HEAD /chat HTTP/1.1"), 405, "GET"},
		{"lower-case method", edit("GET", "get /chat HTTP/1.1"), 405, "GET"},
		{"HTTP/1.0", edit("GET", "GET /chat HTTP/1.0"), 426, "HTTP/1.1"},
		{"HTTP/1.2", edit("GET", "GET /chat HTTP/1.2"), 426, "HTTP/1.1"},
		{"HTTP/2.0", edit("GET", "GET /chat HTTP/2.0"), 426, "HTTP/1.1"},
		{"absolute form with a foreign host", edit("GET", "GET http://evil.example/chat HTTP/1.1"), 400, "target"},
		{"absolute form without a path", edit("GET", "GET ws://evil.example HTTP/1.1"), 400, "target"},
		{"no Host", edit("Host", ""), 400, "Host"},
		{"body by length", edit("", "Content-Length: 5") + "Hello", 400, "body"},
		{"body by chunks", edit("", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400, "body"},
		{"two Origins", edit("", "Origin: http://other.example"), 400, "Origin"},

		{"no Upgrade", edit("Upgrade:", ""), 426, "WebSocket endpoint"},
		{"Upgrade to something else", edit("Upgrade:", "Upgrade: foo"), 426, "websocket"},
		{"Upgrade to a version of websocket", edit("Upgrade:", "Upgrade: websocket/13"), 426, "websocket"},
		{"empty Upgrade", edit("Upgrade:", "Upgrade: "), 426, "websocket"},
		{"two Upgrades", edit("", "Upgrade: websocket"), 400, "more than one protocol"},
		{"Upgrade to h2c", edit("Upgrade:", "Upgrade: h2c"), 400, "more than one protocol"},
		{"Upgrade to websocket or h2c", edit("Upgrade:", "Upgrade: websocket, H2C"), 400, "more than one protocol"},
		{"no Connection", edit("Connection", ""), 400, "Connection"},
		{"Connection without upgrade", edit("Connection", "Connection: keep-alive, upgraded"), 400, "Connection"},

		{"no version", edit("Sec-WebSocket-Version", ""), 426, "Version 13"},
		{"version 8", edit("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426, "Version 13"},
		{"version 14", edit("Sec-WebSocket-Version", "Sec-WebSocket-Version: 14"), 426, "Version 13"},
		{"version 013", edit("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013"), 426, "Version 13"},
		{"versions in a list", edit("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8"), 426, "Version 13"},
		{"two versions", edit("", "Sec-WebSocket-Version: 13"), 400, "more than one Sec-WebSocket-Version"},

		{"no key", edit("Sec-WebSocket-Key", ""), 400, "Key"},
		{"two keys", edit("", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, "Key"},
		{"empty key", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: "), 400, "Key"},
		{"key of 15 bytes", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400, "Key"},
		{"key of 17 bytes", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400, "Key"},
		{"key without its padding", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), 400, "Key"},
		{"key with stray bits at its end", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400, "Key"},
		{"key in the alphabet of URLs", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: -_hlIHNhbXBsZSBub25jZQ=="), 400, "Key"},

		{"empty subprotocol", edit("", "Sec-WebSocket-Protocol: "), 400, "Protocol"},
		{"empty subprotocol in a list", edit("", "Sec-WebSocket-Protocol: a,,b"), 400, "Protocol"},
		{"subprotocol with a space", edit("", "Sec-WebSocket-Protocol: a b"), 400, "Protocol"},
		{"subprotocol with a separator", edit("", "Sec-WebSocket-Protocol: a/b"), 400, "Protocol"},
		{"subprotocol with a letter that is not ASCII", edit("", "Sec-WebSocket-Protocol: é"), 400, "Protocol"},
		{"subprotocol twice", edit("", "Sec-WebSocket-Protocol: a, b, a"), 400, "Protocol"},
		{"extension that is no token", edit("", "Sec-WebSocket-Extensions: permessage deflate"), 400, "Extensions"},
		{"subprotocol twice in two lines", edit("", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a"), 400, "Protocol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, refusal := checkHandshake(t, test.wire)
			if refusal == nil {
				t.Fatal("accepted")
			}
			if h.Key != "" || h.Subprotocols != nil {
				t.Errorf("refused, with %+v", h)
			}
			if refusal.Status != test.status || !strings.Contains(refusal.Reason, test.reason) {
				t.Errorf("%d %s; want %d about %q", refusal.Status, refusal.Reason, test.status, test.reason)
			}
			if !hasToken(refusal.Header["Connection"], "close") {
				t.Errorf("Connection %q, want it closed", refusal.Header["Connection"])
			}
			for _, want := range []struct {
				field, value string
				when         bool
			}{
				{"Allow", "GET", test.status == 405},
				{"Upgrade", "websocket", test.status == 426},
				{"Sec-WebSocket-Version", "13", test.reason == "Version 13"},
			} {
				if got := refusal.Header.Get(want.field); (got == want.value) != want.when {
					t.Errorf("%s: %q; want %q is %t", want.field, got, want.value, want.when)
				}
			}
		})
	}
}

// Each of these would be several thousand names to compare with one another.
func TestCheckHandshakeIsLinear(t *testing.T) {
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprint(i))
	}
	h, refusal := checkHandshake(t, edit("", "Sec-WebSocket-Protocol: "+strings.Join(names, ",")))
	if refusal != nil || !slices.Equal(h.Subprotocols, names) {
		t.Errorf("%d subprotocols, %+v; want %d", len(h.Subprotocols), refusal, len(names))
	}
}

func TestAcceptKey(t *testing.T) {
	// RFC 6455, section 1.3.
	if got, want := AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("AcceptKey = %q, want %q", got, want)
	}
}

func TestAppendResponse(t *testing.T) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	const start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for _, test := range []struct {
		name, subprotocol string
		extra             http.Header
		want              string // empty for an error
		deflate           Deflate
	}{
		{"alone", "", nil, start + "\r\n", noDeflate},
		{"with a subprotocol", "chat", nil, start + "Sec-WebSocket-Protocol: chat\r\n\r\n", noDeflate},
		{"with cookies, in order", "", http.Header{"Set-Cookie": {"b=1; Path=/", "a=2"}, "Server": {"x"}},
			start + "Server: x\r\nSet-Cookie: b=1; Path=/\r\nSet-Cookie: a=2\r\n\r\n", noDeflate},
		{"with a value that is not ASCII", "", http.Header{"X-Name": {"é"}}, start + "X-Name: é\r\n\r\n", noDeflate},
		{"with an empty value", "", http.Header{"X-Name": {""}}, start + "X-Name: \r\n\r\n", noDeflate},

		{"with messages deflated", "chat", nil, start + "Sec-WebSocket-Protocol: chat\r\n" +
			"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n", deflate},

		{"line end in the subprotocol", "a\r\nX: b", nil, "", noDeflate},
		{"space in the subprotocol", "a b", nil, "", noDeflate},
		{"list as the subprotocol", "a,b", nil, "", noDeflate},
		{"CR LF in a value", "", http.Header{"X-Name": {"a\r\nX: b"}}, "", noDeflate},
		{"CR in a value", "", http.Header{"X-Name": {"a\rb"}}, "", noDeflate},
		{"LF in the second value", "", http.Header{"X-Name": {"a", "a\nb"}}, "", noDeflate},
		{"NUL in a value", "", http.Header{"X-Name": {"\x00"}}, "", noDeflate},
		{"DEL in a value", "", http.Header{"X-Name": {"\x7f"}}, "", noDeflate},
		{"control character in a value", "", http.Header{"X-Name": {"\x1b[31m"}}, "", noDeflate},
		{"line end in a name", "", http.Header{"X\r\nY": {"a"}}, "", noDeflate},
		{"colon in a name", "", http.Header{"X: a": {"a"}}, "", noDeflate},
		{"empty name", "", http.Header{"": {"a"}}, "", noDeflate},
		{"a second Upgrade", "", http.Header{"upgrade": {"h2c"}}, "", noDeflate},
		{"a second Connection", "", http.Header{"Connection": {"close"}}, "", noDeflate},
		{"a Content-Length", "", http.Header{"Content-Length": {"5"}}, "", noDeflate},
		{"a Transfer-Encoding", "", http.Header{"Transfer-Encoding": {"chunked"}}, "", noDeflate},
		{"an extension", "", http.Header{"Sec-WebSocket-Extensions": {"x"}}, "", noDeflate},
		{"an extension beside ours", "", http.Header{"Sec-WebSocket-Extensions": {"x"}}, "", deflate},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := AppendResponse([]byte("before "), key, test.subprotocol, test.deflate, test.extra)
			if test.want == "" {
				if got != nil || err == nil {
					t.Errorf("AppendResponse = %q, %v; want an error", got, err)
				}
				return
			}
			if string(got) != "before "+test.want || err != nil {
				t.Errorf("AppendResponse = %q, %v; want %q", got, err, test.want)
			}
		})
	}
	if got, err := AppendResponse(nil, "short", "", 0, nil); got != nil || err == nil {
		t.Errorf("AppendResponse with a bad key = %q, %v; want an error", got, err)
	}
}

// FuzzHandshake: what is accepted has a key of 16 bytes and names of HTTP's
// grammar, and is refused with a 4xx that closes otherwise.
//
// A mutant it kills: validKey that takes a key of 15 bytes.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte(goodHandshake))
	f.Add([]byte(edit("", "Sec-WebSocket-Protocol: a, b")))
	f.Add([]byte(edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")))
	f.Add([]byte(edit("GET", "GET http://evil.example/ HTTP/1.1")))
	f.Add([]byte(edit("Upgrade:", "Upgrade: h2c")))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return
		}
		h, refusal := CheckHandshake(r)
		if refusal != nil {
			if refusal.Status < 400 || refusal.Status > 499 || !hasToken(refusal.Header["Connection"], "close") {
				t.Errorf("refused with %d, %v", refusal.Status, refusal.Header)
			}
			return
		}
		if b, err := base64.StdEncoding.DecodeString(h.Key); len(b) != 16 || err != nil {
			t.Errorf("accepted with key %q", h.Key)
		}
		for _, name := range append([]string{""}, h.Subprotocols...) {
			if _, err := AppendResponse(nil, h.Key, name, h.Deflate, nil); err != nil {
				t.Errorf("accepted, but then: %v", err)
			}
		}
	})
}

// FuzzResponse: a response, whatever it is made of, has one empty line, at its
// end, and the fields that were asked for.
//
// A mutant it kills: valueByte that lets a line feed pass.
func FuzzResponse(f *testing.F) {
	f.Add("chat", "Set-Cookie", "a=b", "c=d")
	f.Add("a\r\nb", "X", "\r\n\r\n", "\x00")
	f.Add("", "X", "a\nY: b", "")
	f.Add("", "Content-Length", "5", "")
	f.Fuzz(func(t *testing.T, subprotocol, name, value, other string) {
		const key = "dGhlIHNhbXBsZSBub25jZQ=="
		extra := http.Header{name: {value, other}}
		b, err := AppendResponse(nil, key, subprotocol, 0, extra)
		if err != nil {
			if b != nil {
				t.Errorf("%v, with %q", err, b)
			}
			return
		}
		if i := bytes.Index(b, []byte("\r\n\r\n")); i != len(b)-4 {
			t.Errorf("head of %q ends at %d", b, i)
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil || r.StatusCode != 101 {
			t.Fatalf("%q: %v", b, err)
		}
		names := map[string]bool{"Upgrade": true, "Connection": true, "Sec-Websocket-Accept": true, http.CanonicalHeaderKey(name): true}
		if subprotocol != "" {
			names["Sec-Websocket-Protocol"] = true
		}
		for got := range maps.Keys(r.Header) {
			if !names[got] {
				t.Errorf("%q has a field %s", b, got)
			}
		}
	})
}
