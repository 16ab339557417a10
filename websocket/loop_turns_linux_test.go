package websocket

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// A worker is a tenant whose socket can always be read, and who moves so many
// bytes at each visit.
type worker struct {
	work   int
	visits int
	order  *[]*worker
}

func (w *worker) ready([]byte, uint32) (work int) {
	w.visits++
	*w.order = append(*w.order, w)
	return w.work
}

// workers are tenants of a loop that is served by the test.
type workers struct {
	t     *testing.T
	l     *loop
	buf   []byte
	order []*worker
}

func newWorkers(t *testing.T) *workers {
	poll, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(poll.close)
	return &workers{t: t, l: &loop{poll: poll, server: &Server{epoch: time.Now()}}, buf: make([]byte, guestSize)}
}

func (s *workers) hire(work int) (w *worker, k ticket) {
	s.t.Helper()
	client, server := tcpPair(s.t)
	s.t.Cleanup(func() { client.Close() })
	d := descriptorOf(s.t, server)
	s.t.Cleanup(func() { d.Close() })
	w = &worker{work: work, order: &s.order}
	k = s.l.table.add(w)
	if err := s.l.poll.watch(d, k, 0, readable); err != nil {
		s.t.Fatal(err)
	}
	client.Write([]byte("x"))
	return w, k
}

// turn has the loop serve once, and gives who was visited.
func (s *workers) turn() []*worker {
	s.t.Helper()
	s.order = nil
	if err := s.l.serve(s.buf); err != nil {
		s.t.Fatal(err)
	}
	return s.order
}

// Who has moved much waits for those who have not, and has a stint then. In a turn
// no more is moved for all of them than lateWork and one visit.
func TestLoopServesWhoHasMuchToDoBehindTheOthers(t *testing.T) {
	for _, test := range []struct {
		name string
		work int
		// In a turn, behind the one that has little to do:
		others int // of 20 such tenants, who are visited
		visits int // of all of them
	}{
		{"a visit below the bound is not put off", muchWork - 1, 20, 20},
		{"a visit at the bound is, and a turn has room for many", muchWork, 20, 20},
		{"the most after which it is another's turn", readSize - 1, 17, 17},
		{"who has more goes on until its stint is over", readSize, lateWork / stint, lateWork / readSize},
		{"a stint and a turn are over behind the visit that makes them full", stint - 1, 3, 5},
		{"a visit as long as a stint", stint, lateWork / stint, lateWork / stint},
		{"one as long as a turn", lateWork, 1, 1},
		{"and one that is longer", 2 * lateWork, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newWorkers(t)
			var many []*worker
			for range 20 {
				w, _ := s.hire(test.work)
				many = append(many, w)
			}
			if first := s.turn(); len(first) != 20 {
				t.Fatalf("%d visits in the first turn, want 20: nobody is known to have much", len(first))
			}
			little, _ := s.hire(1)
			for range 50 {
				order := s.turn()
				at := slices.Index(order, little)
				if at < 0 || test.work >= muchWork && at > 0 {
					t.Fatalf("the one with little to do comes at %d of %d", at, len(order))
				}
				var others []*worker
				visits := 0
				for _, w := range order {
					if w == little {
						continue
					}
					if visits++; !slices.Contains(others, w) {
						others = append(others, w)
					}
				}
				if len(others) != test.others || visits != test.visits {
					t.Fatalf("%d visits of %d others in a turn, want %d of %d", visits, len(others), test.visits, test.others)
				}
			}
			// They have their turns in order, or all but: none a third time before all others.
			fewest, mostly := many[0].visits, many[0].visits
			for _, w := range many {
				fewest, mostly = min(fewest, w.visits), max(mostly, w.visits)
			}
			if mostly > 2*fewest+stint/readSize {
				t.Errorf("one was visited %d times, another %d times", mostly, fewest)
			}
		})
	}
}

// Who is put off has as much of a turn as all those before have.
func TestLoopSharesItsTime(t *testing.T) {
	s := newWorkers(t)
	var many []*worker
	for range 20 {
		w, _ := s.hire(stint)
		many = append(many, w)
	}
	s.turn()
	const busy = 2 * lateWork / muchWork // others, who take twice the time
	for range busy {
		s.hire(1)
	}
	late := 0
	for _, w := range s.turn() {
		if slices.Contains(many, w) {
			late++
		}
	}
	if want := 2 * lateWork / stint; late != want {
		t.Errorf("%d visits of those who are put off, want %d", late, want)
	}
}

// A guest that has read much is put off as others are, also between them, until
// its reply has ended.
func TestLoopPutsOffGuests(t *testing.T) {
	s := newWorkers(t)
	read := 2 * lateWork
	client, raw := guestSocket(t)
	guest := &worker{order: &s.order}
	k := s.l.table.add(&watch{func([]byte) (n int) {
		guest.work = read
		return guest.ready(nil, readable)
	}})
	if err := s.l.poll.watchGuest(raw, k, 0, readable); err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("x"))
	s.turn()
	const others = 3 * guestsEvery
	for range others {
		s.hire(1)
	}
	for range 3 {
		if order := s.turn(); len(order) != others+1 || order[others] != guest {
			t.Fatalf("the guest that reads much is at %d of %d, want last of %d", slices.Index(order, guest), len(order), others+1)
		}
	}
	read = -1
	s.turn()
	if at := slices.Index(s.turn(), guest); at < 0 || at >= guestsEvery {
		t.Errorf("after the end of a reply it is at %d", at)
	}
}

// Whoever was put off and has gone is not visited; who has its place is, if it is
// put off as well.
func TestLoopForgetsWhoHasGone(t *testing.T) {
	s := newWorkers(t)
	a, ka := s.hire(2 * lateWork)
	b, _ := s.hire(2 * lateWork)
	s.turn()
	if order := s.turn(); len(order) != 1 {
		t.Fatalf("%d visits, want one: the other is put off", len(order))
	}
	leaver, stayer, waits := b, a, s.l.turns.late[s.l.turns.served]
	if waits == ka {
		leaver, stayer = a, b
	}
	s.l.table.remove(waits)
	next := &worker{order: &s.order} // whose socket is silent
	again := s.l.table.add(next)
	if again.slot != waits.slot {
		t.Fatalf("slot %d was not used again, but %d", waits.slot, again.slot)
	}
	s.l.turns.visited(again, muchWork)
	s.l.turns.putOff(again, readable)
	visits := leaver.visits
	for range 3 {
		s.turn()
	}
	if leaver.visits != visits || next.visits != 1 || stayer.visits < 3 {
		t.Errorf("who has gone was visited %d times more, who has its place %d times, the other %d times", leaver.visits-visits, next.visits, stayer.visits)
	}
}

// A loop in which somebody is put off does not wait for others to have something.
func TestLoopDoesNotWaitWhileSomebodyIsPutOff(t *testing.T) {
	s := newWorkers(t)
	w := &worker{order: &s.order} // whose socket is silent
	k := s.l.table.add(w)
	s.l.turns.visited(k, muchWork)
	s.l.turns.putOff(k, readable)
	if order := s.turn(); len(order) != 1 || order[0] != w {
		t.Errorf("%d visits, want one", len(order))
	}
}

// A connection says how much it has read and written.
func TestConnSaysHowMuchItHasMoved(t *testing.T) {
	h := open(t, polled, Options{Loops: 1})
	p := h.enter(Limits{Outbox: 16 << 20})
	c := p.c
	c.mu.Lock()
	c.watchLocked(readable, false) // so that the loop has nothing to do with it
	c.mu.Unlock()
	buf := make([]byte, guestSize)

	frame := clientFrame(Text, strings.Repeat("x", 100_000))
	p.write(frame)
	moved := 0
	for deadline := time.Now().Add(patience); moved < len(frame) && time.Now().Before(deadline); {
		moved += c.ready(buf, readable)
	}
	if moved != len(frame) {
		t.Errorf("it has read %d bytes, want %d", moved, len(frame))
	}

	for range 8 { // more than a socket takes
		p.send(Binary, make([]byte, 1<<20))
	}
	c.mu.Lock()
	c.loop.poll.watch(&c.fd, c.ticket, c.watched, 0)
	held := c.heldOut
	c.mu.Unlock()
	if held == 0 {
		t.Fatal("the socket has taken all")
	}
	go io.Copy(io.Discard, p.Conn)
	moved = 0
	for deadline := time.Now().Add(patience); moved == 0 && time.Now().Before(deadline); {
		moved = c.ready(buf, writable)
	}
	if moved == 0 {
		t.Error("it has written nothing")
	}
}
