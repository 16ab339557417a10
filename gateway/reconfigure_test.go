package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// reconfigure changes g to those routes.
func reconfigure(t testing.TB, g *Gateway, routes ...Route) {
	t.Helper()
	if err := g.Reconfigure(Options{Routes: routes}); err != nil {
		t.Fatal(err)
	}
}

// refusedWith fails unless a handshake gets that status.
func refusedWith(t testing.TB, address, target string, status int) {
	t.Helper()
	if r := connect(t, address, lines(target)).response(); r.StatusCode != status {
		t.Errorf("%s: status %d; want %d", target, r.StatusCode, status)
	}
}

// leave closes, as a client does that wants no more.
func (c *client) leave() {
	c.t.Helper()
	c.write(frame(closed, ""))
	if _, err := io.Copy(io.Discard, c.in); err != nil {
		c.t.Fatalf("after the close frame: %v; want the end of the stream", err)
	}
	c.Close()
}

// whole gives the next message, and of how many frames it was.
func (c *client) whole() (message string, frames int) {
	c.t.Helper()
	for {
		head, payload, err := c.read()
		if err != nil {
			c.t.Fatal(err)
		}
		message += payload
		frames++
		if head&0x80 != 0 {
			return message, frames
		}
	}
}

// A socket is a connection of which only the other end's address is known.
type socket struct {
	net.Conn
	remote string
}

func (s *socket) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s.remote))
}

// An event in hand ends as it began, with the backend and the limits it began
// with; the next one of the same connection has the new ones.
func TestReconfigureInTheMidstOfAnEvent(t *testing.T) {
	g, old, address := open(t, nil)
	next := newBackend(t, nil)
	c := dial(t, address)
	c.say("hold 12345", "echo 12345", "echo 123")
	old.began("hold 12345")
	reconfigure(t, g, Route{Prefix: "/ws", Script: "/p/new.php", Backend: next.client, MaxReply: 4})
	if g.Uses(old.client) || !g.Uses(next.client) {
		t.Errorf("Uses is %v of the old backend, %v of the new one", g.Uses(old.client), g.Uses(next.client))
	}
	closing := make(chan error, 1)
	go func() { closing <- old.client.Close(context.Background()) }()
	old.release("12345")
	c.hear("12345")
	c.wantError("reply_too_big")
	c.hear("123")
	if err := receive(t, closing); err != nil {
		t.Errorf("closing the old backend: %v", err)
	}
	if got, want := next.runs(), []string{"echo 12345", "echo 123"}; !slices.Equal(got, want) {
		t.Errorf("the new backend ran %q; want %q", got, want)
	}
	c.say("param SCRIPT_FILENAME")
	c.wantError("reply_too_big")
	reconfigure(t, g, Route{Prefix: "/ws", Script: "/p/new.php", Backend: next.client})
	c.say("param SCRIPT_FILENAME")
	c.hear("/p/new.php")
}

// An event that was about to be given to a backend which has closed meanwhile
// is given to its successor; if there is none, that is its error.
func TestReconfigureJustBeforeAnEvent(t *testing.T) {
	g, old, _ := open(t, nil)
	next := newBackend(t, nil)
	s := g.startSession(g.opts().find("/ws"))
	send := func(change func()) error {
		w := new(scratch)
		s.newEvent(w, eventStart)
		change()
		response, err := s.send(context.Background(), w, fastcgi.Request{Body: []byte("param SCRIPT_FILENAME")})
		var body []byte
		if err == nil {
			body, err = response.AppendBody(nil, 100)
		}
		if err == nil && string(body) != "/p/new.php" {
			t.Errorf("script %s; want the new one", body)
		}
		return err
	}
	if err := send(func() {
		reconfigure(t, g, Route{Prefix: "/ws", Script: "/p/new.php", Backend: next.client})
		old.client.Close(context.Background())
	}); err != nil || len(old.runs()) > 0 || len(next.runs()) != 1 {
		t.Errorf("%v; the old backend ran %q, the new one %q", err, old.runs(), next.runs())
	}
	if err := send(func() { next.client.Close(context.Background()) }); !isClosed(err) {
		t.Errorf("with no successor: %v; want that the backend is closed", err)
	}
}

// Backends are replaced and closed while clients speak: each message runs once
// and is answered, whatever its session was just about to do.
func TestReconfigureUnderLoad(t *testing.T) {
	g, first, address := open(t, nil)
	backends := []*backend{first}
	var clients sync.WaitGroup
	stop := make(chan struct{})
	sent := make([]int, 8)
	for i := range sent {
		c := dial(t, address)
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c.say("echo x")
				if _, payload, err := c.read(); err != nil || payload != "x" {
					t.Errorf("answer %q, %v", payload, err)
					return
				}
				sent[i]++
			}
		})
	}
	for range 12 {
		b := newBackend(t, nil)
		reconfigure(t, g, Route{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client})
		last := backends[len(backends)-1]
		if err := last.client.Close(context.Background()); err != nil {
			t.Error(err)
		}
		eventually(t, "it is used", func() bool { return len(b.runs()) > 0 })
		backends = append(backends, b)
	}
	close(stop)
	clients.Wait()
	ran, all := 0, 0
	for _, b := range backends {
		ran += len(b.runs())
	}
	for _, n := range sent {
		all += n
	}
	if ran != all || all == 0 {
		t.Errorf("%d messages, of which %d ran", all, ran)
	}
}

// A route that is gone lets nobody in, and serves whom it has as before; when
// it comes back it is theirs as well.
func TestReconfigureRemovesARoute(t *testing.T) {
	g, b, address := open(t, nil)
	other := newBackend(t, nil)
	c := dial(t, address)
	c.say("echo 1")
	c.hear("1")
	reconfigure(t, g, Route{Prefix: "/other", Script: "/p/other.php", Backend: other.client})
	refusedWith(t, address, "/ws", http.StatusNotFound)
	c.say("param SCRIPT_FILENAME")
	c.hear("/p/ws.php")
	if !g.Uses(b.client) {
		t.Error("the backend of a connection is not used")
	}
	reconfigure(t, g, Route{Prefix: "/other", Script: "/p/other.php", Backend: other.client},
		Route{Prefix: "/ws", Script: "/p/again.php", Backend: other.client})
	c.say("param SCRIPT_FILENAME")
	c.hear("/p/again.php")
	if g.Uses(b.client) {
		t.Error("the backend that no connection needs is used")
	}
	reconfigure(t, g, Route{Prefix: "/other", Script: "/p/other.php", Backend: b.client})
	c.leave()
	eventually(t, "it has left", func() bool { return g.Open() == 0 })
	if g.Uses(other.client) || len(g.routes) != 1 {
		t.Errorf("%d routes are known; want the one that went with its last connection to be forgotten", len(g.routes))
	}
}

// A handshake that found its route before it went is turned away, for nothing
// keeps the backend for it.
func TestReconfigureBetweenFindAndEnter(t *testing.T) {
	g, b, _ := open(t, nil)
	found := g.opts().find("/ws")
	reconfigure(t, g, Route{Prefix: "/other", Script: "/p/other.php", Backend: b.client})
	if _, result, ok := g.enter(found, netip.Prefix{}); ok || result != refusedPath {
		t.Errorf("let in with %q; want %q", result, refusedPath)
	}
}

// What is agreed on in the handshake stays with a connection.
func TestReconfigureKeepsWhatWasAgreed(t *testing.T) {
	g, b, address := open(t, func(r *Route, _ *Options) { r.MaxMessage = 30 })
	before := dial(t, address)
	r := Route{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client, MaxMessage: 40, Fragment: 3,
		Events: []string{eventMessage, eventDisconnect}, Origins: []string{"https://a.example"}, Subprotocols: []string{"chat"}}
	reconfigure(t, g, r)
	after := dial(t, address, "Sec-WebSocket-Protocol: chat", "Origin: https://a.example")
	for _, test := range []struct {
		name                string
		c                   *client
		events, subprotocol string
		fragments           int
	}{
		{"before", before, "message", "none", 1},
		{"after", after, "message,disconnect", "chat", 2},
	} {
		test.c.say("param WS_EVENTS")
		if got, _ := test.c.whole(); got != test.events {
			t.Errorf("%s: WS_EVENTS is %q; want %q", test.name, got, test.events)
		}
		test.c.say("param WS_SUBPROTOCOL")
		if got, n := test.c.whole(); got != test.subprotocol || n != test.fragments {
			t.Errorf("%s: WS_SUBPROTOCOL is %q in %d frames; want %q in %d", test.name, got, n, test.subprotocol, test.fragments)
		}
	}
	if r := connect(t, address, lines("/ws", "Origin: http://ws.example")).response(); r.StatusCode != http.StatusForbidden {
		t.Errorf("an origin that is not allowed any more: %d", r.StatusCode)
	}
	long := strings.Repeat("x", 35)
	before.say(long)
	before.wantClose(uint16(websocket.StatusTooBig), "")
	after.say(long)
	if got, _ := after.whole(); got != long {
		t.Errorf("a message of 35 bytes: %q", got)
	}
	after.leave()
	eventually(t, "PHP is told of the one that asked for it", func() bool {
		return slices.Contains(b.heard(), "disconnect /ws")
	})
	if n := len(slices.DeleteFunc(b.heard(), func(s string) bool { return s != "disconnect /ws" })); n != 1 {
		t.Errorf("PHP was told of %d; want 1", n)
	}
}

// Limits hold at once for whoever comes; nobody who is there has to go.
func TestReconfigureLimits(t *testing.T) {
	g, b, address := open(t, nil)
	route := Route{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}
	c, d := dial(t, address), dial(t, address)
	change := func(o Options) {
		t.Helper()
		o.Routes = []Route{route}
		if err := g.Reconfigure(o); err != nil {
			t.Fatal(err)
		}
	}
	change(Options{MaxConnections: 2})
	refusedWith(t, address, "/ws", http.StatusServiceUnavailable)
	change(Options{MaxConnections: 3})
	dial(t, address)

	change(Options{Trust: Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	e := dial(t, address, "X-Forwarded-For: 192.0.2.7")
	e.say("param REMOTE_ADDR")
	e.hear("192.0.2.7")
	c.say("param REMOTE_ADDR")
	c.hear("127.0.0.1")
	change(Options{Trust: g.opts().Trust, PerAddress: 1})
	if r := connect(t, address, lines("/ws", "X-Forwarded-For: 192.0.2.7")).response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second connection of one address: %d", r.StatusCode)
	}
	change(Options{})
	e.leave() // counted by an address that has a limit no more

	route.Waiting = 1
	change(Options{})
	d.say("hold 0", "echo 1")
	b.began("hold 0")
	eventually(t, "it is not read", func() bool { return count(g, "ws_fpm_reading_paused_total") == 1 })
	b.release("0")
	d.hear("0", "1")
	route.OnError = OnErrorClose
	change(Options{})
	c.say("status 500")
	c.wantClose(1011, "backend_failed")
}

// Handshakes of one address are given back to whom they were taken from,
// whoever is trusted by then.
func TestReconfigureDuringAHandshake(t *testing.T) {
	g, b, _ := open(t, nil)
	c := &socket{remote: "192.0.2.9:1"}
	g.connState(c, http.StateNew)
	err := g.Reconfigure(Options{Trust: Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	if err != nil {
		t.Fatal(err)
	}
	trusted := &socket{remote: "192.0.2.10:1"}
	g.connState(trusted, http.StateNew)
	g.connState(trusted, http.StateClosed)
	g.connState(c, http.StateClosed)
	if n, m := len(g.visitors.shaking), g.handshakes.Load(); n != 0 || m != 0 {
		t.Errorf("%d addresses, %d handshakes are counted after all have ended", n, m)
	}
}

// PHP hears of the start for a route that is new or begins to keep books, once.
func TestReconfigureStart(t *testing.T) {
	g, b, _ := open(t, func(r *Route, _ *Options) { r.Events = []string{eventMessage, eventDisconnect} })
	eventually(t, "it has started", func() bool { return len(b.heard()) == 1 })
	books := Route{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client, Events: []string{eventMessage, eventDisconnect}}
	fresh, plain := books, Route{Prefix: "/plain", Script: "/p/plain.php", Backend: b.client}
	fresh.Prefix = "/fresh"
	reconfigure(t, g, books, fresh, plain)
	plain.Events = books.Events
	reconfigure(t, g, books, fresh, plain)
	reconfigure(t, g, plain, fresh, books)
	eventually(t, "three have started", func() bool { return len(b.heard()) >= 3 && count(g, "ws_fpm_late_events_waiting") == 0 })
	got := b.heard()
	slices.Sort(got)
	if want := []string{"start /fresh", "start /plain", "start /ws"}; !slices.Equal(got, want) {
		t.Errorf("PHP heard %q; want %q", got, want)
	}
}

// What is refused changes nothing.
func TestReconfigureRefuses(t *testing.T) {
	g, b, address := open(t, nil)
	good := Route{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}
	before := g.opts()
	for name, o := range map[string]Options{
		"no route":              {},
		"a negative limit":      {Routes: []Route{good}, MaxConnections: -1},
		"a negative ping":       {Routes: []Route{good}, Ping: -1},
		"a route without slash": {Routes: []Route{{Prefix: "ws", Script: "/p/ws.php", Backend: b.client}}},
		"a route twice":         {Routes: []Route{good, good}},
		"a script with a NUL":   {Routes: []Route{{Prefix: "/ws", Script: "/p/\x00.php", Backend: b.client}}},
	} {
		if err := g.Reconfigure(o); err == nil || g.opts() != before {
			t.Errorf("%s: %v; want an error, and nothing changed", name, err)
		}
	}
	c := dial(t, address)
	c.say("echo 1")
	c.hear("1")
	c.leave()
	if err := g.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := g.Reconfigure(Options{Routes: []Route{good}}); !errors.Is(err, ErrDraining) {
		t.Errorf("during a shutdown: %v; want %v", err, ErrDraining)
	}
}
