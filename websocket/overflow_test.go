package websocket

import (
	"sync"
	"sync/atomic"
	"testing"
)

// openWithoutRelief is a house of piped connections in which somebody chooses
// who has to go, and does not get done.
func openWithoutRelief(t *testing.T, buffers int64) *house {
	h := open(t, piped, Options{Buffers: buffers})
	h.budget.relieving.Store(true)
	return h
}

// frameOf is the payload of a frame of n bytes, of 126 and more.
func frameOf(n int) []byte { return make([]byte, n-4) }

// A message that has to wait where there is no room costs its receiver the
// connection, however long it takes to choose who else has to go.
func TestOverflow(t *testing.T) {
	for _, test := range []struct {
		name  string
		other int // bytes held by somebody else
		shed  uint64
	}{
		{"a message waits at 100 %", 500, 0},
		{"a message over it is not kept", 501, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := openWithoutRelief(t, 1000)
			other, p := h.enter(Limits{}), h.enter(Limits{})
			holding(other, test.other)
			p.send(Binary, frameOf(200)) // which the socket has begun to take
			p.send(Binary, frameOf(300))
			held := int64(test.other + 200)
			if test.shed == 0 {
				held += 300
			} else {
				held += int64(len(appendControl(nil, opClose, appendClose(nil, StatusTryAgain, "overloaded"))))
			}
			if st := h.Stats(); st.Held != held {
				t.Errorf("%d bytes are held at once, want %d", st.Held, held)
			}
			p.wantFrame(Binary, string(frameOf(200)))
			if test.shed == 0 {
				p.wantFrame(Binary, string(frameOf(300)))
			} else {
				p.wantClose(StatusTryAgain, "overloaded")
				p.wantEOF()
				p.wantEnded(Closing{StatusTryAgain, "overloaded", ByServer})
				receive(t, p.shed)
			}
			if st := h.Stats(); st.Shed != test.shed || st.DroppedShed != test.shed || len(other.shed) != 0 {
				t.Errorf("%d shed, %d messages dropped, the other one shed %d times; want %d, %d, 0", st.Shed, st.DroppedShed, len(other.shed), test.shed, test.shed)
			}
		})
	}
}

// A close frame takes its place: a connection is not cut for it.
func TestOverflowIsForMessages(t *testing.T) {
	h := openWithoutRelief(t, 1000)
	other, p := h.enter(Limits{}), h.enter(Limits{})
	p.send(Binary, frameOf(200))
	h.budget.charge(other.c, 900) // as for a message that is sent
	p.c.Close(4000, "enough")
	p.wantFrame(Binary, string(frameOf(200)))
	p.wantClose(4000, "enough")
	p.write(clientClose(4000, ""))
	p.wantEOF()
	other.c.Hold(-900)
	if st := h.Stats(); st.Shed+st.ShedMessages != 0 {
		t.Errorf("%d shed, want 0", st.Shed+st.ShedMessages)
	}
}

// Of those who go and read nothing, no more than a quarter keeps what is being
// written to them; the rest is cut at once.
func TestOverflowCuts(t *testing.T) {
	h := openWithoutRelief(t, 1000)
	var peers []*peer
	for i := range 8 {
		p := h.enter(Limits{})
		p.send(Binary, frameOf(600))
		if held := h.Stats().Held; held > 600+600+2*20 {
			t.Errorf("after %d messages of 600 bytes %d are held", i+1, held)
		}
		peers = append(peers, p)
	}
	// One stays and one is told; which of them is for who is quicker to say.
	eventually(t, "all others are cut", func() bool {
		cut := 0
		for _, p := range peers {
			cut += len(p.ended)
		}
		return cut == len(peers)-2
	})
	for i, p := range peers {
		if len(p.ended) == 0 {
			continue
		}
		if i == 0 {
			t.Error("the first was cut, for whom there was room")
		}
		p.wantEnded(Closing{StatusTryAgain, "overloaded", ByServer})
		p.wantEOF()
	}
}

// Many who write at one time hold no more together than each a message over
// the limit, and a quarter for those who go.
func TestOverflowOfManyWriters(t *testing.T) {
	const writers, conns, size, limit = 4, 60, 16 << 10, 1 << 20
	const closeFrame = 14 // with which each is told, "overloaded"
	h := openWithoutRelief(t, limit)
	for range conns {
		h.enter(Limits{})
	}
	var most atomic.Int64
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for range 30 {
				for i := w; i < conns; i += writers {
					h.peers[i].send(Binary, frameOf(size))
					held := h.budget.total.Load()
					for old := most.Load(); held > old && !most.CompareAndSwap(old, held); old = most.Load() {
					}
				}
			}
		})
	}
	work.Wait()
	if got, want := most.Load(), int64(limit+limit/4+2*writers*size+conns*closeFrame); got > want || got < limit {
		t.Errorf("at most %d bytes were held, want about %d and no more than %d", got, limit, want)
	}
	if st := h.Stats(); st.Shed == 0 {
		t.Error("nobody was shed")
	}
}
