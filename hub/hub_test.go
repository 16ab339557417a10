package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A listener is a member that remembers what it got.
type listener struct {
	seat Seat[int]
	deaf atomic.Bool
	mu   sync.Mutex // guards got
	got  []int
	hook func(int)
}

func (l *listener) Deliver(frame int) bool {
	if l.hook != nil {
		l.hook(frame)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, frame)
	return !l.deaf.Load()
}

func (l *listener) take() (got []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got, l.got = l.got, nil
	return got
}

func newHub(t testing.TB, o Options) *Hub[int] {
	t.Helper()
	h, err := New[int](o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// join makes members of those ids.
func join(h *Hub[int], ids ...string) (list []*listener) {
	for _, id := range ids {
		l := new(listener)
		h.Join(&l.seat, id, l)
		list = append(list, l)
	}
	return list
}

// wantEmpty fails the test unless h holds nothing any more.
func wantEmpty(t *testing.T, h *Hub[int]) {
	t.Helper()
	st := h.Stats()
	if st.Channels != 0 || st.Users != 0 || st.Listening != 0 || h.users.places.Load() != 0 || h.Members() != 0 {
		t.Errorf("left behind: %+v, %d members", st, h.Members())
	}
	for i := range shards {
		if h.ids[i].seats != nil || h.channels.parts[i].groups != nil || h.users.parts[i].groups != nil {
			t.Errorf("part %d of a table has a map left", i)
		}
	}
}

func TestWhoGetsWhat(t *testing.T) {
	h := newHub(t, Options{})
	l := join(h, "a", "b", "c")
	a, b, c := l[0], l[1], l[2]
	h.Subscribe(&a.seat, "news")
	h.Subscribe(&b.seat, "news")
	h.Subscribe(&b.seat, "room")
	h.Bind(&a.seat, "42")
	h.Bind(&c.seat, "42")
	b.deaf.Store(true)
	for _, test := range []struct {
		name string
		send func(frame int) int
		took int    // what send gives
		got  string // who got it, whether it took it or not
	}{
		{"a channel", func(f int) int { return h.Publish("news", f, nil) }, 1, "ab"},
		{"all but one", func(f int) int { return h.Publish("news", f, &b.seat) }, 1, "a"},
		{"all but one who does not listen", func(f int) int { return h.Publish("room", f, &c.seat) }, 0, "b"},
		{"a channel of nobody", func(f int) int { return h.Publish("none", f, nil) }, 0, ""},
		{"a user", func(f int) int { return h.SendToUser("42", f) }, 2, "ac"},
		{"a user's name is no channel's", func(f int) int { return h.Publish("42", f, nil) + h.SendToUser("news", f) }, 0, ""},
		{"one member", func(f int) int { return map[bool]int{true: 1}[h.Send("c", f)] }, 1, "c"},
		{"one that does not take it", func(f int) int { return map[bool]int{true: 1}[h.Send("b", f)] }, 0, "b"},
		{"one that there is not", func(f int) int { return map[bool]int{true: 1}[h.Send("d", f)] }, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if took := test.send(7); took != test.took {
				t.Errorf("%d took it; want %d", took, test.took)
			}
			got := ""
			for _, l := range l {
				if frames := l.take(); slices.Equal(frames, []int{7}) {
					got += l.seat.ID()
				} else if frames != nil {
					t.Errorf("%s got %v", l.seat.ID(), frames)
				}
			}
			if got != test.got {
				t.Errorf("got by %q; want %q", got, test.got)
			}
		})
	}
	if st := h.Stats(); st.Taken != 5 || st.Refused != 3 || st.Publishes != 5 {
		t.Errorf("%+v; want 5 taken, 3 refused, 5 publishes", st)
	}
	for _, l := range l {
		h.Leave(&l.seat)
		h.Leave(&l.seat)
	}
	wantEmpty(t, h)
}

func TestSubscriptions(t *testing.T) {
	h := newHub(t, Options{PerMember: 3, Channels: 4})
	l := join(h, "a", "b")
	a, b := l[0], l[1]
	for _, step := range []struct {
		name    string
		l       *listener
		leave   bool
		channel string
		want    error
	}{
		{"the first", a, false, "1", nil},
		{"again", a, false, "1", nil},
		{"one below the member's limit", a, false, "2", nil},
		{"at it", a, false, "3", nil},
		{"above it", a, false, "4", ErrTooManyChannels},
		{"again at the limit", a, false, "3", nil},
		{"at the limit of all", b, false, "4", nil},
		{"above it", b, false, "5", ErrChannelsFull},
		{"one that there is", b, false, "1", nil},
		{"leaving one that others have", b, true, "1", nil},
		{"leaving the last of one", a, true, "2", nil},
		{"room again", b, false, "5", nil},
		{"and none", a, false, "2", ErrChannelsFull},
	} {
		err := error(nil)
		if step.leave {
			if !h.Unsubscribe(&step.l.seat, step.channel) || h.Unsubscribe(&step.l.seat, step.channel) {
				t.Errorf("%s: left twice or never", step.name)
			}
		} else if err = h.Subscribe(&step.l.seat, step.channel); !errors.Is(err, step.want) {
			t.Errorf("%s: %v; want %v", step.name, err, step.want)
		}
	}
	if got := h.Subscriptions(&a.seat); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("a listens to %v", got)
	}
	if list, total := h.Channels("", 2); total != 4 || !slices.Equal(list, []Channel{{"1", 1}, {"3", 1}}) {
		t.Errorf("Channels = %v, %d", list, total)
	}
	if st := h.Stats(); st.TooManyChannels != 1 || st.ChannelsFull != 2 || st.Channels != 4 || st.Listening != 4 {
		t.Errorf("%+v", st)
	}
	h.Leave(&a.seat)
	if err := h.Subscribe(&a.seat, "1"); !errors.Is(err, ErrGone) || h.Unsubscribe(&a.seat, "1") {
		t.Errorf("after leaving: %v", err)
	}
	h.Bind(&a.seat, "42")
	h.Leave(&b.seat)
	wantEmpty(t, h)
}

func TestBind(t *testing.T) {
	h := newHub(t, Options{})
	a := join(h, "a")[0]
	for _, user := range []string{"", "1", "1", "2", ""} {
		h.Bind(&a.seat, user)
		for _, other := range []string{"1", "2"} {
			if list, n := h.OfUser(other, 9); n != len(list) || (n == 1) != (user == other) {
				t.Errorf("bound to %q: %d of user %s", user, n, other)
			}
		}
	}
	if a.seat.bound != nil {
		t.Error("a member without user and channels costs more than its seat")
	}
	h.Leave(&a.seat)
	wantEmpty(t, h)
}

// Whoever is there from the beginning to the end of a publish gets it once,
// however others come and go meanwhile.
func TestPublishWhileOthersComeAndGo(t *testing.T) {
	h := newHub(t, Options{})
	const stay = 3 * stride
	var staying, going []*listener
	for i := range 6 * stay { // most go, so that there would be reason to close the holes
		l := join(h, fmt.Sprint(i))[0]
		h.Subscribe(&l.seat, "c")
		if i%6 == 5 {
			staying = append(staying, l)
		} else {
			going = append(going, l)
		}
	}
	late := join(h, "late")[0]
	staying[10].hook = func(int) { // in the middle of the publish
		for _, l := range going {
			h.Leave(&l.seat)
		}
		h.Subscribe(&late.seat, "c") // into a hole that is still to come, or has been
		h.Unsubscribe(&staying[0].seat, "c")
		h.Subscribe(&staying[0].seat, "c") // had it already
	}
	h.Publish("c", 1, nil)
	staying[10].hook = nil
	for i, l := range staying {
		if got := l.take(); !slices.Equal(got, []int{1}) {
			t.Fatalf("member %d, who stayed, got %v", i, got)
		}
	}
	if got := late.take(); got != nil {
		t.Errorf("who came during the publish got %v", got)
	}
	if took := h.Publish("c", 2, nil); took != stay+1 {
		t.Errorf("%d took the next; want %d", took, stay+1)
	}
	part := h.channels.part("c")
	for _, l := range staying[5:] {
		h.Leave(&l.seat)
	}
	if n := cap(part.groups["c"].list); n > 32 {
		t.Errorf("a group of 6 has room for %d", n)
	}
	if took := h.Publish("c", 3, nil); took != 6 {
		t.Errorf("%d took the last; want 6", took)
	}
	for _, l := range append(staying[:5:5], late) {
		h.Leave(&l.seat)
	}
	wantEmpty(t, h)
}

// Several publish to one channel while members come and go: each member gets
// what each of them publishes in order, and nothing twice.
func TestOrderOfEachPublisher(t *testing.T) {
	h := newHub(t, Options{})
	const publishers, frames = 4, 500
	var members []*listener
	for i := range 2 * stride {
		members = append(members, join(h, fmt.Sprint(i))[0])
		h.Subscribe(&members[i].seat, "c")
	}
	var publishing, churning sync.WaitGroup
	var done atomic.Bool
	churning.Go(func() {
		for i := 0; !done.Load(); i++ {
			l := members[i%stride] // half of them
			h.Unsubscribe(&l.seat, "c")
			h.Subscribe(&l.seat, "c")
		}
	})
	for p := range publishers {
		publishing.Go(func() {
			for i := range frames {
				h.Publish("c", p*frames+i, nil)
			}
		})
	}
	publishing.Wait()
	done.Store(true)
	churning.Wait()
	for i, l := range members {
		got := l.take()
		var last [publishers]int
		for _, f := range got {
			if p := f / frames; f%frames+1 <= last[p] {
				t.Fatalf("member %d got %d of publisher %d behind a later one", i, f%frames, p)
			} else {
				last[p] = f%frames + 1
			}
		}
		if i >= stride && len(got) != publishers*frames {
			t.Errorf("member %d, who stayed, got %d of %d", i, len(got), publishers*frames)
		}
		h.Leave(&l.seat)
	}
	wantEmpty(t, h)
}

// A million pairs leave the tables as they were.
func TestChurnLeavesNothing(t *testing.T) {
	h := newHub(t, Options{})
	l := join(h, "a", "b")
	h.Subscribe(&l[1].seat, "stays")
	for i := range 500_000 {
		name := fmt.Sprint("c", i)
		h.Subscribe(&l[0].seat, name)
		h.Subscribe(&l[0].seat, "stays")
		h.Unsubscribe(&l[0].seat, name)
		h.Unsubscribe(&l[0].seat, "stays")
	}
	if st := h.Stats(); st.Channels != 1 || st.Listening != 1 {
		t.Errorf("%+v; want the one that stays", st)
	}
	if n := cap(h.channels.part("stays").groups["stays"].list); n > 16 || l[0].seat.bound != nil {
		t.Errorf("a list of %d places for one member", n)
	}
	h.Leave(&l[0].seat)
	h.Leave(&l[1].seat)
	wantEmpty(t, h)
}

func TestValidName(t *testing.T) {
	for _, test := range []struct {
		name, channel string
		valid         bool
	}{
		{"a word", "news", true},
		{"all that is allowed", "azAZ09_.:/@-", true},
		{"one character", "a", true},
		{"200 bytes", strings.Repeat("x", 200), true},
		{"201 bytes", strings.Repeat("x", 201), false},
		{"nothing", "", false},
		{"segments", "a/b.c/d", true},
		{"dots in a segment", "a/..b/...", true},
		{"a segment of a dot", "a/./b", false},
		{"a segment of two", "a/../b", false},
		{"two dots alone", "..", false},
		{"one dot alone", ".", false},
		{"two dots at the end", "a/..", false},
		{"an empty segment", "a//b", false},
		{"a slash at the beginning", "/a", false},
		{"a slash at the end", "a/", false},
		{"a slash alone", "/", false},
		{"a newline", "a\nb", false},
		{"a newline at the end", "a\n", false},
		{"NUL", "a\x00", false},
		{"a star", "*", false},
		{"a semicolon", "a;b", false},
		{"a comma", "a,b", false},
		{"a space", "a b", false},
		{"an escape", "a%2fb", false},
		{"a letter that is not ASCII", "ä", false},
		{"not UTF-8", "a\xff", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ValidName(test.channel); got != test.valid {
				t.Errorf("ValidName(%q) = %t", test.channel, got)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{PerMember: -1}, {Channels: -1}} {
		if _, err := New[int](o); err == nil {
			t.Errorf("New(%+v) took a negative limit", o)
		}
	}
	if h := newHub(t, Options{}); h.opts != (Options{PerMember: 128, Channels: 100000}) {
		t.Errorf("defaults: %+v", h.opts)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHub(b, Options{})
			seats := make([]Seat[int], n)
			for i := range seats {
				h.Join(&seats[i], fmt.Sprint(i), nobody{})
				h.Subscribe(&seats[i], "c")
			}
			b.ReportAllocs()
			for b.Loop() {
				h.Publish("c", 1, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
		})
	}
}

type nobody struct{}

func (nobody) Deliver(int) bool { return true }
