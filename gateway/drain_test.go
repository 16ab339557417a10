package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClosesDue(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name         string
		n            int
		whole, since time.Duration
		want         int
	}{
		{"the first goes at once", 5000, 25 * s, 0, 1},
		{"one alone is all", 1, 25 * s, 0, 1},
		{"nobody is nobody", 0, 25 * s, s, 0},
		{"few go at 500 a second", 5000, 25 * s, s, 501},
		{"so that 5,000 take 10 s", 5000, 25 * s, 10*s - 2*time.Millisecond, 5000},
		{"7,500 in 25 s are where both rates meet", 7500, 25 * s, s, 501},
		{"many go within 60 % of the time", 50000, 25 * s, 15*s - time.Millisecond, 49997},
		{"and not sooner", 50000, 25 * s, s, 3334},
		{"a short time makes it faster", 5000, s, 300 * time.Millisecond, 2501},
		{"without an end it is 500 a second", 50000, 0, s, 501},
	} {
		if got := closesDue(test.n, test.whole, test.since); got != test.want {
			t.Errorf("%s: closesDue(%d, %v, %v) = %d; want %d", test.name, test.n, test.whole, test.since, got, test.want)
		}
	}
}

// However many there are, all are told within 60 % of the time, or at 500 a
// second, and no second has more than its share.
func TestSpread(t *testing.T) {
	for _, test := range []struct {
		name       string
		n          int
		drain      time.Duration
		last, most time.Duration // when the last one is told
		perSecond  int
	}{
		{"nobody", 0, 25 * time.Second, 0, 0, 0},
		{"a few", 10, 25 * time.Second, 18 * time.Millisecond, 20 * time.Millisecond, 10},
		{"5,000 in 25 s", 5000, 25 * time.Second, 9900 * time.Millisecond, 10 * time.Second, 511},
		{"10,000 in 25 s", 10000, 25 * time.Second, 14900 * time.Millisecond, 15 * time.Second, 681},
		{"50,000 in 25 s", 50000, 25 * time.Second, 14900 * time.Millisecond, 15 * time.Second, 3402},
		{"1,000 in 1 s", 1000, time.Second, 580 * time.Millisecond, 600 * time.Millisecond, 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.drain)
				defer cancel()
				begun, at := time.Now(), make([]time.Duration, 0, test.n)
				spread(ctx, test.n, nil, func(i int) {
					if i != len(at) {
						t.Fatalf("%d is told after %d", i, len(at))
					}
					at = append(at, time.Since(begun))
				})
				took := time.Since(begun)
				if len(at) != test.n || took < test.last || took > test.most {
					t.Errorf("%d were told in %v; want %d in %v", len(at), took, test.n, test.most)
				}
				if most := mostIn(at); most > test.perSecond {
					t.Errorf("%d in one second; want %d at most", most, test.perSecond)
				}
			})
		})
	}
}

// The end of the time, or of all connections, ends it.
func TestSpreadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second+time.Millisecond, cancel)
		spread(ctx, 1e6, nil, func(int) { told++ })
		if told != 501 {
			t.Errorf("%d were told in the second before ctx ended; want 501", told)
		}
		done := make(chan struct{})
		time.AfterFunc(time.Second+time.Millisecond, func() { close(done) })
		spread(t.Context(), 1e6, done, func(int) { told++ })
		if told != 1002 {
			t.Errorf("%d were told until all had gone; want 501 more", told)
		}
	})
}

// Who has not been told yet is served like before; what PHP has in hand is
// delivered to those who have.
func TestDrainServesOn(t *testing.T) {
	g, b, address := open(t, nil)
	clients := make([]*client, 100) // at 500 a second, 200 ms
	for i := range clients {
		clients[i] = dial(t, address)
	}
	busy := dial(t, address)
	busy.say("hold 0", "echo 1")
	b.began("hold 0")
	eventually(t, "all came in", func() bool { return count(g, "ws_fpm_messages_received_total") == 2 })
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- g.Shutdown(context.Background()) }()
	for _, c := range clients {
		c.wantClose(1001, "")
	}
	if took := time.Since(begun); took < 150*time.Millisecond {
		t.Errorf("100 were let go in %v; want 200ms", took)
	}
	b.release("0")
	busy.hear("0", "1")
	busy.wantClose(1001, "")
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

// What did not get done in time is said, by its kind.
func TestDrainSaysWhatIsLeft(t *testing.T) {
	var log bytes.Buffer
	g, b, address := open(t, func(r *Route, o *Options) {
		r.Events = []string{eventMessage, eventDisconnect}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	c := dial(t, address)
	dial(t, address) // does not answer the close frame
	c.say("hold 0", "echo 1", "echo 2")
	b.began("hold 0")
	eventually(t, "all came in", func() bool { return count(g, "ws_fpm_messages_received_total") == 3 })
	ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, errors.New("time is up"))
	defer cancel()
	if err := g.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "2 connections cut") {
		t.Errorf("Shutdown: %v; want 2 connections cut", err)
	}
	b.release("0")
	g.work.Wait()
	const want = `msg="not all was delivered" connections_cut=2 messages_dropped=3 disconnects_undelivered=2 reason="time is up"`
	if !strings.Contains(log.String(), want) {
		t.Errorf("logged\n%s\nwant %s", &log, want)
	}
}

// Who was accepted before a shutdown, and has still to say what it wants, is let
// in; and let go like all the others.
func TestDrainLetsInWhoWasAccepted(t *testing.T) {
	g, _, address := open(t, nil)
	g.grace = time.Hour // how long it lasts is another test's
	c := connect(t, address, lines("/ws")[:20])
	eventually(t, "it is accepted", func() bool { return g.handshakes.Load() == 1 })
	ended := make(chan error, 1)
	go func() { ended <- g.Shutdown(context.Background()) }()
	eventually(t, "the shutdown has begun", g.Draining)
	c.write([]byte(lines("/ws")[20:]))
	if r := c.response(); r.StatusCode != 101 {
		t.Fatalf("status %d; want 101", r.StatusCode)
	}
	c.wantClose(1001, "")
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

// Whoever is in a handshake is waited for, but a silent one not for long, and
// then nobody is let in any more.
func TestLastCall(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name        string
		shaking     int           // handshakes
		done        time.Duration // when one of them is over; zero: never
		left        time.Duration // until ctx ends; zero: it does not
		connected   bool          // somebody is
		least, most time.Duration // that it takes
	}{
		{name: "nobody"},
		{name: "nobody, and somebody is connected", connected: true},
		{name: "one who is done soon", shaking: 1, done: 100 * ms, least: 100 * ms, most: 100*ms + drainTick},
		{name: "one who is done at the last moment", shaking: 1, done: lastCallTime - 1, least: lastCallTime - drainTick, most: lastCallTime},
		{name: "one who is silent", shaking: 1, least: lastCallTime, most: lastCallTime},
		{name: "two, of whom one is silent", shaking: 2, done: 100 * ms, least: lastCallTime, most: lastCallTime},
		{name: "one who is silent, and the time ends before", shaking: 1, left: 200 * ms, least: 200 * ms, most: 200 * ms},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Gateway{grace: lastCallTime, empty: make(chan struct{})}
				g.handshakes.Store(int64(test.shaking))
				if test.connected {
					g.open = 1
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.left > 0 {
					time.AfterFunc(test.left, cancel)
				}
				if test.done > 0 {
					time.AfterFunc(test.done, func() { g.handshakes.Add(-1) })
				}
				begun := time.Now()
				g.lastCall(ctx)
				if took := time.Since(begun); took < test.least || took > test.most {
					t.Errorf("it took %v, want %v to %v", took, test.least, test.most)
				}
				empty := false
				select {
				case <-g.empty:
					empty = true
				default:
				}
				if !g.isRefusing() || empty == test.connected {
					t.Errorf("refusing %t, empty %t; want true, %t", g.isRefusing(), empty, !test.connected)
				}
			})
		})
	}
}
