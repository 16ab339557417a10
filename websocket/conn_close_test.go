package websocket

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnEchoesTheClientsCloseCode(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		for _, test := range []struct {
			name  string
			close []byte
			want  StatusCode
			ended Closing
		}{
			{"a code and a reason: the code alone", clientClose(StatusGoingAway, "bye"), StatusGoingAway,
				Closing{StatusGoingAway, "bye", ByClient}},
			{"an application's code", clientClose(4999, ""), 4999, Closing{4999, "", ByClient}},
			{"no code: none", clientFrame(opClose, ""), StatusNoCode, Closing{StatusNoCode, "", ByClient}},
			{"two close frames: one answer", append(clientClose(StatusNormal, ""), clientClose(4000, "")...), StatusNormal,
				Closing{StatusNormal, "", ByClient}},
			{"a message and a ping behind it: no answer to those",
				append(append(clientClose(StatusNormal, ""), clientFrame(Text, "late")...), clientFrame(opPing, "")...),
				StatusNormal, Closing{StatusNormal, "", ByClient}},
		} {
			t.Run(test.name, func(t *testing.T) {
				p := open(t, m, Options{}).enter(Limits{})
				p.write(clientFrame(Text, "before"))
				p.wantFrame(Text, "before")
				p.write(test.close)
				p.wantClose(test.want, "")
				p.wantEOF() // before the client ends its half
				p.Conn.Close()
				p.wantEnded(test.ended)
				if err := p.send(Text, nil); err != ErrClosed {
					t.Errorf("a message after the end: %v, want %v", err, ErrClosed)
				}
			})
		}
	})
}

func TestConnDropsWhatIsQueuedForAClientThatCloses(t *testing.T) {
	h := open(t, piped, Options{})
	p := h.enter(Limits{Fragment: 4})
	p.send(Text, []byte("first second")) // three frames, none of them taken yet
	p.send(Text, []byte("never"))
	p.write(clientClose(StatusNormal, ""))
	p.write(clientFrame(opPong, "")) // the close frame has been dealt with
	if got := p.read(); got != (gotFrame{Text, false, "firs"}) {
		t.Errorf("got %v, want the frame that was being written", got)
	}
	p.wantClose(StatusNormal, "")
	p.wantEOF()
	p.wantEnded(Closing{StatusNormal, "", ByClient})
	if st := h.Stats(); st.DroppedClosed != 2 || st.MessagesOut != 0 {
		t.Errorf("%d dropped, %d sent; want both messages dropped", st.DroppedClosed, st.MessagesOut)
	}
}

func TestConnClosesAfterWhatIsQueued(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{Fragment: 8 << 20})
		whole := strings.Repeat("x", 4<<20)
		p.send(Text, []byte(whole))
		p.c.Close(StatusGoingAway, "restart")
		p.c.Close(4000, "again")
		if err := p.send(Text, nil); err != ErrClosed {
			t.Errorf("a message after Close: %v, want %v", err, ErrClosed)
		}
		p.write(clientFrame(Text, "ignored"), clientFrame(opPing, "too"))
		p.wantFrame(Text, whole)
		p.wantClose(StatusGoingAway, "restart")
		p.write(clientClose(StatusGoingAway, ""))
		p.wantEOF()
		p.Conn.Close()
		p.wantEnded(Closing{StatusGoingAway, "restart", ByServer})
		if st := p.server.Stats(); st.MessagesIn != 0 {
			t.Errorf("%d messages taken after Close, want none", st.MessagesIn)
		}
	})
}

func TestConnCutsACloseReasonAndReportsItAsSent(t *testing.T) {
	p := open(t, polled, Options{}).enter(Limits{})
	p.c.Close(4000, strings.Repeat("x", 200))
	p.wantClose(4000, strings.Repeat("x", 123))
	p.write(clientClose(4000, ""))
	p.wantEOF()
	p.Conn.Close()
	p.wantEnded(Closing{4000, strings.Repeat("x", 123), ByServer})
}

// A code that may not be sent is the caller's fault and hurts nobody else: no
// lock stays taken.
func TestConnPanicsForACloseCodeThatMustNotBeSent(t *testing.T) {
	p := open(t, polled, Options{}).enter(Limits{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Close(1006) did not panic")
			}
		}()
		p.c.Close(StatusAbnormal, "")
	}()
	p.write(clientFrame(Text, "still here"))
	p.wantFrame(Text, "still here")
}

func TestConnTakesCloseFromBothSidesAtOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		for range 50 {
			p := open(t, m, Options{}).enter(Limits{})
			var both sync.WaitGroup
			both.Go(func() { p.c.Close(4001, "") })
			both.Go(func() { p.write(clientClose(4002, "")) })
			f := p.read()
			p.wantEOF()
			both.Wait()
			p.Conn.Close()
			how := receive(t, p.ended)
			want := Closing{4001, "", ByServer}
			if how.By == ByClient {
				want = Closing{4002, "", ByClient}
			}
			if wire := string(appendClose(nil, want.Code, "")); how != want || f != (gotFrame{opClose, true, wire}) {
				t.Fatalf("got %v, ended with %v", f, how)
			}
		}
	})
}

// Here time is virtual, and the sweeper looks once in a second.
func TestConnBoundsTheClosingHandshake(t *testing.T) {
	for _, test := range []struct {
		name     string
		play     func(p *peer)
		from, to time.Duration
		want     Closing
		cut      uint64
	}{
		{"our close, unanswered, is cut after 5 s", func(p *peer) {
			p.c.Close(StatusNormal, "")
			p.wantClose(StatusNormal, "")
		}, 5 * time.Second, 6 * time.Second, Closing{StatusNormal, "", ByServer}, 1},
		{"messages after our close do not prolong it", func(p *peer) {
			p.c.Close(StatusNormal, "")
			p.wantClose(StatusNormal, "")
			go func() {
				for {
					if _, err := p.Conn.Write(clientFrame(Text, "more")); err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
		}, 5 * time.Second, 6 * time.Second, Closing{StatusNormal, "", ByServer}, 1},
		{"our close that nobody reads is cut when the write has stalled for 10 s", func(p *peer) {
			p.c.Close(StatusNormal, "")
		}, 10 * time.Second, 11 * time.Second, Closing{StatusNormal, "", ByServer}, 0},
		{"our close that is answered ends at once", func(p *peer) {
			p.c.Close(StatusNormal, "")
			p.wantClose(StatusNormal, "")
			p.write(clientClose(StatusNormal, ""))
		}, 0, 0, Closing{StatusNormal, "", ByServer}, 0},
		{"a connection lost without a close frame ends at once", func(p *peer) {
			p.Conn.Close()
		}, 0, 0, Closing{StatusAbnormal, "", ByNone}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{})
				p := h.enter(Limits{})
				begun := time.Now()
				test.play(p)
				select {
				case how := <-p.ended:
					if how != test.want {
						t.Errorf("ended with %v, want %v", how, test.want)
					}
				case <-time.After(time.Minute):
					t.Fatal("not ended after a minute")
				}
				if took := time.Since(begun); took < test.from || took > test.to {
					t.Errorf("it took %v, want %v to %v", took, test.from, test.to)
				}
				if got := h.Stats().CloseTimeouts; got != test.cut {
					t.Errorf("%d close timeouts, want %d", got, test.cut)
				}
				time.Sleep(time.Second) // for play to notice
			})
		})
	}
}

// A client may leave its half of the stream open after both close frames.
// Real sockets have halves, so this is in real time, all of it at once.
func TestConnCutsAClientThatDoesNotEndItsStream(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			h := open(t, m, Options{})
			p := h.enter(Limits{})
			begun := time.Now()
			p.write(clientClose(StatusNormal, ""))
			p.wantClose(StatusNormal, "")
			p.wantEOF()
			p.wantEnded(Closing{StatusNormal, "", ByClient})
			if took := time.Since(begun); took < closeTimeout || took > closeTimeout+2*sweepCycle {
				t.Errorf("cut after %v, want about %v", took, closeTimeout)
			}
			if got := h.Stats().CloseTimeouts; got != 1 {
				t.Errorf("%d close timeouts, want 1", got)
			}
		})
	}
}

func TestConnFailsAfterTheGoodMessages(t *testing.T) {
	bad := clientFrame(Text, "x")
	bad[0] |= 0x40 // a reserved bit
	eachMode(t, func(t *testing.T, m mode) {
		h := open(t, m, Options{})
		p := h.visit(Limits{})
		p.onFail = func(*ProtocolError) {} // as if the answers were not ready
		p.c.Start(nil)
		p.write(clientFrame(Text, "one"), clientFrame(Text, "two"), bad, clientFrame(Text, "never"), bad)
		p.wantFrame(Text, "one")
		p.wantFrame(Text, "two")
		if err := receive(t, p.fails); err.Code != StatusProtocolError {
			t.Errorf("failed with %v", err)
		}
		eventually(t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
		if !m.pipe {
			p.fill() // for it is not read
		}
		p.send(Text, []byte("answer"))
		p.c.Close(StatusProtocolError, "")
		p.wantFrame(Text, "answer")
		p.wantClose(StatusProtocolError, "")
		p.wantEOF()
		p.Conn.Close()
		p.wantEnded(Closing{StatusProtocolError, "", ByServer})
		if st := h.Stats(); st.MessagesIn != 2 || st.Violations != 1 || len(p.fails) != 0 {
			t.Errorf("%d messages, %d violations, %d more calls of Fail; want 2, 1, 0",
				st.MessagesIn, st.Violations, len(p.fails))
		}
	})
}

// fill writes as the client until the socket takes no more, which proves that
// nobody reads at its other end.
func (p *peer) fill() {
	p.t.Helper()
	p.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	junk := make([]byte, 1<<20)
	for total := 0; ; {
		n, err := p.Conn.Write(junk)
		if total += n; err != nil {
			break
		}
		if total > 64<<20 {
			p.t.Fatal("the socket is read")
		}
	}
	p.SetWriteDeadline(time.Now().Add(patience))
}

// After our close frame no second one may follow, and the client's would not
// be understood any more: what is left is to end the stream.
func TestConnEndsTheStreamForAnErrorAfterOurClose(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{})
		p.c.Close(4000, "")
		p.wantClose(4000, "")
		p.write([]byte{0xff, 0xff})
		receive(t, p.fails)
		p.wantEOF()
		p.Conn.Close()
		p.wantEnded(Closing{4000, "", ByServer})
	})
}

// A failed connection is paused. If its socket dies meanwhile and a write
// notices, Close can send nothing, but the connection must end.
func TestConnThatFailedEndsAfterItsSocketBroke(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		t.Run(m.name, func(t *testing.T) {
			p := open(t, m, Options{}).visit(Limits{})
			p.onFail = func(*ProtocolError) {}
			p.c.Start(nil)
			p.write([]byte{0xff, 0xff})
			receive(t, p.fails)
			eventually(t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
			p.reset()
			eventually(t, "a write fails", func() bool { return p.send(Text, []byte("x")) == ErrClosed })
			p.c.Close(StatusProtocolError, "")
			p.wantEnded(Closing{StatusAbnormal, "", ByNone})
		})
	}
}

func TestConnReadsAllBeforeTheEnd(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		t.Run(m.name, func(t *testing.T) {
			h := open(t, m, Options{})
			p := h.visit(Limits{})
			wire := []byte(strings.Repeat(string(clientFrame(Binary, strings.Repeat("x", 1000))), 200))
			p.write(wire)
			p.Conn.(interface{ CloseWrite() error }).CloseWrite()
			go io.Copy(io.Discard, p.Conn)
			p.c.Start(nil)
			p.wantEnded(Closing{StatusAbnormal, "", ByNone})
			if got := h.Stats().MessagesIn; got != 200 {
				t.Errorf("%d messages before the end of the stream, want 200", got)
			}
		})
	}
}
