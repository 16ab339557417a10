package control

import (
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const good = "Bearer " + secret

func TestGuard(t *testing.T) {
	tests := []struct {
		name    string
		fields  []string
		status  int
		refused cause
	}{
		{"the token", []string{"Authorization", good}, 200, ""},
		{"no token", nil, 401, causeToken},
		{"a wrong token", []string{"Authorization", good[:len(good)-1] + "x"}, 401, causeToken},
		{"one byte less", []string{"Authorization", good[:len(good)-1]}, 401, causeToken},
		{"one byte more", []string{"Authorization", good + "x"}, 401, causeToken},
		{"an empty token", []string{"Authorization", "Bearer "}, 401, causeToken},
		{"an empty field", []string{"Authorization", ""}, 401, causeToken},
		{"a token of 8 KiB", []string{"Authorization", "Bearer " + strings.Repeat("x", 8<<10)}, 401, causeToken},
		{"the sum instead of the token", []string{"Authorization", "Bearer 3eb1da7ad2d2bd7b1d2d7c7a0d0a4a3a"}, 401, causeToken},
		{"the token as a password", []string{"Authorization", "Basic " + secret}, 401, causeToken},
		{"two tokens", []string{"Authorization", good, "Authorization", good}, 401, causeToken},
		{"the token in a cookie", []string{"Cookie", "token=" + secret}, 401, causeToken},
		{"a host of somebody else", []string{"Authorization", good, "Host", "evil.example"}, 403, causeHost},
		{"a host of somebody else and a port", []string{"Authorization", good, "Host", "evil.example:80"}, 403, causeHost},
		{"localhost and a port", []string{"Authorization", good, "Host", "localhost:80"}, 200, ""},
		{"a loopback address", []string{"Authorization", good, "Host", "127.0.0.1"}, 200, ""},
		{"a configured host", []string{"Authorization", good, "Host", "WS.internal:80"}, 200, ""},
		{"an origin", []string{"Authorization", good, "Origin", "http://localhost"}, 403, causeBrowser},
		{"an origin of none", []string{"Authorization", good, "Origin", "null"}, 403, causeBrowser},
		{"an empty origin", []string{"Authorization", good, "Origin", ""}, 403, causeBrowser},
		{"a browser, same site", []string{"Authorization", good, "Sec-Fetch-Site", "same-origin"}, 403, causeBrowser},
		{"a browser, by hand", []string{"Authorization", good, "Sec-Fetch-Site", "none"}, 403, causeBrowser},
		{"an empty Sec-Fetch-Site", []string{"Authorization", good, "Sec-Fetch-Site", ""}, 403, causeBrowser},
		{"a browser without a token learns nothing of tokens", []string{"Origin", "http://evil.example"}, 403, causeBrowser},
		{"a rebound host neither", []string{"Host", "evil.example"}, 403, causeHost},
	}
	f, c := on(t, "tcp", func(o *Options) { withToken(o); o.Access.Hosts = []string{"ws.INTERNAL"} })
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := f.refusals()
			got := c.call(t, "GET", "/healthz", nil, test.fields...)
			if got.status != test.status {
				t.Errorf("%d %s; want %d", got.status, got.body, test.status)
			}
			if test.refused != "" {
				before[test.refused]++
			}
			f.wantRefused(t, before)
			if test.refused == "" {
				return
			}
			if !strings.HasPrefix(got.body, `{"error":"`) || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("body %s; want a JSON error", got.body)
			}
			if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("WWW-Authenticate: %q with %d", challenge, test.status)
			}
		})
	}
	if got := c.call(t, "GET", "/healthz?token="+secret, nil); got.status != 401 {
		t.Errorf("the token in the query: %d; want 401", got.status)
	}
	if log := f.log.String(); strings.Contains(log, secret) || strings.Contains(log, "evil") {
		t.Errorf("the log has what callers sent:\n%s", log)
	}
}

// Whatever is wrong with a token, the answer is the same to the byte.
func TestUnauthorizedIsOneAnswer(t *testing.T) {
	_, c := on(t, "tcp", withToken)
	answer := func(field string) string {
		wire := "GET /connections/" + someID + " HTTP/1.1\r\nHost: localhost\r\n" + field + "\r\n"
		lines := strings.Split(c.raw(t, wire), "\r\n")
		for i, l := range lines {
			if strings.HasPrefix(l, "Date: ") {
				lines[i] = ""
			}
		}
		return strings.Join(lines, "\n")
	}
	want := answer("")
	if !strings.HasPrefix(want, "HTTP/1.1 401 ") || !strings.Contains(want, "Connection: close") {
		t.Fatalf("without a token: %s", want)
	}
	for _, value := range []string{"", "Bearer", "Bearer x", "Bearer " + secret[1:], "Basic x", "Bearer " + strings.Repeat("x", 10<<10)} {
		if got := answer("Authorization: " + value + "\r\n"); got != want {
			t.Errorf("with %.50q: %s; want %s", value, got, want)
		}
	}
}

// The fastest of many comparisons takes as long for a guess that is nearly
// right as for one that is all wrong.
func TestTokensCompareInEqualTime(t *testing.T) {
	token := Token(sha256.Sum256([]byte(secret)))
	fastest := map[string]time.Duration{}
	guesses := map[string]string{"first byte": "x" + secret[1:], "last byte": secret[:31] + "x", "all": strings.Repeat("x", 32), "empty": "", "right": secret}
	for range 200 {
		for name, guess := range guesses {
			started := time.Now()
			for range 50 {
				token.matches(guess)
			}
			if took := time.Since(started); fastest[name] == 0 || took < fastest[name] {
				fastest[name] = took
			}
		}
	}
	for name, took := range fastest {
		if took > 2*fastest["all"] || fastest["all"] > 2*took {
			t.Errorf("50 comparisons: %s: %v, all wrong: %v", name, took, fastest["all"])
		}
	}
}

func TestUnixSocketWantsNoHostAndNoToken(t *testing.T) {
	_, c := on(t, "unix", nil)
	if got := c.call(t, "GET", "/healthz", nil, "Host", "whatever.example"); got.status != 200 {
		t.Errorf("%d %s; want 200", got.status, got.body)
	}
	if got := c.call(t, "GET", "/healthz", nil, "Origin", "http://localhost"); got.status != 403 {
		t.Errorf("with an Origin: %d %s; want 403", got.status, got.body)
	}
	_, c = on(t, "unix", withToken)
	if got := c.call(t, "GET", "/healthz", nil); got.status != 401 {
		t.Errorf("without the token there is: %d %s; want 401", got.status, got.body)
	}
	if got := c.call(t, "GET", "/healthz", nil, "Authorization", good); got.status != 200 {
		t.Errorf("with it: %d %s; want 200", got.status, got.body)
	}
}

func TestSetAccess(t *testing.T) {
	f, c := on(t, "tcp", withToken)
	const other = "another token that is long enough"
	try := func(token string) int {
		return c.call(t, "GET", "/healthz", nil, "Authorization", "Bearer "+token).status
	}
	if err := f.SetAccess(Access{Token: sha256.Sum256([]byte(other))}); err != nil {
		t.Fatal(err)
	}
	if old, now := try(secret), try(other); old != 401 || now != 200 {
		t.Errorf("old token: %d, new token: %d; want 401, 200", old, now)
	}
	if err := f.SetAccess(Access{Hosts: []string{"a b"}}); err == nil || !strings.Contains(err.Error(), `"a b"`) {
		t.Errorf("SetAccess of a bad host = %v; want an error", err)
	}
	if now := try(other); now != 200 {
		t.Errorf("after a bad SetAccess: %d; want 200", now)
	}
	if err := f.SetAccess(Access{}); err != nil {
		t.Fatal(err)
	}
	if none := try(""); none != 401 {
		t.Errorf("with an empty token where there is none now: %d; want 401", none)
	}
}

func TestOnlyHTTP11(t *testing.T) {
	f, c := on(t, "tcp", withToken)
	for name, test := range map[string]struct{ wire, want string }{
		"HTTP/1.0":              {"GET /healthz HTTP/1.0\r\nHost: localhost\r\nAuthorization: " + good + "\r\n\r\n", "HTTP/1.0 505 "},
		"HTTP/2":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
		"no Host":               {"GET /healthz HTTP/1.1\r\nAuthorization: " + good + "\r\n\r\n", "HTTP/1.1 400 "},
		"an empty Host":         {"GET /healthz HTTP/1.1\r\nHost: \r\nAuthorization: " + good + "\r\n\r\n", "HTTP/1.1 403 "},
		"two Hosts":             {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 "},
		"a foreign target":      {"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + good + "\r\n\r\n", "HTTP/1.1 403 "},
		"a tunnel":              {"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + good + "\r\n\r\n", "HTTP/1.1 403 "},
		"a tunnel to localhost": {"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + good + "\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 "},
		"all the server":        {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + good + "\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 "},
		"noise":                 {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "HTTP/1.1 400 "},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.raw(t, test.wire); !strings.HasPrefix(got, test.want) {
				t.Errorf("answer %q; want %q", got, test.want)
			}
		})
	}
	waitFor(t, "those that never came to us", func() bool { return f.refused(causeUnread) == 3 })
	f.wantRefused(t, map[cause]int{causeVersion: 2, causeUnread: 3, causeHost: 3})
}

func TestPanicCostsOneConnection(t *testing.T) {
	f, c := on(t, "unix", nil)
	f.conns.panics = true
	if got := c.raw(t, "GET /connections/"+someID+" HTTP/1.1\r\nHost: a\r\n\r\n"); got != "" {
		t.Errorf("answer %q; want none", got)
	}
	if n := f.count.panics.Value(); n != 1 {
		t.Errorf("%d panics counted; want 1", n)
	}
	if log := f.log.String(); !strings.Contains(log, "marker-panic") || !strings.Contains(log, "fakeConnections") {
		t.Errorf("log %s; want the panic and its stack", log)
	}
	f.conns.mu.Lock()
	f.conns.panics = false
	f.conns.mu.Unlock()
	if got := c.call(t, "GET", "/connections/"+someID, nil); got.status != http.StatusOK {
		t.Errorf("afterwards: %d; want 200", got.status)
	}
}

type elsewhere struct {
	net.Listener
	addr   net.Addr
	closed bool
}

func (e *elsewhere) Addr() net.Addr            { return e.addr }
func (e *elsewhere) Accept() (net.Conn, error) { return nil, errBroken }
func (e *elsewhere) Close() error              { e.closed = true; return nil }

var errBroken = errors.New("broken")

func TestServeRefuses(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9081}
	unix := &net.UnixAddr{Name: "/s", Net: "unix"}
	tests := []struct {
		name   string
		addr   net.Addr
		access Access
		want   string
	}{
		{"a public address", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9081}, Access{Token: Token{1}}, "want a unix socket or a loopback address"},
		{"every address", &net.TCPAddr{IP: net.IPv6unspecified, Port: 9081}, Access{Token: Token{1}}, "want a unix socket or a loopback address"},
		{"loopback without a token", loopback, Access{}, "want a token"},
		{"a socket that breaks", unix, Access{}, errBroken.Error()},
		{"loopback with a token that breaks", loopback, Access{Token: Token{1}}, errBroken.Error()},
	}
	if !peersKnown {
		tests[3].access.Allow.Users, tests[3].want = []uint32{1}, "want none in Allow"
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) { o.Access = test.access })
			l := &elsewhere{addr: test.addr}
			if err := f.Serve(l); err == nil || !strings.Contains(err.Error(), test.want) || !l.closed {
				t.Errorf("Serve = %v, closed %v; want %q and closed", err, l.closed, test.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	ready := func() error { return nil }
	for want, o := range map[string]Options{
		"Connections is nil": {Ready: ready},
		"Ready is nil":       {Connections: new(fakeConnections)},
		`Hosts: "a:80"`:      {Connections: new(fakeConnections), Ready: ready, Access: Access{Hosts: []string{"a", "a:80"}}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want %q", err, want)
		}
	}
}
