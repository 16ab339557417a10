package websocket

import (
	"testing"
	"testing/synctest"
	"time"
)

// alive runs play in a bubble of virtual time with a connection and gives the
// time from its start to its end, and how it ended. A connection that is still
// open when play returns and two minutes more have passed gives zero.
func alive(t *testing.T, play func(p *peer)) (life time.Duration, how Closing, st Stats) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		p := h.enter(Limits{})
		begun := time.Now()
		go play(p)
		select {
		case how = <-p.ended:
			life = time.Since(begun)
		case <-time.After(2 * time.Minute):
		}
		st = h.Stats()
		p.Conn.Close()
		time.Sleep(time.Minute) // for play to notice
	})
	return life, how, st
}

// readOn has the client read all that comes, without an answer.
func readOn(p *peer) {
	for {
		if _, err := p.tryRead(); err != nil {
			return
		}
	}
}

// The first ping is due after 25 s, within a sweep cycle, and a sign of life
// 10 s after that.
func TestConnPingsASilentClientAndCutsADeadOne(t *testing.T) {
	// answer sends b so long after each ping.
	answer := func(after time.Duration, b []byte) func(p *peer) {
		return func(p *peer) {
			for {
				f, err := p.tryRead()
				if err != nil {
					return
				}
				if f.op == opPing {
					go func() { time.Sleep(after); p.Conn.Write(b) }()
				}
			}
		}
	}
	for _, test := range []struct {
		name     string
		play     func(p *peer)
		life     time.Duration // zero: for ever
		min, max uint64        // pings in two minutes
	}{
		{"a client that reads but never answers is cut", readOn, 35 * time.Second, 1, 1},
		{"a pong at once keeps it", answer(0, clientFrame(opPong, "")), 0, 4, 4},
		{"a pong after 9 s keeps it", answer(9*time.Second, clientFrame(opPong, "")), 0, 3, 4},
		{"a pong after 11 s and a sweep comes too late", answer(12*time.Second, clientFrame(opPong, "")), 35 * time.Second, 1, 1},
		{"a message is as good as a pong", answer(time.Second, clientFrame(Text, "x")), 0, 4, 4},
		{"a client that speaks every 24 s gets no ping", func(p *peer) {
			go readOn(p)
			for range 5 {
				time.Sleep(24 * time.Second)
				if _, err := p.Conn.Write(clientFrame(opPong, "")); err != nil {
					return
				}
			}
		}, 0, 0, 0},
		{"one that speaks every 27 s gets some", func(p *peer) {
			go readOn(p)
			for range 4 {
				time.Sleep(27 * time.Second)
				if _, err := p.Conn.Write(clientFrame(opPong, "")); err != nil {
					return
				}
			}
		}, 0, 4, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			life, how, st := alive(t, test.play)
			if test.life == 0 && life != 0 || test.life != 0 && (life < test.life || life > test.life+2*sweepCycle) {
				t.Errorf("lived for %v, want %v", life, test.life)
			}
			if test.life != 0 && (how != Closing{StatusAbnormal, "", ByNone} || st.PongTimeouts != 1) {
				t.Errorf("ended with %v, %d pong timeouts", how, st.PongTimeouts)
			}
			if st.Pings < test.min || st.Pings > test.max {
				t.Errorf("%d pings, want %d to %d", st.Pings, test.min, test.max)
			}
		})
	}
}

// One byte is life, even if it is no frame; but then a message has begun.
func TestConnTakesAnyByteForLife(t *testing.T) {
	life, how, st := alive(t, func(p *peer) {
		if _, err := p.tryRead(); err != nil { // a ping: nothing else is sent
			return
		}
		time.Sleep(9 * time.Second)
		p.Conn.Write(clientFrame(Text, "x")[:1])
		readOn(p)
	})
	if want := (25 + 9 + 30) * time.Second; life < want || life > want+3*sweepCycle || how.Code != StatusPolicy {
		t.Errorf("lived for %v, ended with %v; want %v, %d", life, how, want, StatusPolicy)
	}
	if st.PongTimeouts != 0 {
		t.Errorf("%d pong timeouts, want none", st.PongTimeouts)
	}
}

func TestConnBoundsTheTimeOfAMessage(t *testing.T) {
	begin := clientPart(Text, false, "x")
	for _, test := range []struct {
		name string
		play func(p *peer)
		fail bool
	}{
		{"a message finished after 29 s is taken", func(p *peer) {
			go readOn(p)
			p.Conn.Write(begin)
			time.Sleep(29 * time.Second)
			p.Conn.Write(clientPart(opContinuation, true, "y"))
		}, false},
		{"one not finished after 30 s is not", func(p *peer) {
			go readOn(p)
			p.Conn.Write(begin)
		}, true},
		{"nor one that goes on, a fragment each second", func(p *peer) {
			go readOn(p)
			p.Conn.Write(begin)
			for {
				time.Sleep(time.Second)
				if _, err := p.Conn.Write(clientPart(opContinuation, false, "y")); err != nil {
					return
				}
			}
		}, true},
		{"nor one whose client answers pings and sends its own", func(p *peer) {
			go readOn(p)
			p.Conn.Write(begin)
			for {
				time.Sleep(time.Second)
				if _, err := p.Conn.Write(append(clientFrame(opPong, ""), clientFrame(opPing, "")...)); err != nil {
					return
				}
			}
		}, true},
		{"nor half a header", func(p *peer) {
			go readOn(p)
			p.Conn.Write(begin[:1])
		}, true},
		{"two messages of 20 s each are two", func(p *peer) {
			go readOn(p)
			for range 2 {
				p.Conn.Write(begin)
				time.Sleep(20 * time.Second)
				p.Conn.Write(clientPart(opContinuation, true, "y"))
			}
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			life, how, st := alive(t, test.play)
			if !test.fail {
				if st.MessageTimeouts != 0 || st.Violations != 0 || st.MessagesIn == 0 {
					t.Errorf("%+v; want messages and no failure", st)
				}
				return
			}
			// The client does not answer the close frame: that takes 5 s more.
			if how != (Closing{StatusPolicy, "", ByServer}) || st.MessageTimeouts != 1 {
				t.Errorf("ended with %v, %d message timeouts", how, st.MessageTimeouts)
			}
			if life < messageTimeout || life > messageTimeout+2*sweepCycle {
				t.Errorf("lived for %v, want about %v", life, messageTimeout)
			}
		})
	}
}

// The reader is woken for it in each mode: nothing comes from the client.
func TestConnFailsALateMessageByItsReader(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		h := open(t, m, Options{})
		p := h.enter(Limits{})
		p.write(clientPart(Text, false, "x"))
		eventually(t, "the message has begun", func() bool { return p.c.begun.Load() != 0 })
		p.c.begun.Store(p.c.begun.Load() - int64(messageTimeout))
		if err := receive(t, p.fails); err.Code != StatusPolicy {
			t.Errorf("failed with %v, want %d", err, StatusPolicy)
		}
		p.wantClose(StatusPolicy, "")
		p.wantEOF()
		p.Conn.Close()
		p.wantEnded(Closing{StatusPolicy, "", ByServer})
	})
}
