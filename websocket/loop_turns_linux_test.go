package websocket

import (
	"slices"
	"syscall"
	"testing"
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
	return &workers{t: t, l: &loop{poll: poll}, buf: make([]byte, guestSize)}
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

// Who has moved much waits for those who have not. In a turn no more is moved for
// such tenants than lateWork and one visit, for one after the other as long as
// there is much.
func TestLoopServesWhoHasMuchToDoBehindTheOthers(t *testing.T) {
	for _, test := range []struct {
		name string
		work int
		// In a turn, behind the one that has little to do:
		others int // of 20 such tenants, who are visited
		visits int // of each of them, but perhaps the last
	}{
		{"a visit below the bound is not put off", muchWork - 1, 20, 1},
		{"a visit at the bound is, and a turn has room for many", muchWork, 20, 1},
		{"the largest after which it is another's turn share it", readSize - 1, 17, 1},
		{"who has more goes on until the turn is over", readSize, 1, lateWork / readSize},
		{"what is over the bound by one visit is done", lateWork/4 - 1, 1, 5},
		{"one as large as a turn has it", lateWork, 1, 1},
		{"and so has a larger one", 2 * lateWork, 1, 1},
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
			putOff := test.work >= muchWork
			for range 50 {
				order := s.turn()
				at := slices.Index(order, little)
				if at < 0 || putOff && at > 0 {
					t.Fatalf("the one with little to do comes at %d of %d", at, len(order))
				}
				others := slices.DeleteFunc(order, func(w *worker) bool { return w == little })
				if n := len(others); n != test.others*test.visits {
					t.Fatalf("%d visits of others in a turn, want %d", n, test.others*test.visits)
				}
				if n := len(slices.Compact(others)); n != test.others {
					t.Fatalf("%d others in a turn, want %d", n, test.others)
				}
			}
			// They have their turns in order, or all but: none a third time before all others.
			fewest, mostly := many[0].visits, many[0].visits
			for _, w := range many {
				fewest, mostly = min(fewest, w.visits), max(mostly, w.visits)
			}
			if mostly > 2*fewest+test.visits {
				t.Errorf("one was visited %d times, another %d times", mostly, fewest)
			}
		})
	}
}

// A guest with much to do is put off as others are, also between them.
func TestLoopPutsOffGuests(t *testing.T) {
	s := newWorkers(t)
	read := 2 * lateWork
	client, server := tcpPair(t)
	defer client.Close()
	defer server.Close()
	raw, err := server.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
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
	for range 3 * guestsEvery {
		s.hire(1)
	}
	for range 3 {
		order := s.turn()
		if at := slices.Index(order, guest); at != len(order)-1 || at != 3*guestsEvery {
			t.Fatalf("the guest with much to do is at %d of %d, want last of %d", at, len(order), 3*guestsEvery+1)
		}
	}
	read = 1
	s.turn()
	if order := s.turn(); order[0] != guest && slices.Index(order, guest) >= guestsEvery {
		t.Errorf("with little to do it is at %d", slices.Index(order, guest))
	}
}

// Whoever moves little again is put off no more, and whoever has gone is not
// visited, nor is the next one in its place taken for it.
func TestLoopForgetsWhoWasPutOff(t *testing.T) {
	s := newWorkers(t)
	first, _ := s.hire(2 * lateWork)
	second, k := s.hire(2 * lateWork)
	s.turn()
	if order := s.turn(); len(order) != 1 {
		t.Fatalf("%d visits, want one: the other is put off", len(order))
	}
	leaver, waits := first, s.l.late[0]
	if waits == k {
		leaver = second
	}
	s.l.table.remove(waits)
	next := &worker{order: &s.order}
	if again := s.l.table.add(next); again.slot != waits.slot {
		t.Fatalf("slot %d was not used again, but %d", waits.slot, again.slot)
	}
	before := leaver.visits
	for range 3 {
		s.turn()
	}
	if leaver.visits != before || next.visits != 0 {
		t.Errorf("after the end of one that was put off it was visited %d times, who has its place %d times", leaver.visits-before, next.visits)
	}

	stayer := second
	if leaver == second {
		stayer = first
	}
	stayer.work = 1
	s.turn()
	s.turn()
	if len(s.l.late) != 0 {
		t.Errorf("%d are put off who have little to do", len(s.l.late))
	}
}

// A loop in which somebody is put off does not wait for others to have something.
func TestLoopDoesNotWaitWhileSomebodyIsPutOff(t *testing.T) {
	s := newWorkers(t)
	w := &worker{order: &s.order} // whose socket is silent
	k := s.l.table.add(w)
	s.l.delay(k, readable)
	if order := s.turn(); len(order) != 1 || order[0] != w {
		t.Errorf("%d visits, want one", len(order))
	}
}
