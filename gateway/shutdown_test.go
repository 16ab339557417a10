package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// A shutdown delivers what PHP works on and what was sent before, then closes
// with 1001.
func TestShutdown(t *testing.T) {
	g, b, address := open(t, nil)
	idle, busy := dial(t, address), dial(t, address)
	busy.say("hold 0", "echo 1")
	b.began("hold 0")
	eventually(t, "all came in", func() bool { return count(g, "ws_fpm_messages_received_total") == 2 })
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(context.Background()) }()
	idle.wantClose(1001, "")
	eventually(t, "the other is told, too", func() bool {
		for c := range g.conns.All() {
			s := c.Handler().(*session)
			s.mu.Lock()
			deaf := s.deaf
			s.mu.Unlock()
			if !deaf {
				return false
			}
		}
		return true
	})
	busy.say("echo late")
	eventually(t, "the late message is dropped", func() bool { return count(g, "ws_fpm_messages_dropped_total") == 1 })
	b.release("0")
	busy.hear("0", "1")
	busy.wantClose(1001, "")
	if err := receive(t, done); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	books(t, g, b)
	if n := count(g, "ws_fpm_closes_total", `code="1001"`); n != 2 {
		t.Errorf("1001 is counted %d times, want 2", n)
	}
	if err := g.Shutdown(context.Background()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

func TestShutdownOfNobody(t *testing.T) {
	g, _, _ := open(t, nil)
	if err := g.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A connection without a handshake is not waited for.
func TestShutdownOfASilentClient(t *testing.T) {
	g, _, address := open(t, nil)
	silent, slow := connect(t, address, ""), connect(t, address, lines("/ws")[:20])
	eventually(t, "both are there", func() bool { return g.handshakes.Load() == 2 })
	began := time.Now()
	if err := g.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	silent.wantEOF()
	slow.wantCut()
}

// A backend that hangs, and a client that does not answer, are not waited for
// longer than the context lasts.
func TestShutdownCut(t *testing.T) {
	tests := []struct {
		name string
		left string
		keep func(t *testing.T, b *backend, address string)
	}{
		{"a backend that hangs", "1 connections cut", func(t *testing.T, b *backend, address string) {
			dial(t, address).say("hold for ever")
			b.began("hold for ever")
		}},
		{"a client that does not close", "1 connections cut", func(t *testing.T, b *backend, address string) { dial(t, address) }},
		{"two of them", "2 connections cut", func(t *testing.T, b *backend, address string) { dial(t, address); dial(t, address) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, b, address := open(t, nil)
			test.keep(t, b, address)
			why := errors.New("out of patience")
			ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, why)
			defer cancel()
			began := time.Now()
			err := g.Shutdown(ctx)
			if !errors.Is(err, why) || !strings.Contains(err.Error(), test.left) {
				t.Errorf("Shutdown: %v; want %s for %v", err, test.left, why)
			}
			if took := time.Since(began); took < 100*time.Millisecond || took > 3*time.Second {
				t.Errorf("took %v, want 100ms", took)
			}
			if n := count(g, "ws_fpm_connections"); n != 0 {
				t.Errorf("%d connections are open", n)
			}
		})
	}
}

// Many are shut down while they connect, speak and leave: none is left over,
// and each message has one fate.
func TestShutdownInTheMidst(t *testing.T) {
	for range 10 {
		g, b, address := open(t, nil)
		var clients sync.WaitGroup
		started := make(chan struct{}, 100)
		for i := range 20 {
			clients.Go(func() { // each comes and speaks until it is not let in any more
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for tryVisit(address, r) == nil {
					select {
					case started <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 30 {
			receive(t, started)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		cancel()
		clients.Wait()
		books(t, g, b)
		g.mu.Lock()
		if g.open != 0 {
			t.Errorf("%d sessions are left", g.open)
		}
		g.mu.Unlock()
	}
}

// A trap is a log whose reader panics when a record has a word in it.
type trap struct {
	slog.Handler
	word string
}

func (h trap) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.word) {
		panic("a panic for the test")
	}
	return h.Handler.Handle(ctx, r)
}

// A panic costs the client that caused it its connection and its place, and
// nobody else anything.
func TestPanic(t *testing.T) {
	tests := []struct {
		name    string
		word    string // in the log
		trigger func(t *testing.T, address string)
	}{
		{"while PHP's answer is read", "reply of PHP", func(t *testing.T, address string) {
			c := dial(t, address)
			c.say("status 302 x", "echo 1", "echo 2")
			c.wantCut()
		}},
		{"while a client is read", "broke the protocol", func(t *testing.T, address string) {
			c := dial(t, address)
			c.write([]byte{0xff, 0xff})
			c.wantCut()
		}},
		{"while a handshake is answered", "", func(t *testing.T, address string) {
			connect(t, address, lines("/ws", "Host: panic")).wantCut()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			g, b, address := open(t, func(_ *Route, o *Options) {
				handler := slog.Handler(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				if test.word != "" {
					handler = trap{handler, test.word}
				}
				o.Logger = slog.New(handler)
				o.Hosts = func(host string) bool {
					if host == "panic" {
						panic("a panic for the test")
					}
					return true
				}
			})
			other := dial(t, address)
			other.say("hold other")
			b.began("hold other")
			test.trigger(t, address)
			eventually(t, "the panic is counted", func() bool { return count(g, "ws_fpm_panics_total") == 1 })
			b.release("other")
			other.hear("other")
			eventually(t, "one connection is left", func() bool { return count(g, "ws_fpm_connections") == 1 })
			eventually(t, "and one place is taken", func() bool {
				g.mu.Lock()
				defer g.mu.Unlock()
				return g.open == 1
			})
			eventually(t, "no handshake is left", func() bool { return g.handshakes.Load() == 0 })
		})
	}
}

// wantCut expects the end of the connection without a word.
func (c *client) wantCut() {
	c.t.Helper()
	b := make([]byte, 100)
	if n, err := c.in.Read(b); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		c.t.Fatalf("client got %q, %v; want to be cut", b[:n], err)
	}
}

// Whatever happens to clients and PHP, each message that came in went to PHP
// or was dropped, and PHP ran what it was given.
func TestConservation(t *testing.T) {
	b := newBackend(t, func(o *fastcgi.Options) { o.MaxConns, o.Timeout = 8, patience })
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client, Waiting: 4}}})
	address := serve(t, g)
	var clients sync.WaitGroup
	for i := range 50 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			for range 4 {
				if err := tryVisit(address, r); err != nil {
					t.Errorf("visit: %v", err)
				}
			}
		})
	}
	clients.Wait()
	books(t, g, b)
	if n := handshakes(g, "accepted"); n != 200 || count(g, "ws_fpm_closes_total") != 200 {
		t.Errorf("%d came in, %d ended; want 200", n, count(g, "ws_fpm_closes_total"))
	}
	received := count(g, "ws_fpm_messages_received_total")
	sent := count(g, "ws_fpm_messages_sent_total") + count(g, "ws_fpm_sends_dropped_total")
	if want := received - count(g, "ws_fpm_messages_dropped_total"); sent != want {
		t.Errorf("%d answers were sent or dropped, want %d", sent, want)
	}
	t.Logf("%d messages, %d answers sent, %d messages dropped", received, count(g, "ws_fpm_messages_sent_total"), count(g, "ws_fpm_messages_dropped_total"))
}
