package websocket

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pausing makes p pause after each message and hand it to a channel.
func pausing(p *peer) (messages chan string) {
	messages = make(chan string, 1)
	p.onMessage = func(_ Opcode, payload []byte) bool {
		select {
		case messages <- string(payload):
		default:
			p.t.Errorf("message %.20q came while the one before was not done", payload)
		}
		return false
	}
	return messages
}

func TestConnLosesNothingToPauses(t *testing.T) {
	const count = 300
	var wire []byte
	for i := range count {
		wire = append(wire, clientFrame(Text, fmt.Sprint(i))...)
	}
	wire = append(wire, clientClose(StatusNormal, "")...)
	eachMode(t, func(t *testing.T, m mode) {
		for _, test := range []struct {
			name string
			size int
		}{{"all messages in one read", len(wire)}, {"messages across reads", 5}, {"a few in each read", 100}} {
			t.Run(test.name, func(t *testing.T) {
				p := open(t, m, Options{}).visit(Limits{})
				messages := pausing(p)
				p.c.Start(nil)
				go func() {
					for _, part := range chop(wire, test.size) {
						p.Conn.Write(part)
					}
				}()
				for i := range count {
					if got := receive(t, messages); got != fmt.Sprint(i) {
						t.Fatalf("message %d is %q", i, got)
					}
					p.c.Resume() // often before the pause has taken effect
				}
				p.wantClose(StatusNormal, "")
			})
		}
	})
}

// A Resume that was called when nothing was paused is for nothing.
func TestConnIsNotResumedInAdvance(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).visit(Limits{})
		messages := make(chan string, 10)
		p.onMessage = func(_ Opcode, payload []byte) bool {
			messages <- string(payload)
			if string(payload) == "first" {
				p.c.Resume() // while reading, before another message pauses
				return true
			}
			return false
		}
		p.c.Start(nil)
		p.write(clientFrame(Text, "first"), clientFrame(Text, "pause"), clientFrame(Text, "later"))
		receive(t, messages)
		receive(t, messages)
		eventually(t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
		if len(messages) != 0 {
			t.Fatalf("message %q came in spite of the pause", <-messages)
		}
		p.c.Resume()
		if got := receive(t, messages); got != "later" {
			t.Errorf("got %q, want later", got)
		}
	})
}

func TestConnResumesWithinTheHandler(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).visit(Limits{})
		p.onMessage = func(op Opcode, payload []byte) bool {
			p.send(op, payload)
			p.c.Resume()
			return false
		}
		p.c.Start(nil)
		p.write(clientFrame(Text, "1"), clientFrame(Text, "2"))
		p.wantFrame(Text, "1")
		p.wantFrame(Text, "2")
		p.write(clientFrame(Text, "3"))
		p.wantFrame(Text, "3")
	})
}

func TestConnDoesNotReadWhilePaused(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		t.Run(m.name, func(t *testing.T) {
			p := open(t, m, Options{}).visit(Limits{})
			messages := pausing(p)
			p.c.Start(nil)
			p.write(clientFrame(Text, "x"))
			receive(t, messages)
			p.fill()
		})
	}
}

// What the client sent before the pause stays accounted for, and a rest that is
// paused again and again is neither copied nor charged anew.
func TestConnChargesWhatIsLeftByAPause(t *testing.T) {
	h := open(t, piped, Options{})
	p := h.visit(Limits{})
	messages := pausing(p)
	p.c.Start(nil)
	one := string(clientFrame(Text, "0123456789"))
	p.write([]byte(strings.Repeat(one, 100)))
	first := int64(0)
	for i := range 100 {
		receive(t, messages)
		eventually(t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
		held := h.Stats().Held
		if i == 0 {
			first = held
		}
		if rest := int64(99 * len(one)); first < rest || first > 2*rest || held != first {
			t.Fatalf("paused with %d messages left: %d bytes held, %d at first", 99-i, held, first)
		}
		p.c.Resume()
	}
	eventually(t, "nothing is held", func() bool { return h.Stats().Held == 0 })
}

// processorTime is what this process has used, in user and system mode.
func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A hang-up is reported to a poller even if no event was asked for, and for as
// long as it watches: a paused socket must not be watched.
func TestConnThatDiesWhilePausedCostsNothingUntilResumed(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		for _, test := range []struct {
			name string
			die  func(p *peer)
		}{
			{"reset " + m.name, (*peer).reset},
			{"ended " + m.name, func(p *peer) { p.Conn.Close() }},
		} {
			t.Run(test.name, func(t *testing.T) {
				p := open(t, m, Options{}).visit(Limits{})
				messages := pausing(p)
				p.c.Start(nil)
				p.write(clientFrame(Text, "x"))
				receive(t, messages)
				eventually(t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
				before := processorTime(t)
				test.die(p)
				<-time.After(300 * time.Millisecond)
				if used := processorTime(t) - before; used > 150*time.Millisecond {
					t.Errorf("%v of processor time in 300 ms of a pause", used)
				}
				if len(p.ended) != 0 {
					t.Error("ended before it was resumed")
				}
				p.c.Resume()
				p.wantEnded(Closing{StatusAbnormal, "", ByNone})
			})
		}
	}
}

func TestConnClosesThoughPaused(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).visit(Limits{})
		messages := pausing(p)
		p.c.Start(nil)
		p.write(clientFrame(Text, "x"), clientFrame(Text, "for nobody"), clientClose(4001, ""))
		receive(t, messages)
		eventually(t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
		p.c.Close(4000, "")
		p.wantClose(4000, "")
		p.wantEOF()
		p.Conn.Close()
		p.wantEnded(Closing{4000, "", ByServer})
		if len(messages) != 0 {
			t.Error("a message came after Close")
		}
	})
}

// Close resumes. If that meets a pause just being made, one of them must see
// the other, or the client's close frame is never read.
func TestConnCloseMeetsAPause(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		h := open(t, m, Options{})
		for range 200 {
			p := h.visit(Limits{})
			p.onMessage = func(Opcode, []byte) bool { return false }
			p.c.Start(nil)
			var both sync.WaitGroup
			both.Go(func() { p.write(clientFrame(Text, "x"), clientFrame(Text, "y")) })
			both.Go(func() { p.c.Close(4000, "") })
			p.wantClose(4000, "")
			both.Wait()
			p.write(clientClose(4000, ""))
			p.wantEOF()
			p.Conn.Close()
			p.wantEnded(Closing{4000, "", ByServer})
		}
	})
}

func TestConnClocksStandStillWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		p := h.visit(Limits{})
		messages := pausing(p)
		p.c.Start(nil)
		// The message that pauses had its clock running, and behind it stands
		// the begin of another.
		p.write(clientPart(Text, false, "x"))
		synctest.Wait()
		p.write(clientPart(opContinuation, true, "y"), clientPart(Text, false, "unfinished"))
		receive(t, messages)
		time.Sleep(10 * time.Minute)
		if st := h.Stats(); st.Pings != 0 || st.PongTimeouts != 0 || st.MessageTimeouts != 0 || st.Open != 1 {
			t.Fatalf("after 10 minutes of a pause: %+v", st)
		}
		p.c.Resume()
		time.Sleep(20 * time.Second)
		if st := h.Stats(); st.MessageTimeouts != 0 || st.Open != 1 {
			t.Fatalf("20 s after a pause: %+v", st)
		}
		p.write(clientPart(opContinuation, true, " no more"))
		if got := receive(t, messages); got != "unfinished no more" {
			t.Errorf("got %q", got)
		}
	})
}
