package gateway

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
)

// wantParams compares all params with what is wanted.
func wantParams(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range got {
		if v, ok := want[name]; !ok {
			t.Errorf("%s = %q; want none", name, got[name])
		} else if v != got[name] {
			t.Errorf("%s = %q; want %q", name, got[name], v)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s; want %q", name, want[name])
		}
	}
}

// A browser's handshake.
const chromium = "GET /ws/room/1?token=a%20b&x=%C3%A9 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"Connection: keep-alive, Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://www.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: de,en;q=0.9\r\n" +
	"Cookie: PHPSESSID=abc; theme=dark\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"Sec-WebSocket-Protocol: chat, secret-token\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Authorization: Bearer t\r\n\r\n"

// What PHP gets for it: all of it, and nothing else.
func TestParamsOfABrowser(t *testing.T) {
	wire := new(tap)
	b := newBackend(t, func(o *fastcgi.Options) {
		address := o.Address
		o.Dial = func(context.Context) (net.Conn, error) { return wire.dial(address) }
	})
	g := newGateway(t, Options{Software: "ws-fpm/test", Routes: []Route{{Prefix: "/ws", Script: "/var/www/app/ws.php", Root: "/var/www",
		Backend: b.client, Subprotocols: []string{"chat"}, Origins: []string{"https://www.example.com"}}}})
	c := connect(t, serve(t, g), chromium)
	if r := c.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Protocol") != "chat" {
		t.Fatalf("got %s, %v", r.Status, r.Header)
	}
	c.say("echo 1", "{}")
	c.hear("1", "{}")
	local, remote := c.RemoteAddr().String(), c.LocalAddr().String()
	want := map[string]string{
		"SCRIPT_FILENAME": "/var/www/app/ws.php", "SCRIPT_NAME": "/app/ws.php", "DOCUMENT_URI": "/app/ws.php",
		"DOCUMENT_ROOT": "/var/www", "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "ws-fpm/test",
		"SERVER_PROTOCOL": "HTTP/1.1", "REDIRECT_STATUS": "200",
		"REQUEST_URI": "/ws/room/1?token=a%20b&x=%C3%A9", "QUERY_STRING": "token=a%20b&x=%C3%A9",
		"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": remote[strings.LastIndex(remote, ":")+1:],
		"SERVER_NAME": "www.example.com", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": local[strings.LastIndex(local, ":")+1:],
		"REQUEST_SCHEME": "http", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "6", "CONTENT_TYPE": "text/plain; charset=utf-8",
		"HTTP_HOST": "www.example.com", "HTTP_PRAGMA": "no-cache", "HTTP_CACHE_CONTROL": "no-cache",
		"HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64)", "HTTP_ORIGIN": "https://www.example.com",
		"HTTP_ACCEPT_ENCODING": "gzip, deflate, br", "HTTP_ACCEPT_LANGUAGE": "de,en;q=0.9",
		"HTTP_COOKIE": "PHPSESSID=abc; theme=dark", "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_AUTHORIZATION": "Bearer t",
		"WS_ROUTE": "/ws", "WS_EVENTS": "message", "WS_EVENT": "message", "WS_EVENT_SEQ": "1", "WS_OPCODE": "text",
		"WS_SUBPROTOCOL": "chat", "WS_BOOT": g.boot,
	}
	requests := wire.params(t)
	if len(requests) != 2 {
		t.Fatalf("%d requests, want 2", len(requests))
	}
	first, second := requests[0], requests[1]
	for _, own := range []string{"WS_CONNECTION_ID", "WS_CONNECTED_AT"} {
		if first[own] == "" || first[own] != second[own] {
			t.Errorf("%s is %q, then %q; want it, and the same", own, first[own], second[own])
		}
		want[own] = first[own]
	}
	if id := first["WS_CONNECTION_ID"]; len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("WS_CONNECTION_ID is %q", id)
	}
	wantParams(t, first, want)
	want["WS_EVENT_SEQ"], want["CONTENT_TYPE"], want["CONTENT_LENGTH"] = "2", "application/json", "2"
	wantParams(t, second, want)
}

// paramsOf gives all params of a request.
func paramsOf(r *request) (fastcgi.Params, error) {
	var b blocks
	if err := b.gather(r); err != nil {
		return nil, err
	}
	return slices.Concat(b.common.params, b.own.params), nil
}

// headerParams gives the HTTP_* params, but HTTP_HOST, of a request with lines.
func headerParams(t *testing.T, trusted bool, lines ...string) map[string]string {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /ws HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	p, err := paramsOf(&request{host: r.Host, header: r.Header, peer: peer{trusted: trusted}})
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	params, err := decode(p)
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	delete(params, "HTTP_HOST")
	for name := range params {
		if slices.Contains(requestNames, name) {
			delete(params, name)
		}
	}
	return params
}

// No client chooses a param's name, nor what a proxy says of it.
func TestParamsOfAttacks(t *testing.T) {
	tests := []struct {
		name    string
		trusted bool
		lines   []string
		want    map[string]string
	}{
		{"an ordinary field", false, []string{"X-A: 1"}, map[string]string{"HTTP_X_A": "1"}},
		{"a digit", false, []string{"X-1: 1"}, map[string]string{"HTTP_X_1": "1"}},
		{"a field twice", false, []string{"X-A: 1", "X-B: 2", "x-a: 3"}, map[string]string{"HTTP_X_A": "1, 3", "HTTP_X_B": "2"}},
		{"cookies twice", false, []string{"Cookie: a=1", "Cookie: b=2; c=3"}, map[string]string{"HTTP_COOKIE": "a=1; b=2; c=3"}},
		{"an empty value", false, []string{"X-A:"}, map[string]string{"HTTP_X_A": ""}},
		{"a proxy for PHP's own requests", false, []string{"Proxy: http://evil", "pROXY: http://evil"}, nil},
		{"the same from a trusted proxy", true, []string{"Proxy: http://evil"}, nil},
		{"an underscore for a hyphen", true, []string{"X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6"}, nil},
		{"a point for a hyphen", true, []string{"X.Forwarded.For: 6.6.6.6"}, nil},
		{"other signs that a name may have", true, []string{"X!A: 1", "X#A: 1", "X$A: 1", "X%A: 1", "X&A: 1", "X'A: 1", "X*A: 1",
			"X+A: 1", "X^A: 1", "X`A: 1", "X|A: 1", "X~A: 1"}, nil},
		{"a length of its own", false, []string{"Content-Type: a/b", "Content-MD5: x"}, map[string]string{"HTTP_CONTENT_MD5": "x"}},
		{"a script", false, []string{"Script-Filename: /etc/passwd"}, map[string]string{"HTTP_SCRIPT_FILENAME": "/etc/passwd"}},
		{"settings of PHP", false, []string{"Php-Value: a=b", "Php-Admin-Value: a=b"},
			map[string]string{"HTTP_PHP_VALUE": "a=b", "HTTP_PHP_ADMIN_VALUE": "a=b"}},
		{"an event", false, []string{"WS-Event: connect", "WS-User: 1", "WS-Attr-Admin: 1"},
			map[string]string{"HTTP_WS_EVENT": "connect", "HTTP_WS_USER": "1", "HTTP_WS_ATTR_ADMIN": "1"}},
		{"HTTPS", false, []string{"Https: on"}, map[string]string{"HTTP_HTTPS": "on"}},
		{"what proxies say, from a stranger", false, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: h",
			"X-Forwarded-Anything: x", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "x-rEAL-ip: 6.6.6.6"}, nil},
		{"what proxies say, from a trusted one", true, []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: h",
			"Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4"}, map[string]string{"HTTP_X_FORWARDED_FOR": "1.2.3.4",
			"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "h", "HTTP_FORWARDED": "for=1.2.3.4", "HTTP_X_REAL_IP": "1.2.3.4"}},
		{"an order to drop what a proxy says", true, []string{"Connection: Upgrade, X-Forwarded-For", "X-Forwarded-For: 1.2.3.4"},
			map[string]string{"HTTP_X_FORWARDED_FOR": "1.2.3.4"}},
		{"fields of this connection", false, []string{"Connection: close", "Keep-Alive: 1", "Proxy-Connection: x", "Proxy-Authenticate: x",
			"Proxy-Authorization: x", "TE: trailers", "Trailer: X", "Upgrade: websocket"}, nil},
		{"fields of the handshake", false, []string{"Sec-WebSocket-Key: k", "Sec-WebSocket-Protocol: secret", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Extensions: x", "Sec-WebSocket-Anything: x", "Sec-Fetch-Mode: websocket"},
			map[string]string{"HTTP_SEC_FETCH_MODE": "websocket"}},
		{"a line that is folded", false, []string{"X-A: 1\r\n X-B: 2"}, map[string]string{"HTTP_X_A": "1 X-B: 2"}},
		{"bytes that are no text", false, []string{"X-A: \xff\xfe"}, map[string]string{"HTTP_X_A": "\xff\xfe"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantParams(t, headerParams(t, test.trusted, test.lines...), test.want)
		})
	}

	// These are no fields at all for net/http, or end the request there.
	for _, line := range []string{"X[A: 1", "X A: 1", "X(A): 1", "X-A : 1", ": 1", "X\x00: 1", "X-A: \x00", "é: 1"} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /ws HTTP/1.1\r\nHost: h\r\n" + line + "\r\n\r\n")))
		if err != nil {
			continue
		}
		p, err := paramsOf(&request{host: r.Host, header: r.Header})
		if err != nil {
			continue
		}
		params, _ := decode(p)
		for name := range params {
			if strings.HasPrefix(name, "HTTP_") && name != "HTTP_HOST" {
				t.Errorf("%q became %s", line, name)
			}
		}
	}
}

func TestForwards(t *testing.T) {
	// What no parser of ours would let through is refused here all the same.
	for _, name := range []string{"", "X[A", "X A", "X\x00", "X=A", "é", "X_A", "[", "Content-Length", "CONTENT-LENGTH", "Transfer-Encoding", "Host"} {
		if forwards(name, true) {
			t.Errorf("%q is forwarded", name)
		}
	}
}

// requestNames are all params of a request but HTTP_*.
var requestNames = []string{"REQUEST_URI", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_ADDR", "SERVER_PORT",
	"REQUEST_SCHEME", "HTTPS"}

func TestParamsOfTheServer(t *testing.T) {
	tests := []struct {
		name string
		req  request
		want map[string]string
	}{
		{"a name and a port", request{host: "a.example:8080", serverAddr: "10.0.0.1"}, map[string]string{"SERVER_NAME": "a.example"}},
		{"a name", request{host: "a.example", serverAddr: "10.0.0.1"}, map[string]string{"SERVER_NAME": "a.example"}},
		{"IPv6 and a port", request{host: "[::1]:8080", serverAddr: "::1"}, map[string]string{"SERVER_NAME": "[::1]"}},
		{"IPv6", request{host: "[::1]", serverAddr: "::1"}, map[string]string{"SERVER_NAME": "[::1]"}},
		{"a port alone", request{host: ":80", serverAddr: "10.0.0.1"}, map[string]string{"SERVER_NAME": "10.0.0.1"}},
		{"no name for markup", request{host: "<b>", serverAddr: "10.0.0.1"}, map[string]string{"SERVER_NAME": "10.0.0.1"}},
		{"no name for a path", request{host: "a/../b", serverAddr: "10.0.0.1"}, map[string]string{"SERVER_NAME": "10.0.0.1"}},
		{"TLS", request{peer: peer{scheme: "https"}}, map[string]string{"HTTPS": "on", "REQUEST_SCHEME": "https"}},
		{"no TLS", request{peer: peer{scheme: "http"}}, map[string]string{"HTTPS": "", "REQUEST_SCHEME": "http"}},
	}
	for _, test := range tests {
		p, err := paramsOf(&test.req)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		params, err := decode(p)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		for name, want := range test.want {
			if got, there := params[name]; got != want || there != (want != "") {
				t.Errorf("%s: %s is %q; want %q", test.name, name, got, want)
			}
		}
	}
}

func TestParamsOfARoute(t *testing.T) {
	tests := []struct{ name, script, root, wantRoot, wantName string }{
		{"no root", "/srv/app/ws.php", "", "/srv/app", "/ws.php"},
		{"a root above", "/srv/app/ws.php", "/srv", "/srv", "/app/ws.php"},
		{"a root with a slash", "/srv/app/ws.php", "/srv/", "/srv", "/app/ws.php"},
		{"all is the root", "/srv/app/ws.php", "/", "/", "/srv/app/ws.php"},
		{"a script in the root", "/ws.php", "", "/", "/ws.php"},
		{"a root that only begins like the script", "/srv/app2/ws.php", "/srv/app", "/srv/app", "/srv/app2/ws.php"},
	}
	for _, test := range tests {
		r, err := Route{Prefix: "/ws", Script: test.script, Root: test.root, Backend: new(fastcgi.Client)}.withDefaults()
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		p, err := routeParams(&r, "s", "b", "")
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		params, err := decode(p)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if params["DOCUMENT_ROOT"] != test.wantRoot || params["SCRIPT_NAME"] != test.wantName ||
			params["DOCUMENT_URI"] != test.wantName || params["SCRIPT_FILENAME"] != test.script {
			t.Errorf("%s: %v; want root %s, name %s", test.name, params, test.wantRoot, test.wantName)
		}
	}
}

func TestContentType(t *testing.T) {
	tests := []struct {
		name, fixed string
		text        bool
		body, want  string
	}{
		{"text", "auto", true, "hello", "text/plain; charset=utf-8"},
		{"empty text", "auto", true, "", "text/plain; charset=utf-8"},
		{"an object", "auto", true, `{"a":1}`, "application/json"},
		{"a list", "auto", true, `[1]`, "application/json"},
		{"white space in front", "auto", true, ` {}`, "text/plain; charset=utf-8"},
		{"binary", "auto", false, "hello", "application/octet-stream"},
		{"binary that looks like an object", "auto", false, "{}", "application/octet-stream"},
		{"a fixed one", "application/x-www-form-urlencoded", true, "{}", "application/x-www-form-urlencoded"},
	}
	for _, test := range tests {
		if got := contentType(test.fixed, test.text, []byte(test.body)); got != test.want {
			t.Errorf("%s: %q is %s; want %s", test.name, test.body, got, test.want)
		}
	}
}

// FuzzParams: whatever the request, its params decode, none stands twice, and
// none is outside a fixed list and HTTP_* of plain names.
func FuzzParams(f *testing.F) {
	f.Add([]byte(chromium), true)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\nProxy: x\r\nX_A: 1\r\nX-A: 2\r\nX.A: 3\r\nHttp-Host: h\r\n\r\n"), false)
	f.Add([]byte("GET /?a=%00 HTTP/1.1\r\nHost: [::1]:8080\r\nX-Forwarded-For: 1.2.3.4\r\nPhp-Value: a\r\n\r\n"), true)
	f.Add([]byte("GET http://h/ HTTP/1.1\r\nHost:\r\n-: 1\r\n--: 2\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, wire []byte, trusted bool) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return
		}
		p, err := paramsOf(&request{uri: r.RequestURI, query: r.URL.RawQuery, host: r.Host, header: r.Header,
			peer: peer{trusted: trusted}})
		if err != nil {
			return
		}
		params, err := decode(p)
		if err != nil {
			t.Fatal(err)
		}
		for name := range params {
			header, http := strings.CutPrefix(name, "HTTP_")
			plain := strings.Trim(header, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
			if slices.Contains(requestNames, name) || http && plain && header != "" {
				continue
			}
			t.Errorf("param %q", name)
		}
		for _, name := range []string{"HTTP_PROXY", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_SEC_WEBSOCKET_KEY"} {
			if v, there := params[name]; there {
				t.Errorf("%s = %q", name, v)
			}
		}
	})
}
