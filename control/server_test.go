package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ws-fpm/metrics"
)

func itoa(n int) string { return strconv.Itoa(n) }

// fakeConnections has one connection and remembers what was asked of it.
type fakeConnections struct {
	mu     sync.Mutex // guards what follows
	closed []string
	done   []string // all else
	panics bool
}

func (f *fakeConnections) Connection(id string) (Connection, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("marker-panic")
	}
	if id != someID {
		return Connection{}, false
	}
	return Connection{ID: id, Since: time.UnixMilli(1732335000123), Route: "/ws", RemoteAddress: "203.0.113.9", User: "a\"b<\xff",
		Attributes: map[string]string{"ROOM_ID": "7"}}, true
}

func (f *fakeConnections) Disconnect(id string, code uint16, reason string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = append(f.closed, fmt.Sprintf("%s %d %q", id, code, reason))
	return id == someID
}

func (f *fakeConnections) did(what string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, fmt.Sprintf(what, args...))
}

func (f *fakeConnections) Send(id string, m Message) bool {
	f.did("send %s %t %q", id, m.Text, m.Body)
	return id == someID
}

func (f *fakeConnections) Publish(channel, exclude string, m Message) int {
	f.did("publish %s %s %t %q", channel, exclude, m.Text, m.Body)
	return 3
}

func (f *fakeConnections) SendToUser(user string, m Message) int {
	f.did("user %s %t %q", user, m.Text, m.Body)
	return 2
}

func (f *fakeConnections) CloseUser(user string, code uint16, reason string) int {
	f.did("close user %s %d %q", user, code, reason)
	return 2
}

func (f *fakeConnections) Channels(prefix string, most int) ([]Channel, int) {
	f.did("channels %q %d", prefix, most)
	return []Channel{{"news", 3}}, 7
}

func (f *fakeConnections) List(user, channel string, most int) ([]Connection, int) {
	f.did("list %q %q %d", user, channel, most)
	return []Connection{{ID: someID, Since: time.UnixMilli(1), Route: "/ws"}}, 9
}

// A fixture is a server on loopback with a token, and on a unix socket without.
type fixture struct {
	*Server
	conns    *fakeConnections
	registry *metrics.Registry
	ready    error // what Ready says; set before the first request
	log      *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newFixture makes a server that ends with the test.
func newFixture(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{conns: new(fakeConnections), registry: new(metrics.Registry), log: new(lockedBuffer)}
	o := Options{Connections: f.conns, Ready: func() error { return f.ready }, Metrics: f.registry, Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
	})
	return f
}

func withToken(o *Options) { o.Access.Token = sha256.Sum256([]byte(secret)) }

// on serves the API on network and gives a client for it.
func on(t *testing.T, network string, change func(*Options)) (*fixture, *client) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(shortDir(t), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // the last: the fixture's Shutdown ends it
	f := newFixture(t, change)
	wg.Go(func() {
		if err := f.Serve(l); err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return f, newClient(t, l.Addr())
}

// shortDir is a directory with a path short enough for a socket, which others
// may enter.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A client calls one address.
type client struct {
	addr net.Addr
	http http.Client
}

func newClient(t *testing.T, addr net.Addr) *client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{addr, http.Client{Transport: transport}}
}

// A reply is what came of a call.
type reply struct {
	status int
	header http.Header
	body   string
}

// call sends one request; fields are pairs, of which Host is special.
func (c *client) call(t *testing.T, method, target string, body io.Reader, fields ...string) reply {
	t.Helper()
	r, err := http.NewRequest(method, "http://localhost"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
		}
		r.Header.Add(fields[i], fields[i+1])
	}
	r.Header.Del("Host")
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return reply{response.StatusCode, response.Header, string(b)}
}

// raw sends bytes and gives all that comes back until the end.
func (c *client) raw(t *testing.T, wire string) string {
	t.Helper()
	nc, err := net.Dial(c.addr.Network(), c.addr.String())
	if err != nil {
		t.Error(err)
		return ""
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(nc, wire); err != nil {
		t.Error(err)
		return ""
	}
	b, _ := io.ReadAll(nc) // an answer may end with a reset: it is judged by what it says
	return string(b)
}

// refused reads a counter.
func (f *fixture) refused(why cause) int { return int(f.count.refused[why].Value()) }

// refusals reads all of them.
func (f *fixture) refusals() map[cause]int {
	all := map[cause]int{}
	for _, why := range causes {
		all[why] = f.refused(why)
	}
	return all
}

// wantRefused compares all counters of refusals with those named.
func (f *fixture) wantRefused(t *testing.T, want map[cause]int) {
	t.Helper()
	for _, why := range causes {
		if got := f.refused(why); got != want[why] {
			t.Errorf("refused for %s: %d; want %d", why, got, want[why])
		}
	}
}

func TestAPI(t *testing.T) {
	const shown = `{"id":"` + someID + `","since":1732335000123,"route":"/ws","user":"a\"b\u003c\ufffd","attributes":{"ROOM_ID":"7"},"channels":[],"remote_address":"203.0.113.9"}`
	const other = "ffffffffffffffffffffffffffffffff"
	tests := []struct {
		name, method, target string
		status               int
		body                 string // JSON without its newline, or text
		closed               string // what Disconnect was asked
	}{
		{"a connection is shown", "GET", "/connections/" + someID, 200, shown, ""},
		{"HEAD is GET without a body", "HEAD", "/connections/" + someID, 200, "", ""},
		{"one that is gone", "GET", "/connections/" + other, 410, `{"error":"id: this connection is gone"}`, ""},
		{"an id that is none", "GET", "/connections/x", 400, `{"error":"id: want 32 lowercase hexadecimal digits"}`, ""},
		{"an id with a slash in it", "GET", "/connections/" + someID[1:] + "%2f", 400, `{"error":"id: want 32 lowercase hexadecimal digits"}`, ""},
		{"an id of dots", "GET", "/connections/%2e%2e", 400, `{"error":"id: want 32 lowercase hexadecimal digits"}`, ""},
		{"an id with a newline", "GET", "/connections/" + someID + "%0a", 400, `{"error":"id: want 32 lowercase hexadecimal digits"}`, ""},
		{"a connection is closed", "DELETE", "/connections/" + someID, 204, "", someID + ` 1000 ""`},
		{"with a code and a reason", "DELETE", "/connections/" + someID + "?code=4001&reason=bye%21", 204, "", someID + ` 4001 "bye!"`},
		{"closing one that is gone", "DELETE", "/connections/" + other, 410, `{"error":"id: this connection is gone"}`, other + ` 1000 ""`},
		{"closing with a bad id", "DELETE", "/connections/X", 400, `{"error":"id: want 32 lowercase hexadecimal digits"}`, ""},
		{"closing with a bad code", "DELETE", "/connections/" + someID + "?code=1001", 400, `{"error":"code: want 1000, 1008, 1011, 1013 or 3000 to 4999"}`, ""},
		{"closing with a reason too long", "DELETE", "/connections/" + someID + "?reason=" + strings.Repeat("r", 124), 400, `{"error":"reason: want at most 123 bytes"}`, ""},
		{"closing with a malformed query", "DELETE", "/connections/" + someID + "?code=%zz", 400, `{"error":"query: malformed"}`, ""},
		{"closing with a semicolon in the query", "DELETE", "/connections/" + someID + "?code=4001;reason=x", 400, `{"error":"query: malformed"}`, ""},
		{"GET closes nothing", "GET", "/connections/" + someID + "?code=4001", 200, shown, ""},
		{"another method", "PUT", "/connections/" + someID, 405, `{"error":"method: want DELETE or GET or HEAD or POST"}`, ""},
		{"OPTIONS", "OPTIONS", "/healthz", 405, `{"error":"method: want GET or HEAD"}`, ""},
		{"a method in small letters", "get", "/healthz", 405, `{"error":"method: want GET or HEAD"}`, ""},
		{"health", "GET", "/healthz", 200, "ok\n", ""},
		{"health with a query", "GET", "/healthz?x=1", 200, "ok\n", ""},
		{"ready", "GET", "/readyz", 200, "ok\n", ""},
		{"closing health", "DELETE", "/healthz", 405, `{"error":"method: want GET or HEAD"}`, ""},
		{"the root", "GET", "/", 404, `{"error":"path: there is no such thing"}`, ""},
		{"no id", "DELETE", "/connections/", 404, `{"error":"path: there is no such thing"}`, ""},
		{"all connections", "DELETE", "/connections", 405, `{"error":"method: want GET or HEAD"}`, ""},
		{"below a connection", "GET", "/connections/" + someID + "/x", 404, `{"error":"path: there is no such thing"}`, ""},
		{"a path that has to be tidied up", "GET", "//healthz", 404, `{"error":"path: there is no such thing"}`, ""},
		{"a path with dots", "GET", "/x/../healthz", 404, `{"error":"path: there is no such thing"}`, ""},
		{"a slash at the end", "GET", "/healthz/", 404, `{"error":"path: there is no such thing"}`, ""},
		{"profiles", "GET", "/debug/pprof/", 404, `{"error":"path: there is no such thing"}`, ""},
		{"variables", "GET", "/debug/vars", 404, `{"error":"path: there is no such thing"}`, ""},
	}
	for _, network := range []string{"tcp", "unix"} {
		f, c := on(t, network, withToken)
		for _, test := range tests {
			t.Run(network+"/"+test.name, func(t *testing.T) {
				f.conns.closed = nil
				got := c.call(t, test.method, test.target, nil, "Authorization", "Bearer "+secret)
				if got.status != test.status || strings.TrimSuffix(got.body, "\n") != strings.TrimSuffix(test.body, "\n") {
					t.Errorf("%d %s; want %d %s", got.status, got.body, test.status, test.body)
				}
				if closed := strings.Join(f.conns.closed, "; "); closed != test.closed {
					t.Errorf("closed %s; want %s", closed, test.closed)
				}
				media := got.header.Get("Content-Type")
				if strings.HasPrefix(test.body, "{") && media != "application/json" || test.body == "ok\n" && media != "text/plain; charset=utf-8" {
					t.Errorf("Content-Type: %s", media)
				}
				if allow := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(test.body, `{"error":"method: want `), `"}`), " or ", ", "); test.status == 405 && got.header.Get("Allow") != allow {
					t.Errorf("Allow: %q; want %q", got.header.Get("Allow"), allow)
				}
				if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("header %v; want no-store and nosniff", got.header)
				}
			})
		}
		f.wantRefused(t, nil)
	}
}

func TestMetricsAndReadiness(t *testing.T) {
	f, c := on(t, "unix", nil)
	f.registry.Counter("marker_total", "A.").Add(5)
	got := c.call(t, "GET", "/metrics", nil)
	if got.status != 200 || got.header.Get("Content-Type") != metrics.ContentType || !strings.Contains(got.body, "\nmarker_total 5\n") {
		t.Errorf("GET /metrics = %d, %s, %s", got.status, got.header.Get("Content-Type"), got.body)
	}
	f, c = on(t, "unix", nil)
	f.ready = errors.New("php-fpm: connection refused")
	if got := c.call(t, "GET", "/readyz", nil); got.status != 503 || got.body != `{"error":"php-fpm: connection refused"}`+"\n" {
		t.Errorf("GET /readyz = %d %s; want 503 and the reason", got.status, got.body)
	}
	if got := c.call(t, "GET", "/healthz", nil); got.status != 200 {
		t.Errorf("GET /healthz = %d while PHP is down; want 200", got.status)
	}
	if got := c.call(t, "HEAD", "/healthz", nil); got.status != 200 || got.body != "" {
		t.Errorf("HEAD /healthz = %d %q; want 200", got.status, got.body)
	}
	got = c.call(t, "GET", "/metrics", nil)
	for _, want := range []string{`ws_fpm_control_requests_total{status="2xx"} 2`, `ws_fpm_control_requests_total{status="5xx"} 1`, "ws_fpm_control_connections 1"} {
		if !strings.Contains(got.body, want+"\n") {
			t.Errorf("no %s in\n%s", want, got.body)
		}
	}
}

// The extra listener has nothing but metrics and health, wants no token, and
// keeps browsers out all the same.
func TestServeMetrics(t *testing.T) {
	f := newFixture(t, withToken)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.ServeMetrics(l); err != nil {
			t.Errorf("ServeMetrics = %v", err)
		}
	})
	c := newClient(t, l.Addr())
	for _, test := range []struct {
		method, target, field, value string
		status                       int
	}{
		{"GET", "/metrics", "", "", 200},
		{"GET", "/healthz", "", "", 200},
		{"GET", "/readyz", "", "", 200},
		{"POST", "/metrics", "", "", 405},
		{"GET", "/connections/" + someID, "", "", 404},
		{"GET", "/connections/" + someID, "Authorization", "Bearer " + secret, 404},
		{"DELETE", "/connections/" + someID, "Authorization", "Bearer " + secret, 404},
		{"GET", "/debug/pprof/", "", "", 404},
		{"GET", "/metrics", "Origin", "http://localhost", 403},
		{"GET", "/metrics", "Host", "evil.example", 403},
	} {
		var fields []string
		if test.field != "" {
			fields = []string{test.field, test.value}
		}
		if got := c.call(t, test.method, test.target, nil, fields...); got.status != test.status {
			t.Errorf("%s %s with %s %q = %d %s; want %d", test.method, test.target, test.field, test.value, got.status, got.body, test.status)
		}
	}
	if len(f.conns.closed) != 0 {
		t.Errorf("closed %q", f.conns.closed)
	}
	f.Shutdown(t.Context())
	wg.Wait()
}
