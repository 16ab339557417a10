package websocket

import (
	"testing"
	"testing/synctest"
	"time"
)

// Other times of ping and pong are those of connections that are open, too.
func TestReconfigureClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		p := h.enter(Limits{})
		go readOn(p)
		if err := h.Reconfigure(Options{Ping: 3 * time.Second, Pong: 2 * time.Second}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		<-p.ended
		if life := time.Since(begun); life < 5*time.Second || life > 5*time.Second+2*sweepCycle {
			t.Errorf("a client that does not answer was cut after %v, want 5s", life)
		}
		p.Conn.Close()
	})
}

// A smaller budget cuts nobody by itself; the next byte counts.
func TestReconfigureBuffers(t *testing.T) {
	h := open(t, piped, Options{Buffers: 1000})
	large, small := h.enter(Limits{}), h.enter(Limits{})
	holding(large, 600)
	holding(small, 100)
	if err := h.Reconfigure(Options{Buffers: 779}); err != nil {
		t.Fatal(err)
	}
	if n := len(large.shed) + len(small.shed); n != 0 {
		t.Errorf("%d were shed below the new budget", n)
	}
	h.Reconfigure(Options{Buffers: 778})
	small.c.Hold(1)
	large.wantClose(StatusTryAgain, "overloaded")
	receive(t, large.shed)
	large.Conn.Close()
	large.wantEnded(Closing{StatusTryAgain, "overloaded", ByServer})
	small.c.Hold(-1)
}

func TestReconfigureRefuses(t *testing.T) {
	h := open(t, piped, Options{Ping: time.Second})
	if err := h.Reconfigure(Options{Ping: -1}); err == nil || h.ping.Load() != int64(time.Second) {
		t.Errorf("a negative time: %v, and ping is %d; want an error, and nothing changed", err, h.ping.Load())
	}
}
