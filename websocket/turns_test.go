package websocket

import (
	"testing"
	"time"
)

// Who is put off, by what its visits amounted to and when they were.
func TestTurnsPutOffWhoHasMovedMuch(t *testing.T) {
	type visit struct {
		after time.Duration // since the one before
		work  int
	}
	const ms = time.Millisecond
	for _, test := range []struct {
		name   string
		visits []visit
		after  time.Duration // the last one it is reported again
		want   bool
	}{
		{"nobody knows it", nil, 0, false},
		{"one byte below the bound", []visit{{0, muchWork - 1}}, 0, false},
		{"at the bound", []visit{{0, muchWork}}, 0, true},
		{"two halves are not known of, for both were little", []visit{{0, muchWork - 1}, {0, muchWork - 1}}, 0, false},
		{"a small visit does not make up for a large one", []visit{{0, 4 * muchWork}, {0, 1}}, 0, true},
		{"nor do two", []visit{{0, 4 * muchWork}, {0, 1}, {0, 0}}, 0, true},
		{"but three do", []visit{{0, 4 * muchWork}, {0, 1}, {0, 0}, {0, 1}}, 0, false},
		{"what was little after much counts half with what comes", []visit{{0, muchWork}, {0, 0}, {0, muchWork * 3 / 4}}, 0, true},
		{"that is not forgotten", []visit{{0, muchWork}}, forget * ms, true},
		{"nor is it while visits go on", []visit{{0, muchWork}, {forget * ms, muchWork}}, forget * ms, true},
		{"that is", []visit{{0, muchWork}}, forget*ms + ms, false},
		{"what is forgotten does not count any more", []visit{{0, 100 * muchWork}, {forget*ms + ms, 1}}, 0, false},
		{"what ends something", []visit{{0, 100 * muchWork}, {0, afresh}}, 0, false},
		{"the end of something that was little", []visit{{0, afresh}}, 0, false},
		{"long after the clock has wrapped", []visit{{1<<32*ms - ms, muchWork}}, 2 * ms, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var turns turns
			k, now := ticket{slot: 3, generation: 7}, int64(0)
			for _, v := range test.visits {
				now += int64(v.after)
				turns.begin(now)
				turns.visited(k, v.work)
			}
			turns.begin(now + int64(test.after))
			if got := turns.putOff(k, readable); got != test.want || turns.waiting() != len(turns.late) || (turns.waiting() == 1) != got {
				t.Errorf("put off: %v, %d wait; want %v", got, turns.waiting(), test.want)
			}
		})
	}
}

// Each is there once, with all that was reported of it, in the order of the first
// reports; whoever has the slot of one that has gone is another.
func TestTurnsAreInOrder(t *testing.T) {
	var turns turns
	turns.begin(0)
	a, b, next := ticket{0, 1}, ticket{5, 1}, ticket{0, 2}
	turns.visited(a, muchWork)
	turns.visited(b, muchWork)
	for _, report := range []struct {
		k   ticket
		can uint32
	}{{b, readable}, {a, readable}, {b, writable}, {b, writable}} {
		if !turns.putOff(report.k, report.can) {
			t.Fatalf("%v is not put off", report.k)
		}
	}
	if turns.putOff(next, readable) {
		t.Error("the next one in a slot is put off for what the last one has moved")
	}
	if k, can := turns.next(); k != b || can != readable|writable {
		t.Errorf("first comes %v with %#x, want %v with both", k, can, b)
	}
	turns.begin(0)
	turns.visited(next, muchWork) // in place of a
	turns.putOff(next, readable)
	if k, can := turns.next(); k != a || can != 0 {
		t.Errorf("then comes %v with %#x, want %v, of whom nothing is known any more", k, can, a)
	}
	if k, can := turns.next(); k != next || can != readable || turns.waiting() != 0 {
		t.Errorf("last comes %v with %#x, want %v", k, can, next)
	}
	if turns.putOff(b, writable); turns.waiting() != 1 {
		t.Errorf("%d wait, want the one that was served, for it is reported again", turns.waiting())
	}
}
