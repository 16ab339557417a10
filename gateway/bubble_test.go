package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/fcgi"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/metrics"
	"ws-fpm/websocket"
)

// A bubble is a mailbox and its php-fpm in virtual time.
type bubble struct {
	t       *testing.T
	g       *Gateway
	m       *mailbox
	r       *route
	accept  chan net.Conn // to its php-fpm
	started time.Time

	mu                  sync.Mutex      // guards what follows
	down                error           // of each dial; nil: php-fpm is there
	deaf                bool            // takes requests and hangs up
	hold                chan struct{}   // not nil: answers when it is closed
	dials, refused, ran []time.Duration // when they happened
	times               map[string]int  // that each connection's disconnect, or a start, ran
	now                 int
	most                int
}

// pipes is a listener for connections within the bubble.
type pipes struct{ accept chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// inBubble runs test with a new one, for whose php-fpm there are 8 connections.
func inBubble(t *testing.T, maxConnections int, test func(*bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, started: time.Now(), times: map[string]int{}}
		p := pipes{make(chan net.Conn)}
		client, err := fastcgi.New(fastcgi.Options{MaxConns: 8, Dial: func(context.Context) (net.Conn, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.dials = append(b.dials, time.Since(b.started))
			if b.down != nil {
				b.refused = append(b.refused, time.Since(b.started))
				return nil, b.down
			}
			ours, theirs := net.Pipe()
			if b.deaf {
				go func() {
					theirs.Read(make([]byte, 64<<10))
					theirs.Close()
				}()
				return ours, nil
			}
			p.accept <- theirs
			return ours, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		registry := new(metrics.Registry)
		b.accept = p.accept
		b.g = &Gateway{log: slog.New(slog.DiscardHandler), count: newCounters(registry), unknown: map[string]bool{},
			routes: map[string]*route{}, late: map[*fastcgi.Client]*mailbox{}}
		b.g.ctx, b.g.cancel = context.WithCancel(t.Context())
		b.adopt(Options{MaxConnections: maxConnections, Metrics: registry,
			Routes: []Route{{Prefix: "/ws", Script: "/ws.php", Backend: client, Events: []string{eventDisconnect}}}})
		b.r, b.m = b.g.routes["/ws"], b.g.late[client]
		go fcgi.Serve(p, b)

		test(b)

		b.g.cancel()
		b.g.work.Wait()
		if err := client.Close(b.g.ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(p.accept)
	})
}

// adopt puts o in force.
func (b *bubble) adopt(o Options) {
	b.t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := o.terms("boot")
	if err != nil {
		b.t.Fatal(err)
	}
	b.g.adopt(o, list)
}

func (b *bubble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params := fcgi.ProcessEnv(r)
	b.mu.Lock()
	b.times[params["WS_CONNECTION_ID"]]++
	b.ran = append(b.ran, time.Since(b.started))
	b.now++
	b.most = max(b.most, b.now)
	hold := b.hold
	b.mu.Unlock()
	if hold != nil {
		<-hold
	}
	b.mu.Lock()
	b.now--
	b.mu.Unlock()
}

// part posts disconnects of n connections.
func (b *bubble) part(n int) {
	b.t.Helper()
	for range n {
		if _, result, ok := b.g.enter(b.r, netip.Prefix{}); !ok {
			b.t.Fatalf("no place: %s", result)
		}
		s := &session{gateway: b.g, route: b.r, joined: b.r.now.Load(), id: randomID(), since: time.Now().UnixMilli()}
		s.identify(new(blocks), "")
		s.part(websocket.Closing{Code: websocket.StatusNormal, By: websocket.ByClient}, true)
	}
}

func (b *bubble) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// want fails unless n connections' disconnects ran, each once.
func (b *bubble) want(n int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.times) != n {
		b.t.Errorf("%d disconnects ran; want %d", len(b.times), n)
	}
	for id, times := range b.times {
		if times != 1 {
			b.t.Errorf("that of %s ran %d times", id, times)
		}
	}
}

func (b *bubble) list(of *[]time.Duration) []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(*of)
}

func (b *bubble) peak() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}

// mostIn is the largest number of times within a second.
func mostIn(times []time.Duration) (most int) {
	for i := range times {
		n := 0
		for n+i < len(times) && times[i+n] < times[i]+time.Second {
			n++
		}
		most = max(most, n)
	}
	return most
}
