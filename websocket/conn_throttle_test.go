package websocket

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// many is n frames of a client.
func many(n int, op Opcode) []byte { return bytes.Repeat(clientFrame(op, "x"), n) }

// counting makes p count its messages.
func counting(p *peer) (messages *atomic.Int64) {
	messages = new(atomic.Int64)
	p.onMessage = func(Opcode, []byte) bool { messages.Add(1); return true }
	return messages
}

// drink reads all that the client gets, and counts pongs.
func drink(p *peer) (pongs *atomic.Int64) {
	pongs = new(atomic.Int64)
	go func() {
		for {
			f, err := p.tryRead()
			if err != nil {
				return
			}
			if f.op == opPong {
				pongs.Add(1)
			}
		}
	}()
	return pongs
}

func TestConnThrottlesMessages(t *testing.T) {
	for _, test := range []struct {
		name      string
		parts     int // writes, so many messages each
		n         int
		now       int64         // messages that are seen at once
		throttled uint64        // at once
		all       time.Duration // until the last is seen
	}{
		{"one less than twice the rate", 1, 19, 19, 0, 0},
		{"twice the rate", 1, 20, 20, 0, 0},
		{"one more", 1, 21, 20, 1, 100 * time.Millisecond},
		{"twice the rate, one by one", 20, 1, 20, 0, 0},
		{"one more, one by one", 21, 1, 20, 1, 100 * time.Millisecond},
		{"many more", 1, 100, 20, 1, 8 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{})
				p := h.visit(Limits{MessageRate: 10})
				messages := counting(p)
				p.c.Start(nil)
				go func() {
					for range test.parts {
						p.Conn.Write(many(test.n, Text))
					}
				}()
				synctest.Wait()
				if st := h.Stats(); messages.Load() != test.now || st.ThrottledMessages != test.throttled || st.ThrottledControl != 0 {
					t.Errorf("%d messages at once, throttled %d times; want %d, %d", messages.Load(), st.ThrottledMessages, test.now, test.throttled)
				}
				time.Sleep(test.all - 1)
				synctest.Wait()
				if messages.Load() == int64(test.parts*test.n) && test.all > 0 {
					t.Errorf("all messages were seen before %v", test.all)
				}
				time.Sleep(1)
				synctest.Wait()
				if st := h.Stats(); messages.Load() != int64(test.parts*test.n) || st.Open != 1 {
					t.Errorf("%d messages, %d open after %v; want %d, 1", messages.Load(), st.Open, test.all, test.parts*test.n)
				}
			})
		})
	}
}

// A deflated message counts for what it is inflated to.
func TestConnThrottlesWhatIsInflated(t *testing.T) {
	for _, test := range []struct {
		name string
		size int
		now  int64 // messages that are seen at once, of twice the rate
	}{
		{"a byte less than a unit", inflatedUnit - 1, 20},
		{"a unit", inflatedUnit, 10},
		{"a byte less than two", 2*inflatedUnit - 1, 10},
		{"two units", 2 * inflatedUnit, 7},
		{"a megabyte", 1 << 20, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{})
				p := h.visit(Limits{MessageRate: 10, Deflate: deflate, MaxMessage: 1 << 20})
				messages := counting(p)
				p.c.Start(nil)
				message := []byte(reserved(4, frame(last, Binary, zipped(strings.Repeat("a", test.size)))))
				go p.Conn.Write(bytes.Repeat(message, 25))
				synctest.Wait()
				if n := messages.Load(); n != test.now {
					t.Errorf("%d messages at once, want %d", n, test.now)
				}
				p.c.Kill()
			})
		})
	}
}

func TestConnThrottlesControlFrames(t *testing.T) {
	for _, test := range []struct {
		name      string
		n         int
		op        Opcode
		throttled uint64
		all       time.Duration
	}{
		{"one ping less than the burst", controlBurst - 1, opPing, 0, 0},
		{"as many pings as the burst", controlBurst, opPing, 0, 0},
		{"one ping more", controlBurst + 1, opPing, 1, 100 * time.Millisecond},
		{"many pings", controlBurst + 50, opPing, 1, 5 * time.Second},
		{"as many pongs as the burst", controlBurst, opPong, 0, 0},
		{"one pong more", controlBurst + 1, opPong, 1, 100 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{})
				p := h.visit(Limits{})
				messages, pongs := counting(p), drink(p)
				p.c.Start(nil)
				go p.Conn.Write(many(test.n, test.op))
				synctest.Wait()
				if st := h.Stats(); st.ThrottledControl != test.throttled {
					t.Errorf("throttled %d times at once, want %d", st.ThrottledControl, test.throttled)
				}
				go p.Conn.Write(clientFrame(Text, "read when they are paid for"))
				time.Sleep(test.all - 1)
				synctest.Wait()
				if messages.Load() != 0 && test.all > 0 {
					t.Errorf("read before %v", test.all)
				}
				time.Sleep(test.all + 100*time.Millisecond)
				synctest.Wait()
				if st := h.Stats(); messages.Load() != 1 || st.Open != 1 || st.ThrottledMessages != 0 {
					t.Errorf("%d messages, %+v; want 1, open, and not throttled for messages", messages.Load(), st)
				}
				if (pongs.Load() > 0) != (test.op == opPing) {
					t.Errorf("%d pongs", pongs.Load())
				}
				p.Conn.Close()
				synctest.Wait()
			})
		})
	}
}

// A client that never stops sending too much stays for as long as it likes, and
// gets through what the rate allows.
func TestConnThrottlesForEver(t *testing.T) {
	for _, op := range []Opcode{Text, opPing} {
		t.Run(fmt.Sprint(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{})
				p := h.visit(Limits{MessageRate: 10})
				messages, pongs := counting(p), drink(p)
				p.c.Start(nil)
				go func() {
					for {
						if _, err := p.Conn.Write(many(10, op)); err != nil {
							return
						}
					}
				}()
				time.Sleep(10*time.Minute + time.Millisecond)
				got, least, most := messages.Load(), int64(20+6000-1), int64(20+6000)
				if op == opPing {
					got, least, most = pongs.Load(), 6000, controlBurst+6000 // of the burst, 16 pongs wait
				}
				if st := h.Stats(); got < least || got > most || st.Open != 1 || st.PongTimeouts != 0 || st.ThrottledMessages+st.ThrottledControl > 6001 {
					t.Errorf("%d came through in 10 minutes, want %d to %d; %+v", got, least, most, st)
				}
				p.c.Kill()
				synctest.Wait()
			})
		})
	}
}

// A client that is not read is not asked whether it lives.
func TestConnPingsNobodyThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Ping: time.Millisecond, Pong: time.Millisecond})
		p := h.visit(Limits{MessageRate: 1})
		counting(p)
		p.c.Start(nil)
		time.Sleep(500 * time.Millisecond) // not to be paused just when the sweeper comes
		go func() {
			for {
				if _, err := p.Conn.Write(many(10, Text)); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Minute)
		if st := h.Stats(); st.Pings != 0 || st.Open != 1 {
			t.Errorf("%d pings, %d open; want 0, 1", st.Pings, st.Open)
		}
		p.c.Kill()
		synctest.Wait()
	})
}

// Neither pause undoes the other.
func TestConnThrottleAndPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		p := h.visit(Limits{MessageRate: 1})
		var n, pauseAt atomic.Int64
		pauseAt.Store(2)
		p.onMessage = func(Opcode, []byte) bool { return n.Add(1) != pauseAt.Load() }
		p.c.Start(nil)
		go p.Conn.Write(many(4, Text))
		want := func(what string, messages int64, times uint64) {
			t.Helper()
			synctest.Wait()
			if st := h.Stats(); n.Load() != messages || st.ThrottledMessages != times {
				t.Errorf("%s: %d messages, throttled %d times; want %d, %d", what, n.Load(), st.ThrottledMessages, messages, times)
			}
		}
		want("the handler pauses when the rate is used up", 2, 0)
		time.Sleep(500 * time.Millisecond)
		p.c.Resume()
		want("resumed before the next is paid for", 2, 1)
		p.c.Resume()
		want("resumed by mistake", 2, 1)
		pauseAt.Store(3)
		time.Sleep(500 * time.Millisecond)
		want("the next is paid for, and pauses", 3, 1)
		time.Sleep(time.Hour)
		want("time does not undo the handler's pause", 3, 1)
		p.c.Resume()
		want("resumed", 4, 1)
	})
}

// throttle sends one message too many and waits for what comes of it.
func throttle(p *peer) {
	p.t.Helper()
	p.c.Start(nil)
	p.write(many(3, Text), clientClose(4001, ""))
	eventually(p.t, "reading stops", func() bool { return readerState(p.c.reader.Load()) == throttled })
}

func TestConnEndsThoughThrottled(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		start := func(t *testing.T) (*house, *peer) {
			h := open(t, m, Options{Buffers: 1 << 20})
			p := h.visit(Limits{MessageRate: 1})
			counting(p)
			throttle(p)
			return h, p
		}
		t.Run("closed", func(t *testing.T) {
			_, p := start(t)
			p.c.Close(4000, "")
			p.wantClose(4000, "")
			p.wantEOF()
			p.Conn.Close()
			p.wantEnded(Closing{4000, "", ByServer})
		})
		t.Run("killed", func(t *testing.T) {
			_, p := start(t)
			p.c.Kill()
			p.wantEnded(Closing{StatusAbnormal, "", ByNone})
		})
		t.Run("lost", func(t *testing.T) {
			_, p := start(t)
			p.Conn.Close()
			receive(t, p.ended)
		})
		t.Run("with the server", func(t *testing.T) {
			h, p := start(t)
			h.Server.Close()
			p.wantEnded(Closing{StatusAbnormal, "", ByNone})
		})
		t.Run("shed", func(t *testing.T) {
			_, p := start(t)
			holding(p, 1<<20)
			receive(t, p.shed)
			p.wantClose(StatusTryAgain, "overloaded")
		})
	})
}

// Pings beyond measure do not buy an unfinished message more time.
func TestConnThrottledMessageIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		p := h.visit(Limits{})
		counting(p)
		drink(p)
		p.c.Start(nil)
		go func() {
			p.Conn.Write(clientPart(Text, false, "x"))
			for {
				if _, err := p.Conn.Write(many(10, opPing)); err != nil {
					return
				}
			}
		}()
		time.Sleep(messageTimeout + 2*sweepCycle)
		if st := h.Stats(); st.MessageTimeouts != 1 || st.ThrottledControl == 0 {
			t.Errorf("%d message timeouts, throttled %d times; want 1, some", st.MessageTimeouts, st.ThrottledControl)
		}
		p.c.Kill()
		synctest.Wait()
	})
}

// Who floods and goes is not kept for as long as what was left would take, nor
// does that take the time of others.
func TestConnThrottleEndsWithTheClient(t *testing.T) {
	for _, test := range []struct {
		name string
		op   Opcode
		most time.Duration
	}{
		{"pings, which are answered", opPing, time.Second},
		{"pongs, which are not", opPong, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{Ping: time.Second})
				p := h.visit(Limits{})
				messages := counting(p)
				p.c.Start(nil)
				drink(p)
				p.Conn.Write(append(many(4089/7, test.op), clientFrame(Text, "x")...)) // as much as is read at once: for 53 s
				synctest.Wait()
				if st := h.Stats(); st.ThrottledControl != 1 {
					t.Fatalf("throttled %d times", st.ThrottledControl)
				}
				begun := time.Now()
				p.Conn.Close()
				<-p.ended
				if took := time.Since(begun); took > test.most {
					t.Errorf("ended %v after the client had gone, want %v", took, test.most)
				}
				if messages.Load() > 0 {
					t.Error("all that it left was decoded")
				}
			})
		})
	}
}
