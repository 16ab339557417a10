package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Each refusal has its status, closes the connection, is counted once, and lets
// nothing of what follows be taken for another request.
func TestHandshakeRefused(t *testing.T) {
	b := newBackend(t, nil)
	named := func(host string) bool { return host == "ws.example" }
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a page") })
	tests := []struct {
		name    string
		request string
		status  int
		result  string
		want    []string // fields of the answer
	}{
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403, "host", nil},
		{"another path", lines("/other"), 404, "not_found", nil},
		{"a longer segment", lines("/wsx"), 404, "not_found", nil},
		{"an empty segment", lines("//ws"), 400, "not_found", nil},
		{"an escaped slash", lines("/ws/a%2fb"), 400, "not_found", nil},
		{"an escaped slash beside what has to be escaped", lines(`/ws/a%2fb"`), 400, "not_found", nil},
		{"two dots", lines("/x/../ws"), 400, "not_found", nil},
		{"a whole URL", lines("http://ws.example/ws"), 400, "not_found", nil},
		{"no path", lines("*", "method OPTIONS"), 400, "not_found", nil},
		{"a name of another server", lines("/ws", "Host: evil.example"), 403, "host", nil},
		{"a foreign page", lines("/ws", "Origin: http://evil.example"), 403, "origin", nil},
		{"a page on another port", lines("/ws", "Origin: http://ws.example:81"), 403, "origin", nil},
		{"a page of a subdomain", lines("/ws", "Origin: http://a.ws.example"), 403, "origin", nil},
		{"a page without an origin of its own", lines("/ws", "Origin: null"), 403, "origin", nil},
		{"a file", lines("/ws", "Origin: file://"), 403, "origin", nil},
		{"two origins", lines("/ws", "+Origin: http://ws.example", "+Origin: http://evil.example"), 400, "bad_request", nil},
		{"no upgrade", lines("/ws", "-Upgrade", "-Connection"), 426, "bad_request", []string{"Upgrade: websocket"}},
		{"HTTP/1.0", strings.Replace(lines("/ws"), "HTTP/1.1", "HTTP/1.0", 1), 426, "bad_request", []string{"Upgrade: websocket"}},
		{"another version", lines("/ws", "Sec-WebSocket-Version: 8"), 426, "bad_request", []string{"Sec-Websocket-Version: 13"}},
		{"a POST", lines("/ws", "method POST", "+Content-Length: 5"), 405, "bad_request", []string{"Allow: GET"}},
		{"no key", lines("/ws", "-Sec-WebSocket-Key"), 400, "bad_request", nil},
		{"two keys", lines("/ws", "+Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, "bad_request", nil},
		{"a body", lines("/ws", "+Content-Length: 5"), 400, "bad_request", nil},
		{"a body in chunks", lines("/ws", "+Transfer-Encoding: chunked"), 400, "bad_request", nil},
		{"no connection to upgrade", lines("/ws", "Connection: keep-alive"), 400, "bad_request", nil},
		{"a name the target brings along", lines("http://evil.example/ws"), 403, "host", nil},

		// These do not get as far as the gateway.
		{"a space in a field's name", lines("/ws", "+X : a"), 400, "unread", nil},
		{"two hosts", lines("/ws", "+Host: ws.example"), 400, "unread", nil},
		{"no host", lines("/ws", "-Host"), 400, "unread", nil},
		{"a control character", lines("/ws", "+X: a\x01"), 400, "unread", nil},
		{"a version of HTTP that there is not", strings.Replace(lines("/ws"), "HTTP/1.1", "HTTP/3.0", 1), 505, "unread", nil},
		{"an expectation", lines("/ws", "+Expect: the-worst"), 417, "unread", nil},
		{"another protocol", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400, "unread", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}, Hosts: named})
			// What follows would be a message for PHP, and another refusal.
			c := connect(t, serve(t, g), test.request+"GET /ws/second HTTP/1.1\r\nHost: x\r\n\r\n")
			r := c.response()
			body, err := io.ReadAll(r.Body)
			if r.StatusCode != test.status || !r.Close || err != nil {
				t.Errorf("got %s, closing %v, %q, %v; want %d and the end", r.Status, r.Close, body, err, test.status)
			}
			for _, field := range test.want {
				name, value, _ := strings.Cut(field, ": ")
				if got := r.Header.Get(name); got != value {
					t.Errorf("%s is %q; want %q", name, got, value)
				}
			}
			if rest, _ := io.ReadAll(c.in); len(rest) > 0 {
				t.Errorf("behind the answer came %.100q", rest)
			}
			eventually(t, "the refusal is counted", func() bool { return handshakes(g, test.result) == 1 })
			if n := count(g, "ws_fpm_handshakes_total"); n != 1 {
				t.Errorf("%d handshakes counted, want 1", n)
			}
			if got := count(g, "ws_fpm_connections"); got != 0 {
				t.Errorf("%d connections open, want 0", got)
			}
		})
	}
	if ran := b.runs(); len(ran) > 0 {
		t.Errorf("PHP ran %q for refused handshakes", ran)
	}

	// A fallback is no refusal, but keeps nothing open either.
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}, Hosts: named, Fallback: page})
	c := connect(t, serve(t, g), lines("/page", "-Upgrade", "-Connection"))
	r := c.response()
	if body, err := io.ReadAll(r.Body); string(body) != "a page" || err != nil || !r.Close {
		t.Errorf("fallback gave %q, %v, closing %v", body, err, r.Close)
	}
	c.wantEOF()
	if n := count(g, "ws_fpm_handshakes_total"); n != 0 {
		t.Errorf("a page was counted as %d handshakes", n)
	}
}

// A 426 names what to upgrade to, and says in Connection that this is between
// the two of us (RFC 9110, section 7.8). HTTP/1.0 does not know of that.
func TestHandshakeUpgradeRequired(t *testing.T) {
	_, _, address := open(t, nil)
	for _, request := range []string{lines("/ws", "-Upgrade", "-Connection"), lines("/ws", "Sec-WebSocket-Version: 8")} {
		answer, err := io.ReadAll(connect(t, address, request).in)
		for _, want := range []string{"HTTP/1.1 426 ", "\r\nConnection: close\r\n", "\r\nConnection: Upgrade\r\n", "\r\nUpgrade: websocket\r\n"} {
			if err != nil || !strings.Contains(string(answer), want) {
				t.Errorf("no %q in %q, %v", want, answer, err)
			}
		}
	}
}

func TestHandshakeAccepted(t *testing.T) {
	b := newBackend(t, nil)
	tests := []struct {
		name    string
		route   Route
		trust   Trust
		request string
	}{
		{"no page at all", Route{}, Trust{}, lines("/ws")},
		{"a path below", Route{}, Trust{}, lines("/ws/room?a=b")},
		{"a page of this host", Route{}, Trust{}, lines("/ws", "Origin: http://ws.example")},
		{"a page of this host by TLS that we do not see", Route{}, Trust{}, lines("/ws", "Origin: https://ws.example")},
		{"a page that is listed", Route{Origins: []string{"https://a.example"}}, Trust{}, lines("/ws", "Origin: https://a.example")},
		{"any page", Route{Origins: []string{"*"}}, Trust{}, lines("/ws", "Origin: null")},
		{"a page by TLS that a proxy tells of", Route{}, trust(false, "127.0.0.0/8"),
			lines("/ws", "Origin: https://ws.example", "X-Forwarded-Proto: https")},
		{"a page by TLS that a proxy calls wss", Route{}, trust(false, "127.0.0.0/8"),
			lines("/ws", "Origin: https://ws.example", "X-Forwarded-Proto: wss")},
		{"a page by TLS and a proxy that says nothing of use", Route{}, trust(false, "127.0.0.0/8"),
			lines("/ws", "Origin: https://ws.example", "X-Forwarded-Proto: on")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.route.Prefix, test.route.Script, test.route.Backend = "/ws", "/p/ws.php", b.client
			g := newGateway(t, Options{Routes: []Route{test.route}, Trust: test.trust})
			c := connect(t, serve(t, g), test.request)
			if r := c.response(); r.StatusCode != 101 {
				t.Fatalf("got %s, want 101", r.Status)
			}
			c.say("echo hello")
			c.hear("hello")
			eventually(t, "it is counted", func() bool { return handshakes(g, "accepted") == 1 })
		})
	}

	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}, Trust: trust(false, "127.0.0.0/8")})
	c := connect(t, serve(t, g), lines("/ws", "Origin: http://ws.example", "X-Forwarded-Proto: https"))
	if r := c.response(); r.StatusCode != 403 {
		t.Errorf("a page without TLS behind a proxy with TLS got %s, want 403", r.Status)
	}
}

// What a client sends behind its handshake are frames, and nothing else.
func TestHandshakePipelined(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)

	c := connect(t, address, lines("/ws")+string(joined(frame(text, "echo 1"), frame(ping, "p"), frame(text, "echo 2")))+string(frame(text, "echo 3")[:5]))
	c.response()
	got := map[string]bool{}
	for range 3 {
		head, payload, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprintf("%x %s", head, payload)] = true
	}
	if !got["81 1"] || !got["81 2"] || !got["8a p"] {
		t.Errorf("early frames were answered by %v", got)
	}
	c.write(frame(text, "echo 3")[5:])
	c.hear("3")

	c = connect(t, address, lines("/ws")+lines("/ws"))
	if r := c.response(); r.StatusCode != 101 {
		t.Fatalf("got %s", r.Status)
	}
	c.wantClose(1002, "")
}

// A request may be as large as the limit says, and no larger.
func TestHandshakeSizes(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	fields := func(n int) string { // n in all, of which the handshake has five
		return lines("/ws", numbered("+X-%d: v", 5, n)...)
	}
	repeated := func(n int) string {
		return strings.Replace(fields(5), "\r\n\r\n", strings.Repeat("\r\nX: v", n-5)+"\r\n\r\n", 1)
	}
	target := func(n int) string { return lines("/ws?" + strings.Repeat("q", n-len("/ws?"))) }
	bytes := func(n int) string {
		return lines("/ws", "X: "+strings.Repeat("v", n-len(lines("/ws", "X: "))))
	}
	tests := []struct {
		name    string
		request string
		status  int
		result  string
	}{
		{"99 fields", fields(99), 101, "accepted"},
		{"100 fields", fields(100), 101, "accepted"},
		{"101 fields", fields(101), 431, "too_large"},
		{"100 fields, most of one name", repeated(100), 101, "accepted"},
		{"101 fields, most of one name", repeated(101), 431, "too_large"},
		{"a target of 8 KiB less a byte", target(8191), 101, "accepted"},
		{"a target of 8 KiB", target(8192), 101, "accepted"},
		{"a target of a byte more", target(8193), 414, "too_large"},
		{"16 KiB less a byte", bytes(16383), 101, "accepted"},
		{"16 KiB", bytes(16384), 101, "accepted"},
		{"a byte more", bytes(16385), 431, "unread"},
		{"much more", bytes(1 << 20), 431, "unread"},
	}
	for _, test := range tests {
		before := handshakes(g, test.result)
		nc := connect(t, address, "")
		go nc.Write([]byte(test.request)) // the answer may come before all is written
		if r := nc.response(); r.StatusCode != test.status || r.Close != (test.status != 101) {
			t.Errorf("%s: got %s, closing %v; want %d", test.name, r.Status, r.Close, test.status)
		}
		eventually(t, test.name+" is counted", func() bool { return handshakes(g, test.result) == before+1 })
		nc.Close()
	}
	if ran := b.runs(); len(ran) > 0 {
		t.Errorf("PHP ran %q", ran)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	b := newBackend(t, nil)
	tests := []struct {
		name    string
		request string
		status  int // 0: none, or 400 if net/http has seen a part of it
		result  string
	}{
		{"a silent client", "", 0, "unread"},
		{"half a request", lines("/ws")[:60], 0, "unread"},
		{"all but the last byte", lines("/ws")[:len(lines("/ws"))-1], 0, "unread"},
		{"a refused request whose body does not come", lines("/ws", "method POST", "+Content-Length: 5"), 405, "bad_request"},
		{"a refused request whose next chunk does not come", lines("/ws", "+Transfer-Encoding: chunked"), 400, "bad_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, Options{HandshakeTimeout: 200 * time.Millisecond,
				Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
			began := time.Now()
			c := connect(t, serve(t, g), test.request)
			if test.status != 0 {
				if r := c.response(); r.StatusCode != test.status {
					t.Errorf("got %s, want %d", r.Status, test.status)
				}
				io.ReadAll(c.in)
			} else if answer, err := io.ReadAll(c.in); err != nil || len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
				t.Errorf("got %q, %v; want the end of the stream", answer, err)
			}
			if took := time.Since(began); took < 200*time.Millisecond && test.result == "unread" {
				t.Errorf("cut after %v, want 200ms", took)
			}
			eventually(t, "the refusal is counted", func() bool { return handshakes(g, test.result) == 1 })
			eventually(t, "its place is free", func() bool { return g.handshakes.Load() == 0 })
		})
	}

	// The same time does not bound a connection that is upgraded.
	g := newGateway(t, Options{HandshakeTimeout: 100 * time.Millisecond,
		Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	c := dial(t, serve(t, g))
	<-time.After(200 * time.Millisecond)
	c.say("hold timeout")
	<-time.After(200 * time.Millisecond)
	b.release("timeout")
	c.hear("timeout")
}
