package websocket

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// holding makes p hold n bytes until it is shed or ends.
func holding(p *peer, n int) {
	var held atomic.Int64
	held.Store(int64(n))
	release := func() { p.c.Hold(-int(held.Swap(0))) } // by two goroutines perhaps
	p.onShed, p.onEnded = release, release
	p.c.Hold(n)
}

func TestBudgetShedsTheLargest(t *testing.T) {
	for _, test := range []struct {
		name  string
		holds []int // by connection, in that order
		shed  int   // index of who goes; -1: nobody
	}{
		{"a sum below nine tenths sheds nobody", []int{500, 300, 99}, -1},
		{"a sum at nine tenths sheds nobody", []int{500, 300, 100}, -1},
		{"one byte over it sheds the largest", []int{500, 300, 101}, 0},
		{"though the smallest was the last", []int{300, 500, 99, 2}, 1},
		{"one over it alone goes itself", []int{901}, 0},
		{"many small ones cross it together", []int{90, 90, 91, 90, 90, 90, 90, 90, 90, 90}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, m mode) {
				h := open(t, m, Options{Buffers: 1000})
				for _, n := range test.holds {
					holding(h.enter(Limits{}), n)
				}
				if test.shed >= 0 { // before an echo, which counts too
					receive(t, h.peers[test.shed].shed)
				}
				for i, p := range h.peers {
					if i == test.shed {
						p.wantClose(StatusTryAgain, "overloaded")
						p.wantEOF()
						p.Conn.Close()
						p.wantEnded(Closing{StatusTryAgain, "overloaded", ByServer})
						continue
					}
					if test.shed >= 0 { // or the echo itself would cross the budget
						p.write(clientFrame(Text, "still here"))
						p.wantFrame(Text, "still here")
					}
					if len(p.shed) != 0 {
						t.Errorf("connection %d, which holds %d, was shed", i, test.holds[i])
					}
				}
				if got, want := h.Stats().Shed, uint64(1+min(test.shed, 0)); got != want {
					t.Errorf("%d were shed, want %d", got, want)
				}
			})
		})
	}
}

// What a shed connection still holds is as good as free. Else everybody would
// have to go for the one that lets go slowly.
func TestBudgetShedsNobodyForOneThatIsGoing(t *testing.T) {
	h := open(t, polled, Options{Buffers: 1000})
	large := h.enter(Limits{})
	large.onEnded = func() { large.c.Hold(-600) } // and not when it is shed
	large.c.Hold(600)
	small, other := h.enter(Limits{}), h.enter(Limits{})
	holding(other, 290)
	holding(small, 11)
	receive(t, large.shed)
	for range 7 {
		small.c.Hold(85)
	}
	if st := h.Stats(); st.Shed != 1 || st.ShedMessages != 0 || st.Held != 1496 {
		t.Errorf("%d and %d shed, %d held; want 1, 0, 1496", st.Shed, st.ShedMessages, st.Held)
	}
	small.c.Hold(4)
	if h.Pressed() != true || len(small.shed) != 0 { // four fifths by those who stay
		t.Errorf("%d shed at half as much again", len(small.shed))
	}
	h.budget.relieving.Store(true) // else who is to go may be chosen before
	if small.c.Hold(1) {           // but for ever that does not go on
		t.Error("held more than half as much again as the limit")
	}
	receive(t, small.shed)
	if st := h.Stats(); st.Shed != 1 || st.ShedMessages != 1 {
		t.Errorf("%d and %d shed; want 1, 1", st.Shed, st.ShedMessages)
	}
	small.c.Hold(-600)
}

func TestBudgetCountsWhatWaitsToBeSent(t *testing.T) {
	h := open(t, piped, Options{Buffers: 1000})
	p, other := h.enter(Limits{}), h.enter(Limits{})
	holding(other, 10)
	for range 3 {
		p.send(Binary, make([]byte, 300-4))
	}
	receive(t, p.shed)
	p.read() // the frame that was being written
	p.wantClose(StatusTryAgain, "overloaded")
	p.wantEOF()
	p.wantEnded(Closing{StatusTryAgain, "overloaded", ByServer})
	if st := h.Stats(); st.DroppedShed != 2 || st.MessagesOut != 1 || st.Held != 10 {
		t.Errorf("%d dropped, %d sent, %d held; want 2, 1, 10", st.DroppedShed, st.MessagesOut, st.Held)
	}
}

// Clients that are shed and read nothing would each keep the frame that is being
// written to them until the time for a write is over.
func TestBudgetCutsThoseThatGoSlowly(t *testing.T) {
	h := open(t, piped, Options{Buffers: 1000})
	for range 8 {
		p := h.enter(Limits{})
		p.send(Binary, make([]byte, 600-4)) // which nobody reads
		p.send(Binary, make([]byte, 600-4))
		receive(t, p.shed)
		eventually(t, "what is held is little over the limit", func() bool { return h.Stats().Held <= 1000+250+600 })
	}
	h.peers[7].wantEOF()
	if st := h.Stats(); st.DroppedShed+st.DroppedClosed < 14 {
		t.Errorf("%d and %d messages counted as dropped", st.DroppedShed, st.DroppedClosed)
	}
}

// A client that is shed for an unfinished message, and then does nothing, must
// not keep the message's memory until it is cut.
func TestBudgetFreesAnUnfinishedMessageAtOnce(t *testing.T) {
	for _, m := range []mode{polled, blocking} {
		for _, test := range []struct {
			name  string
			other int // bytes that another connection begins to hold
		}{{"because of another connection", 55_000}, {"because of its own last bytes", 0}} {
			t.Run(test.name+", "+m.name, func(t *testing.T) {
				h := open(t, m, Options{Buffers: 200_000})
				p, other := h.enter(Limits{}), h.enter(Limits{})
				// The buffer doubles as it fills: 131,072 bytes or twice that.
				size := 90_000
				if test.other == 0 {
					size = 180_000
				}
				p.write(clientPart(Text, false, strings.Repeat("x", size)))
				if test.other > 0 {
					eventually(t, "the message is held", func() bool { return h.Stats().Held >= int64(size) })
					holding(other, test.other)
				}
				receive(t, p.shed)
				eventually(t, "it is free", func() bool { return h.Stats().Held == int64(test.other) })
				if st := h.Stats(); st.Open != 2 || len(other.shed) != 0 {
					t.Errorf("%d open, %d others shed; want 2, 0", st.Open, len(other.shed))
				}
				p.wantClose(StatusTryAgain, "overloaded")
			})
		}
	}
}

// A close frame that waits is not dropped with the messages around it.
func TestBudgetKeepsACloseFrameThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Buffers: 1000})
		p := h.enter(Limits{})
		p.send(Text, []byte("one"))
		p.send(Text, []byte("two"))
		p.c.Close(4000, "enough")
		holding(p, 1001)
		receive(t, p.shed)
		synctest.Wait()
		p.wantFrame(Text, "one")
		p.wantClose(4000, "enough")
		begun := time.Now()
		p.wantEOF()
		p.wantEnded(Closing{4000, "enough", ByServer})
		if took := time.Since(begun); took != 0 {
			t.Errorf("ended %v after the close frame, want at once", took)
		}
	})
}

func TestBudgetHoldIsCounted(t *testing.T) {
	h := open(t, polled, Options{})
	p := h.enter(Limits{})
	p.c.Hold(70)
	p.c.Hold(-30)
	if got := h.Stats().Held; got != 40 {
		t.Errorf("%d bytes held, want 40", got)
	}
	p.c.Hold(-40)
}

// Each level does its own at one byte more than its part of the budget.
func TestBudgetLevels(t *testing.T) {
	for _, test := range []struct {
		name       string
		held       int // already, by many
		more       int // by one
		pressed    bool
		shed, full uint64
	}{
		{"nothing at 80 %", 0, 800, false, 0, 0},
		{"nobody else over 80 %", 0, 801, true, 0, 0},
		{"nobody goes at 90 %", 750, 150, true, 0, 0},
		{"the largest goes over 90 %", 750, 151, false, 1, 0},
		{"a message is taken at 95 %", 750, 200, false, 1, 0},
		{"a message is refused over 95 %", 750, 201, false, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{Buffers: 1000})
				for range test.held / 50 {
					holding(h.enter(Limits{}), 50)
				}
				h.budget.relieving.Store(test.full > 0) // else who is to go may be chosen before
				p := h.enter(Limits{})
				p.onShed = func() { p.c.Hold(-test.more) }
				p.onEnded = func() {
					if len(p.shed) == 0 {
						p.c.Hold(-test.more)
					}
				}
				if ok := p.c.Hold(test.more); ok != (test.full == 0) {
					t.Errorf("there is room: %v", ok)
				}
				synctest.Wait()
				if st := h.Stats(); h.Pressed() != test.pressed || st.Shed != test.shed || st.ShedMessages != test.full {
					t.Errorf("pressed %v, %d shed, %d for a message; want %v, %d, %d", h.Pressed(), st.Shed, st.ShedMessages, test.pressed, test.shed, test.full)
				}
			})
		})
	}
}

// Who is shed makes more room than was missing, in the order of what they hold.
func TestBudgetShedsUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Buffers: 10_000})
		for i := range 89 {
			holding(h.enter(Limits{}), 57+i) // 8,989 together
		}
		holding(h.enter(Limits{}), 12)
		synctest.Wait()
		left := 0
		for i, p := range h.peers {
			if len(p.shed) == 0 {
				left += min(57+i, 12+(89-i)*1000)
			} else if i < 85 || i == 89 {
				t.Errorf("connection %d was shed", i)
			}
		}
		// 145, 144, 143 and 142 bytes from 9,001.
		if left != 8427 || h.Stats().Shed != 4 {
			t.Errorf("%d shed, and %d are held; want 4, 8427", h.Stats().Shed, left)
		}
	})
}

// Whole messages that came before the end still run, so a connection that has
// ended is known as long as it holds something.
func TestBudgetShedsWhoHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Buffers: 1000})
		p, other := h.enter(Limits{}), h.enter(Limits{})
		p.onShed = func() { p.c.Hold(-800) }
		p.c.Hold(700)
		p.c.Kill()
		receive(t, p.ended)
		p.c.Hold(100)
		holding(other, 101)
		synctest.Wait()
		if len(p.shed) != 1 || len(other.shed) != 0 {
			t.Errorf("shed %d times, and the other one %d times; want 1, 0", len(p.shed), len(other.shed))
		}
	})
}

// Who holds little does not go for what others have taken since all were looked
// at.
func TestBudgetLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, piped, Options{Buffers: 10_000})
		small, late, large := h.enter(Limits{}), h.enter(Limits{}), h.enter(Limits{})
		holding(small, 100)
		large.onShed = func() {
			large.c.Hold(-8950)
			h.budget.relieving.Store(true) // it is so: who comes over the level relies on that
			holding(late, 8940)
		}
		large.c.Hold(8950)
		synctest.Wait()
		if len(large.shed) != 1 || len(late.shed) != 1 || len(small.shed) != 0 {
			t.Errorf("the large one was shed %d times, the late one %d, the small one %d; want 1, 1, 0",
				len(large.shed), len(late.shed), len(small.shed))
		}
	})
}
