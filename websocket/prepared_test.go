package websocket

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sendPrepared is WritePrepared, booked.
func (p *peer) sendPrepared(m *Prepared) error {
	err := p.c.WritePrepared(m)
	if err == nil {
		p.accepted.Add(1)
	}
	return err
}

// One message for many is encoded once for each size of frames, and whoever
// wrote it may use the memory again.
func TestPreparedIsEncodedOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		h := open(t, m, Options{})
		fragments := []int{4, 0, 4, 100, 5, 0}
		for _, n := range fragments {
			h.enter(Limits{Fragment: n})
		}
		payload := []byte("Hello")
		message := h.Prepare(Text, payload)
		copy(payload, "XXXXX")
		for _, p := range h.peers {
			if err := p.sendPrepared(message); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range h.peers {
			if fragments[i] == 4 {
				if a, b := p.read(), p.read(); a != (gotFrame{Text, false, "Hell"}) || b != (gotFrame{opContinuation, true, "o"}) {
					t.Errorf("in frames of 4: %v, %v", a, b)
				}
				continue
			}
			p.wantFrame(Text, "Hello")
		}
		if st := h.Stats(); st.Encoded != 2 {
			t.Errorf("encoded %d times, want once for frames of 4 and once for all others", st.Encoded)
		}
		if message.Size() != 5 {
			t.Errorf("Size() = %d", message.Size())
		}
	})
}

// One message for many is deflated once for all who may have it so, and the
// others get it as it is.
func TestPreparedIsDeflatedOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		for _, test := range []struct {
			name     string
			payload  string
			deflated bool
			encoded  uint64 // whole, in frames of 100, and that deflated
		}{
			{"long", jsonText(4 << 10), true, 4},
			{"short", strings.Repeat("a", minDeflate-1), false, 2},
			{"noise", noise(1000), false, 2},
		} {
			t.Run(test.name, func(t *testing.T) {
				h := open(t, m, Options{})
				for i := range 12 {
					l := Limits{Fragment: []int{0, 100, 1 << 20}[i%3]}
					if i%2 == 0 {
						l.Deflate = deflate
					}
					h.enter(l)
				}
				message := h.Prepare(Binary, []byte(test.payload))
				var all sync.WaitGroup
				for _, p := range h.peers {
					all.Go(func() { p.sendPrepared(message) })
				}
				for i, p := range h.peers {
					got, deflated := p.inflated()
					if got != test.payload || deflated != (test.deflated && i%2 == 0) {
						t.Errorf("client %d got %d bytes, deflated %t", i, len(got), deflated)
					}
				}
				all.Wait()
				st := h.Stats()
				if st.Encoded != test.encoded || st.Deflated+st.DeflateSmall+st.DeflateNoGain != 1 || st.Deflated == 1 != test.deflated {
					t.Errorf("%+v", st)
				}
			})
		}
	})
}

// While sockets take it, a message to many starts no goroutine.
func TestPreparedStartsNoGoroutine(t *testing.T) {
	h := open(t, polled, Options{})
	for range 20 {
		h.enter(Limits{})
	}
	for i := range 20 {
		message := h.Prepare(Text, fmt.Append(nil, i))
		for _, p := range h.peers {
			p.sendPrepared(message)
		}
	}
	for _, p := range h.peers {
		for i := range 20 {
			p.wantFrame(Text, fmt.Sprint(i))
		}
	}
	if st := h.Stats(); st.Encoded != 20 || st.Drains != 0 {
		t.Errorf("%d encoded, %d written later; want 20, 0", st.Encoded, st.Drains)
	}
}

// An empty message is a message.
func TestPreparedMayBeEmpty(t *testing.T) {
	p := open(t, polled, Options{}).enter(Limits{})
	p.sendPrepared(p.server.Prepare(Binary, nil))
	p.wantFrame(Binary, "")
}

// What many outboxes hold of one message is one buffer, and counts as one; but
// each outbox is full by its own count.
func TestPreparedIsHeldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Buffers: 5000})
		for range 10 {
			h.enter(Limits{Outbox: 2000})
		}
		first, second := h.Prepare(Binary, make([]byte, 996)), h.Prepare(Binary, make([]byte, 996))
		for _, p := range h.peers {
			for _, m := range []*Prepared{first, second} {
				if err := p.sendPrepared(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		if st := h.Stats(); st.Held != 2000 || st.Shed != 0 {
			t.Errorf("ten hold the same two messages: %d bytes held, %d shed; want 2000, 0", st.Held, st.Shed)
		}
		if err := h.peers[0].sendPrepared(first); err != ErrSlow {
			t.Errorf("a third to a full outbox: %v, want ErrSlow", err)
		}
		h.peers[1].c.Kill()
		for _, p := range h.peers[2:9] {
			p.read()
			p.read()
		}
		synctest.Wait()
		if st := h.Stats(); st.Held < 2000 || st.Held > 2000+40 { // a close frame waits too
			t.Errorf("two hold what is left: %d bytes held, want some 2000", st.Held)
		}
		h.peers[9].read()
		h.peers[9].read()
		synctest.Wait()
		if st := h.Stats(); st.Held < 1000 || st.Held > 1000+40 {
			t.Errorf("one holds the frame being written: %d bytes held, want some 1000", st.Held)
		}
	})
}

// A message of which one frame is on its way stays held by that outbox, once,
// when the rest of it is dropped.
func TestPreparedIsHeldOnceWhenItIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{})
		message := h.Prepare(Binary, make([]byte, 1000))
		for range 3 {
			h.enter(Limits{Fragment: 100}).sendPrepared(message)
		}
		synctest.Wait()
		h.peers[0].write(clientClose(StatusNormal, ""))
		synctest.Wait()
		if st := h.Stats(); st.Held < 1000 || st.Held > 1000+60 || st.DroppedClosed != 1 {
			t.Errorf("%d bytes held, %d dropped; want those of one message, 1", st.Held, st.DroppedClosed)
		}
	})
}

// Distinct messages do add up, whoever they are for.
func TestPreparedCountsAgainstTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Buffers: 2500})
		a, b := h.enter(Limits{}), h.enter(Limits{})
		b.sendPrepared(h.Prepare(Binary, make([]byte, 400)))
		for range 3 {
			a.sendPrepared(h.Prepare(Binary, make([]byte, 896)))
		}
		synctest.Wait()
		if len(a.shed) != 1 || len(b.shed) != 0 {
			t.Errorf("shed: %d, %d; want the one that holds most", len(a.shed), len(b.shed))
		}
		if st := h.Stats(); st.DroppedShed != 2 {
			t.Errorf("%d dropped, want the two that waited", st.DroppedShed)
		}
	})
}

// Readers that stop, leave and trickle, while several send them the same: the
// books are right (house.close), and nobody gets a byte that was not meant.
func TestPreparedInTurmoil(t *testing.T) {
	h := open(t, polled, Options{Buffers: 4 << 20})
	var reading, sending sync.WaitGroup
	const clients, senders = 12, 3
	for i := range clients {
		p := h.enter(Limits{Outbox: 200 << 10, Fragment: []int{1000, 64 << 10}[i%2]})
		p.onFail = func(*ProtocolError) {}
		reading.Go(func() {
			read(t, p, i)
			p.Conn.Close()
		})
	}
	for s := range senders {
		sending.Go(func() {
			own := make([]byte, 100<<10)
			for i := range 200 {
				size := rand.IntN(len(own))
				if i%10 != 0 {
					size %= 2000
				}
				for at := range own[:size] {
					own[at] = byte('a' + s)
				}
				message := h.Prepare(Text, own[:size])
				clear(own[:size]) // the buffer is somebody else's now
				for _, p := range h.peers {
					p.sendPrepared(message)
				}
			}
		})
	}
	sending.Wait()
	for _, p := range h.peers {
		p.c.Close(StatusNormal, "")
	}
	reading.Wait()
	for _, p := range h.peers {
		receive(t, p.ended)
	}
}

// read reads what p gets, in the manner of client i: all of it, for a while, or
// slowly. Each message has to be of one sender's letters.
func read(t *testing.T, p *peer, i int) {
	var message []byte
	for n := 0; ; n++ {
		switch {
		case i%4 == 1 && n == 50:
			return
		case i%4 == 2 && n%20 == 0:
			<-time.After(time.Millisecond)
		case i%4 == 3 && n == 20:
			<-time.After(300 * time.Millisecond)
		}
		f, err := p.tryRead()
		if err != nil || f.op == opClose {
			if err != nil && err != io.EOF && !strings.Contains(err.Error(), "reset") && err != io.ErrUnexpectedEOF {
				t.Errorf("client %d: %v", i, err)
			}
			return
		}
		message = append(message, f.payload...)
		if f.fin {
			if len(message) > 0 && (message[0] < 'a' || message[0] > 'c' || len(bytes.Trim(message, string(message[:1]))) > 0) {
				t.Errorf("client %d got a message of %.20q…", i, message)
				return
			}
			message = message[:0]
		}
	}
}
