package websocket

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A pipe takes nothing that is not read, so all that is sent waits.
func TestConnTakesMessagesWhileLessThanTheOutboxWaits(t *testing.T) {
	const outbox = 100
	for _, test := range []struct {
		name    string
		waiting []int // sizes of frames
		want    error
	}{
		{"nothing waits", nil, nil},
		{"one byte less waits", []int{outbox - 1}, nil},
		{"as much waits", []int{outbox}, ErrSlow},
		{"one byte more waits", []int{outbox + 1}, ErrSlow},
		{"much more waits, of one message", []int{10 * outbox}, ErrSlow},
		{"several together are one byte less", []int{33, 33, 33}, nil},
		{"several together are as much", []int{33, 33, 34}, ErrSlow},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, piped, Options{})
			p := h.enter(Limits{Outbox: outbox})
			for _, size := range test.waiting {
				payload := make([]byte, size-2)
				if size > 127 {
					payload = payload[:size-4]
				}
				if err := p.send(Binary, payload); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.send(Binary, nil); got != test.want {
				t.Fatalf("the next message: %v, want %v", got, test.want)
			}
			st := h.Stats()
			if test.want == nil {
				if st.Slow != 0 || st.DroppedSlow != 0 {
					t.Errorf("%+v; want nobody slow", st)
				}
				return
			}
			if st.Slow != 1 || st.Refused != 1 || st.DroppedSlow != uint64(len(test.waiting)-1) {
				t.Errorf("%d slow, %d refused, %d dropped; want 1, 1, all but the frame being written",
					st.Slow, st.Refused, st.DroppedSlow)
			}
			if err := p.send(Binary, nil); err != ErrClosed {
				t.Errorf("after that: %v, want %v", err, ErrClosed)
			}
			p.read()
			p.wantClose(StatusTryAgain, "reading too slowly")
			p.write(clientClose(StatusTryAgain, ""))
			p.wantEnded(Closing{StatusTryAgain, "reading too slowly", ByServer})
		})
	}
}

func TestConnTakesAgainWhenTheOutboxIsEmpty(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{Outbox: 1000})
		for i := range 20 {
			payload := strings.Repeat(fmt.Sprint(i%10), 100_000) // two frames
			if err := p.send(Text, []byte(payload)); err != nil {
				t.Fatal(err)
			}
			a, b := p.read(), p.read()
			if a.payload+b.payload != payload {
				t.Fatalf("message %d came back changed", i)
			}
			eventually(t, "nothing waits", func() bool { return p.server.Stats().Held == 0 })
		}
	})
}

func TestConnCutsAClientThatTakesNoByteFor10s(t *testing.T) {
	trickle := func(every time.Duration) func(p *peer) {
		return func(p *peer) {
			for b := []byte{0}; ; {
				time.Sleep(every)
				if _, err := p.Conn.Read(b); err != nil {
					return
				}
			}
		}
	}
	for _, test := range []struct {
		name string
		play func(p *peer)
		life time.Duration // zero: for ever
	}{
		{"nothing is read", func(*peer) {}, 10 * time.Second},
		{"a byte each 9 s is read", trickle(9 * time.Second), 0},
		{"a byte each 21 s is read", trickle(21 * time.Second), 10 * time.Second},
		{"one byte is read, then none", func(p *peer) { p.Conn.Read([]byte{0}) }, 20 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			life, how, st := alive(t, func(p *peer) {
				p.send(Text, []byte(strings.Repeat("x", 1000)))
				test.play(p)
			})
			if life != test.life {
				t.Errorf("lived for %v, want %v", life, test.life)
			}
			if cut := test.life != 0; cut != (how == Closing{StatusTryAgain, "reading too slowly", ByServer}) || cut != (st.WriteTimeouts == 1) {
				t.Errorf("ended with %v, %d write timeouts", how, st.WriteTimeouts)
			}
		})
	}
}

// However it is written later, by the loop or by a goroutine, it is counted.
func TestConnCountsWhatIsWrittenLater(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{Outbox: 64 << 20})
		if n := p.server.Stats().Drains; n != 0 {
			t.Fatalf("%d before anything was sent", n)
		}
		if err := p.send(Binary, make([]byte, 32<<20)); err != nil { // more than a socket takes
			t.Fatal(err)
		}
		if n := p.server.Stats().Drains; n != 1 {
			t.Errorf("%d after a message that did not go out at once; want 1", n)
		}
	})
}

// Frames that wait have a time limit of their own: a ping behind them would
// only be late, and its pong with it.
func TestConnSendsNoPingBehindABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		p := h.enter(Limits{})
		p.send(Text, []byte(strings.Repeat("x", 30)))
		for range 20 {
			time.Sleep(5 * time.Second)
			if _, err := p.Conn.Read([]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
		if st := h.Stats(); st.Pings != 0 || st.Open != 1 {
			t.Errorf("%d pings, %d open; want 0, 1", st.Pings, st.Open)
		}
		p.Conn.Close()
	})
}

// A connection can end while a write to it is on its way. What that write
// leaves over must not be queued any more: nobody would ever write it.
func TestConnQueuesNothingAfterItsEnd(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		t.Run(m.name, func(t *testing.T) {
			h := open(t, m, Options{})
			payload := []byte(strings.Repeat("x", 8<<20)) // more than a socket takes
			for i := range 15 {
				p := h.enter(Limits{})
				done := make(chan struct{})
				go func() {
					defer close(done)
					<-time.After(time.Duration(i) * 100 * time.Microsecond)
					p.c.Kill()
				}()
				p.send(Binary, payload)
				receive(t, done)
				receive(t, p.ended)
			}
		})
	}
}
