package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The connections that are upgraded are at most MaxConnections; one that goes
// makes room.
func TestMaxConnections(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{MaxConnections: 2, Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	first := dial(t, address)
	dial(t, address)
	if n := handshakes(g, "max_connections"); n != 0 {
		t.Errorf("max_connections is %d at the limit, want 0", n)
	}
	for range 2 {
		c := connect(t, address, lines("/ws"))
		r := c.response()
		if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || !r.Close {
			t.Errorf("over the limit: %s, %v", r.Status, r.Header)
		}
	}
	if n := handshakes(g, "max_connections"); n != 2 {
		t.Errorf("max_connections is %d, want 2", n)
	}
	// A client that has gone still holds its place while PHP works for it.
	first.say("hold place")
	b.began("hold place")
	first.reset()
	eventually(t, "its socket is gone", func() bool { return count(g, "ws_fpm_connections") == 1 })
	if r := connect(t, address, lines("/ws")).response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while PHP works for one that has gone: %s, want 503", r.Status)
	}
	b.release("place")
	eventually(t, "its place is free", func() bool {
		return connect(t, address, lines("/ws")).response().StatusCode == http.StatusSwitchingProtocols
	})
}

// The connections that are not upgraded are at most MaxHandshakes; one more is
// closed without a word, and all others go on.
func TestMaxHandshakes(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{MaxHandshakes: 3, Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	upgraded := dial(t, address) // does not count
	var silent []*client
	for range 3 {
		silent = append(silent, connect(t, address, ""))
	}
	eventually(t, "three are there", func() bool { return g.handshakes.Load() == 3 })
	if n := handshakes(g, "max_handshakes"); n != 0 {
		t.Errorf("max_handshakes is %d at the limit, want 0", n)
	}
	c := connect(t, address, "")
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the fourth got %d bytes, %v; want the end", n, err)
	}
	eventually(t, "the refusal is counted", func() bool { return handshakes(g, "max_handshakes") == 1 })
	upgraded.say("echo still here")
	upgraded.hear("still here")
	silent[0].write([]byte(lines("/ws")))
	if r := silent[0].response(); r.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the first of three got %s", r.Status)
	}
	eventually(t, "a place is free", func() bool { return g.handshakes.Load() == 2 })
	dial(t, address)
	if n := handshakes(g, "unread"); n != 0 {
		t.Errorf("unread is %d, want 0: those have a name of their own", n)
	}
}

// While a gateway drains, a handshake that has come so far is answered 503.
func TestHandshakeDraining(t *testing.T) {
	b := newBackend(t, nil)
	asked, answer := make(chan struct{}), make(chan struct{})
	g := newGateway(t, Options{
		Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}},
		Hosts: func(host string) bool {
			if host == "late" {
				close(asked)
				<-answer
			}
			return true
		},
	})
	address := serve(t, g)
	busy := dial(t, address)
	busy.say("hold drain")
	b.began("hold drain")
	late := connect(t, address, lines("/ws", "Host: late"))
	receive(t, asked)
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(context.Background()) }()
	eventually(t, "no client is accepted any more", func() bool {
		nc, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	eventually(t, "nor let in who was before", g.isRefusing)
	close(answer)
	if r := late.response(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || !r.Close {
		t.Errorf("while draining: %s, %v; want 503", r.Status, r.Header)
	}
	if n := handshakes(g, "draining"); n != 1 {
		t.Errorf("draining is %d, want 1", n)
	}
	b.release("drain")
	busy.hear("drain")
	busy.wantClose(1001, "")
	if err := receive(t, done); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A route's message_rate is what a client gets through; what is more waits and
// is not lost.
func TestMessageRate(t *testing.T) {
	for _, test := range []struct {
		name     string
		messages int
		pauses   int
	}{
		{"one less than twice the rate", 1, 0},
		{"twice the rate", 2, 0},
		{"one more", 3, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, b, address := open(t, func(r *Route, _ *Options) { r.MessageRate = 1 })
			c := dial(t, address)
			c.say(numbered("echo %d", 0, test.messages)...)
			c.hear(numbered("%d", 0, test.messages)...)
			if n := count(g, "ws_fpm_reading_paused_total", `cause="message_rate"`); n != test.pauses {
				t.Errorf("message_rate is %d, want %d", n, test.pauses)
			}
			c.Close()
			books(t, g, b)
		})
	}
}

// only gives the one session there is.
func only(t *testing.T, g *Gateway) (s *session) {
	t.Helper()
	eventually(t, "it has started", func() bool {
		for c := range g.conns.All() {
			s = c.Handler().(*session)
		}
		return s != nil
	})
	return s
}

// While memory is short nobody else is let in, and who is there stays.
func TestMemoryKeepsNewcomersOut(t *testing.T) {
	var short atomic.Bool
	g, _, address := open(t, func(r *Route, o *Options) { o.MemoryShort = short.Load })
	c := dial(t, address)
	short.Store(true)
	if r := connect(t, address, lines("/ws")).response(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || handshakes(g, "memory") != 1 {
		t.Errorf("%s, %v, counted %d times; want 503 and 1", r.Status, r.Header, handshakes(g, "memory"))
	}
	c.say("still here")
	c.hear("still here")
	short.Store(false)
	dial(t, address)
}

// Whoever is refused for want of room is told the same, whether net/http reads
// the handshake or not, and whether PHP were to be asked or not.
func TestNoRoomIsSaidInOneWay(t *testing.T) {
	for _, test := range []struct {
		name   string
		events []string
		more   []string // fields
	}{
		{name: "in the loop"},
		{name: "in the loop, before PHP is asked", events: []string{"connect", "message"}},
		{name: "by net/http", more: []string{"+Content-Length: 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			g, _, address := open(t, func(r *Route, o *Options) {
				r.Events, o.Logger = test.events, slog.New(slog.NewTextHandler(&log, nil))
				o.MemoryShort = func() bool { return true }
			})
			r := connect(t, address, lines("/ws", test.more...)).response()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if inLoop := len(test.more) == 0; (r.Header.Get("Date") == "") != inLoop { // net/http gives one
				t.Errorf("the date is %q", r.Header.Get("Date"))
			}
			r.Header.Del("Date")
			want := http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"34"}, "X-Content-Type-Options": {"nosniff"}, "Retry-After": {"5"}}
			if r.Status != "503 Service Unavailable" || r.Proto != "HTTP/1.1" || !r.Close || string(body) != "no more connections at the moment\n" {
				t.Errorf("%s %s, close %v, %q", r.Proto, r.Status, r.Close, body)
			}
			if !reflect.DeepEqual(r.Header, want) {
				t.Errorf("the fields are %v, want %v", r.Header, want)
			}
			eventually(t, "it is counted and has gone", func() bool { return handshakes(g, "memory") == 1 && g.handshakes.Load() == 0 })
			if got := log.String(); strings.Count(got, "handshake refused") != 1 || !strings.Contains(got, "result=memory path=/ws") {
				t.Errorf("the log says %q", got)
			}
		})
	}
}

// While more than four fifths of the buffers are in use nobody else is let in.
func TestBuffersKeepNewcomersOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		held   int
		status int
		n      int
	}{
		{"one byte less", 80_000 - 1, http.StatusSwitchingProtocols, 0},
		{"four fifths", 80_000, http.StatusSwitchingProtocols, 0},
		{"one byte more", 80_000 + 1, http.StatusServiceUnavailable, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, _, address := open(t, func(r *Route, o *Options) { o.Buffers = 100_000 })
			dial(t, address)
			s := only(t, g)
			s.conn.Hold(test.held)
			r := connect(t, address, lines("/ws")).response()
			if r.StatusCode != test.status || handshakes(g, "buffers") != test.n {
				t.Errorf("%s, counted %d times; want %d, %d", r.Status, handshakes(g, "buffers"), test.status, test.n)
			}
			if test.n == 1 && (r.Header.Get("Retry-After") == "" || !r.Close) {
				t.Errorf("refused with %v", r.Header)
			}
			s.conn.Hold(-test.held)
		})
	}
}

// A message for which there is no room costs its sender the connection, and PHP
// does not see it. A small one that PHP takes at once, or that waits alone, needs
// none.
func TestBuffersRefuseAMessage(t *testing.T) {
	for _, test := range []struct {
		name    string
		busy    bool // PHP works on one before it
		behind  bool // another one that waits
		size    int
		refused bool
	}{
		{"as large as needs no room", false, false, bodySize, false},
		{"one byte more", false, false, bodySize + 1, true},
		{"as large as may wait alone", true, false, bodySize, false},
		{"one byte more that has to wait", true, false, bodySize + 1, true},
		{"a small one behind another that waits", true, true, 10, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, b, address := open(t, func(r *Route, o *Options) { o.Buffers = 1_000_000 })
			dial(t, address)
			full := only(t, g)
			c := dial(t, address)
			if test.busy {
				c.say("hold 0")
				b.began("hold 0")
			}
			full.conn.Hold(900_000)
			if !test.busy || test.behind {
				c.say(sized(1, 10))
			}
			if !test.busy {
				c.hear("11111")
			}
			full.conn.Hold(20_000) // it is shed for that, but holds on, and more
			eventually(t, "it is shed", func() bool { return count(g, "ws_fpm_cut_total", `cause="buffers"`) == 1 })
			full.conn.Hold(580_000 - cost(test.behind))
			c.say(sized(2, test.size))
			if !test.refused {
				b.releaseAll()
				if test.busy {
					c.hear("0")
				}
				c.hear(strings.TrimPrefix(sized(2, test.size), "echo "))
			} else {
				c.wantClose(1013, "overloaded")
			}
			b.releaseAll()
			if n := count(g, "ws_fpm_cut_total", `cause="buffers_message"`); (n == 1) != test.refused {
				t.Errorf("buffers_message is %d", n)
			}
			for _, run := range b.runs() {
				if test.refused && run == sized(2, test.size) {
					t.Error("PHP has seen it")
				}
			}
			full.conn.Hold(-1_500_000 + cost(test.behind))
		})
	}
}

// cost is what the first message that waits in a test takes.
func cost(waits bool) int {
	if !waits {
		return 0
	}
	return 10 + messageCost
}
