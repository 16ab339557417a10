package gateway

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ws-fpm/fastcgi"
)

// Those who leave all at once are told of at a rate that leaves php-fpm to
// those who stay, and with a quarter of the connections at most.
func TestLateRate(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		b.part(250)
		time.Sleep(2490*time.Millisecond - 1)
		synctest.Wait()
		if n := len(b.list(&b.ran)); n != 249 {
			b.t.Errorf("%d ran before the 250th's turn; want 249", n)
		}
		time.Sleep(2)
		synctest.Wait()
		b.want(250)
		if n := mostIn(b.list(&b.ran)); n > lateRate {
			b.t.Errorf("%d in a second; want %d at most", n, lateRate)
		}
		// Idle time earns nothing.
		time.Sleep(time.Minute)
		b.part(150)
		time.Sleep(time.Minute)
		if n := mostIn(b.list(&b.ran)); n > lateRate {
			b.t.Errorf("%d in a second after a rest; want %d at most", n, lateRate)
		}
		b.want(400)
	})
}

func TestLateShare(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		hold := make(chan struct{})
		b.set(func() { b.hold = hold })
		b.part(20)
		time.Sleep(time.Second)
		if b.peak() != 2 {
			b.t.Errorf("%d of 8 connections used; want 2", b.peak())
		}
		close(hold)
		time.Sleep(10 * time.Second)
		b.want(20)
	})
}

// While php-fpm is down nothing is lost and it is not stormed; once it is back
// each event runs once, soon.
func TestLateWhileDown(t *testing.T) {
	for _, down := range []time.Duration{time.Second, 10 * time.Second, 10 * time.Minute} {
		inBubble(t, 1000, func(b *bubble) {
			b.set(func() { b.down = syscall.ECONNREFUSED })
			b.part(200)
			time.Sleep(down)
			b.set(func() { b.down = nil })
			if n := mostIn(b.list(&b.refused)); n > 20 {
				b.t.Errorf("%d dials in a second; want 20 at most", n)
			}
			time.Sleep(2*time.Second + lateRetries + 2*time.Second) // the last probe, the last pause, 200 at 100 a second
			b.want(200)
			if n := count(b.g, "ws_fpm_events_total", `event="disconnect"`); n != 200 {
				b.t.Errorf("%d disconnects counted; want 200, each once", n)
			}
			if n := count(b.g, "ws_fpm_late_events_dropped_total"); n != 0 {
				b.t.Errorf("%d dropped", n)
			}
		})
	}
}

// An error that no waiting mends, of which nothing below takes care, is no
// reason to hurry either.
func TestLateWhileForbidden(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		b.set(func() { b.down = syscall.EACCES })
		b.part(200)
		time.Sleep(time.Minute)
		refused := b.list(&b.refused)
		if n := mostIn(refused); n > lateWorkers+20 {
			b.t.Errorf("%d dials in a second", n)
		}
		if n := len(refused); n > lateWorkers*(60/5+6) {
			b.t.Errorf("%d dials in a minute", n)
		}
		time.AfterFunc(10*time.Second, func() { b.set(func() { b.down = nil }) })
		ctx, cancel := context.WithTimeout(b.t.Context(), 25*time.Second)
		defer cancel()
		begun := time.Now()
		if left := b.m.flush(ctx); left != 0 {
			b.t.Errorf("flush left %d", left)
		}
		if took := time.Since(begun); took > 10*time.Second+hurryRetry {
			b.t.Errorf("flush took %v, and php-fpm was back after 10s", took)
		}
		if n := len(b.list(&b.refused)) - len(refused); n > 2*lateWorkers*11 {
			b.t.Errorf("%d dials in 10s of a drain", n)
		}
		b.want(200)
	})
}

// An event that may have run is not sent again.
func TestLateOfUnknownOutcome(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		b.set(func() { b.deaf = true })
		b.part(5)
		time.Sleep(time.Minute)
		if len(b.list(&b.dials)) != 5 {
			b.t.Errorf("%d dials for 5 events; want one each", len(b.list(&b.dials)))
		}
		if n := count(b.g, "ws_fpm_events_total", `event="disconnect"`, `result="backend_failed"`); n != 5 {
			b.t.Errorf("%d counted as failed; want 5", n)
		}
	})
}

// A client that has left keeps its place until PHP knows: what waits is bounded
// by the number of connections, nothing of it is dropped, and nobody new comes
// in until there is room.
func TestLateLimit(t *testing.T) {
	const limit = 50
	inBubble(t, limit, func(b *bubble) {
		b.set(func() { b.down = syscall.ECONNREFUSED })
		b.part(limit - 1)
		if _, result, ok := b.g.enter(b.r, netip.Prefix{}); !ok {
			b.t.Errorf("below the limit: %s", result)
		}
		if _, result, ok := b.g.enter(b.r, netip.Prefix{}); ok || result != refusedFull {
			b.t.Errorf("at the limit: %s, %t", result, ok)
		}
		time.Sleep(time.Minute)
		if n := b.g.Open(); n != limit {
			b.t.Errorf("%d places taken while PHP knows nothing; want %d", n, limit)
		}
		b.set(func() { b.down = nil })
		time.Sleep(time.Minute)
		b.want(limit - 1)
		if n := b.g.Open(); n != 1 {
			b.t.Errorf("%d places taken when PHP knows; want the one still here", n)
		}
	})
}

// A drain sends what waits at once, on as many connections as there are.
func TestLateFlush(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		b.part(500)
		time.Sleep(time.Second)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(b.t.Context(), 25*time.Second)
		defer cancel()
		if left := b.m.flush(ctx); left != 0 {
			b.t.Errorf("flush left %d", left)
		}
		if took := time.Since(begun); took > 10*time.Millisecond {
			b.t.Errorf("flush took %v", took)
		}
		b.want(500)
		if left := b.m.flush(ctx); left != 0 {
			b.t.Errorf("the second flush left %d", left)
		}
	})
	inBubble(t, 1000, func(b *bubble) {
		hold := make(chan struct{})
		b.set(func() { b.hold = hold })
		b.part(100)
		ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Second)
		defer cancel()
		b.m.flush(ctx)
		if b.peak() != 8 {
			b.t.Errorf("%d of 8 connections used; want all", b.peak())
		}
		close(hold)
	})
}

// A drain while php-fpm is down waits for it and no longer than it may, and
// says exactly how many were not told of.
func TestLateFlushWhileDown(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		b.set(func() { b.down = syscall.ECONNREFUSED })
		s := b.g.startSession(b.r)
		s.post(lateEvent{session: s, name: eventStart})
		b.part(40)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(b.t.Context(), 25*time.Second)
		defer cancel()
		begun := time.Now()
		if left := b.m.flush(ctx); left != 40 {
			b.t.Errorf("flush left %d; want the 40 disconnects", left)
		}
		if took := time.Since(begun); took != 25*time.Second {
			b.t.Errorf("flush took %v", took)
		}
	})
	inBubble(t, 1000, func(b *bubble) {
		b.set(func() { b.down = syscall.ECONNREFUSED })
		b.part(40)
		time.Sleep(time.Minute)
		time.AfterFunc(10*time.Second, func() { b.set(func() { b.down = nil }) })
		ctx, cancel := context.WithTimeout(b.t.Context(), 25*time.Second)
		defer cancel()
		begun := time.Now()
		if left := b.m.flush(ctx); left != 0 {
			b.t.Errorf("flush left %d", left)
		}
		if took := time.Since(begun); took > 12*time.Second {
			b.t.Errorf("flush took %v, and php-fpm was back after 10s", took)
		}
		b.want(40)
		if n := mostIn(b.list(&b.refused)); n > 20 {
			b.t.Errorf("%d dials in a second", n)
		}
	})
	inBubble(t, 1000, func(b *bubble) { // no time at all
		b.set(func() { b.down = syscall.ECONNREFUSED })
		b.part(3)
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		if left := b.m.flush(ctx); left != 3 {
			b.t.Errorf("flush left %d; want 3", left)
		}
	})
}

// Workers exist only while there is something to do.
func TestLateWorkersEnd(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		for range 3 {
			b.part(100)
			time.Sleep(time.Minute)
			b.m.mu.Lock()
			if b.m.workers != 0 || b.m.taken != 0 || len(b.m.queue) != 0 {
				b.t.Errorf("%d workers, %d taken, %d queued", b.m.workers, b.m.taken, len(b.m.queue))
			}
			b.m.mu.Unlock()
		}
	})
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"bye":                   "bye",
		"a\r\nb\x00c\x7f\td":    "a  b c  d",
		"gr\u00fc\u00df \u2713": "gr\u00fc\u00df \u2713",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q; want %q", in, got, want)
		}
	}
}

// Disconnects that wait for a php-fpm which is replaced go to its successor,
// those in a worker's hands too; none is lost and none runs twice.
func TestLateMovesToANewBackend(t *testing.T) {
	inBubble(t, 1000, func(b *bubble) {
		b.set(func() { b.down = errors.New("gone") })
		b.part(60)
		time.Sleep(time.Second)
		synctest.Wait()
		dead, refusals := b.m, len(b.list(&b.refused))
		next, err := fastcgi.New(fastcgi.Options{MaxConns: 8, Dial: func(context.Context) (net.Conn, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.down != nil {
				return nil, b.down
			}
			ours, theirs := net.Pipe()
			b.accept <- theirs
			return ours, nil
		}})
		if err != nil {
			b.t.Fatal(err)
		}
		b.adopt(Options{MaxConnections: 1000, Routes: []Route{{Prefix: "/ws", Script: "/ws.php", Backend: next, Events: []string{eventDisconnect}}}})
		b.part(1)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := b.g.late[next].waiting(); refusals == 0 || n != 61 || len(b.g.mailboxes()) != 1 || dead.waiting() != 0 || dead.workers != 0 {
			b.t.Errorf("after %d refusals %d events wait in %d mailboxes, and %d with %d workers in the old one; want 61 in 1, and none",
				refusals, n, len(b.g.mailboxes()), dead.waiting(), dead.workers)
		}
		b.set(func() { b.down = nil })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.want(61)
		if b.g.open != 0 {
			b.t.Errorf("%d places are taken; want none", b.g.open)
		}
		if err := next.Close(b.g.ctx); err != nil {
			b.t.Error(err)
		}
	})
}

// The start of a route that is gone by then goes nowhere, and waits for nothing.
func TestLateStartOfARouteThatIsGone(t *testing.T) {
	inBubble(t, 10, func(b *bubble) {
		s := b.g.startSession(b.r)
		other, err := fastcgi.New(fastcgi.Options{MaxConns: 8, Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("gone") }})
		if err != nil {
			b.t.Fatal(err)
		}
		b.adopt(Options{MaxConnections: 10, Routes: []Route{{Prefix: "/other", Script: "/o.php", Backend: other}}})
		s.post(lateEvent{session: s, name: eventStart})
		if n := b.m.waiting(); n != 0 {
			b.t.Errorf("%d events wait", n)
		}
	})
}

// So does one that a worker has in hand, for its php-fpm is down; and the worker
// ends, for which a shutdown waits.
func TestLateStartInHandOfARouteThatIsGone(t *testing.T) {
	inBubble(t, 10, func(b *bubble) {
		b.set(func() { b.down = errors.New("gone") })
		s := b.g.startSession(b.r)
		s.post(lateEvent{session: s, name: eventStart})
		synctest.Wait() // it was refused, and the worker is about to try once more
		dead := b.m
		if dead.taken != 1 {
			b.t.Fatalf("workers have %d events in hand, want it", dead.taken)
		}
		other, err := fastcgi.New(fastcgi.Options{MaxConns: 8, Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("gone") }})
		if err != nil {
			b.t.Fatal(err)
		}
		b.adopt(Options{MaxConnections: 10, Routes: []Route{{Prefix: "/other", Script: "/o.php", Backend: other}}})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := dead.waiting(); n != 0 || dead.workers != 0 {
			b.t.Errorf("%d events wait, with %d workers", n, dead.workers)
		}
	})
}
