package fastcgi

import (
	"fmt"
	"strings"
	"testing"
)

// transcript feeds wire in pieces of n bytes and writes down the events. Data
// that belongs together is joined, so that cuts do not show.
func transcript(m *mux, wire []byte, n int) string {
	var b strings.Builder
	last := ""
	for len(wire) > 0 {
		part := wire[:min(n, len(wire))]
		wire = wire[len(part):]
		for len(part) > 0 {
			ev, took, err := m.next(part)
			part = part[took:]
			if err != nil {
				fmt.Fprintf(&b, "|error: %v", err)
				return b.String()
			}
			kind := ""
			switch ev.kind {
			case evStdout:
				kind = fmt.Sprintf("|out %d ", ev.id)
			case evStderr:
				kind = fmt.Sprintf("|err %d ", ev.id)
			case evEnd:
				fmt.Fprintf(&b, "|end %d status %d", ev.id, ev.status)
			case evResult:
				fmt.Fprintf(&b, "|result shares %t proves %t", ev.shares, ev.proves)
			case evNotOffered:
				b.WriteString("|not offered")
			case noEvent:
				continue
			}
			if kind != last {
				b.WriteString(kind)
			}
			last = kind
			b.Write(ev.data)
		}
	}
	return b.String()
}

func TestMux(t *testing.T) {
	out := func(id uint16, s string) string { return string(rec(typeStdout, id, s)) }
	end := func(id uint16) string { return string(endRecord(id, 0)) }
	result := func(v string) string { return string(resultRecord(v)) }
	for _, test := range []struct {
		name   string
		begin  int // requests begun; more than one: the server multiplexes
		asks   int
		wire   string
		events string
	}{
		{"a whole reply", 1, 0, out(1, "hi") + end(1), "|out 1 hi|end 1 status 0"},
		{"an empty STDOUT means nothing", 1, 0, out(1, "") + end(1), "|end 1 status 0"},
		{"padding is skipped", 1, 0, string(padded(typeStdout, 1, "hi", 255)) + string(padded(typeEnd, 1, "\x00\x00\x00\x00\x00xyz", 7)), "|out 1 hi|end 1 status 0"},
		{"STDERR apart", 1, 0, string(rec(typeStderr, 1, "e")) + out(1, "o") + end(1), "|err 1 e|out 1 o|end 1 status 0"},
		{"an answer behind END proves", 1, 1, end(1) + result("0"), "|end 1 status 0|result shares false proves true"},
		{"an answer before END proves nothing", 1, 1, result("0") + end(1), "|result shares false proves false|end 1 status 0"},
		{"of two answers behind END only the last proves", 1, 2, end(1) + result("0") + result("0"), "|end 1 status 0|result shares false proves false|result shares false proves true"},
		{"an empty answer is none", 1, 1, end(1) + string(rec(typeResult, 0, "")) + result("1"), "|end 1 status 0|result shares true proves true"},
		{"an empty answer more is nothing", 1, 1, end(1) + result("1") + string(rec(typeResult, 0, "")), "|end 1 status 0|result shares true proves true"},
		{"an answer more than questions", 1, 1, end(1) + result("0") + result("0"), "|end 1 status 0|result shares false proves true|error: answer to a question that was not asked"},
		{"an answer with other values", 1, 1, end(1) + string(rec(typeResult, 0, "\x01\x01Nv"+"\x0f\x01FCGI_MPXS_CONNS1")), "|end 1 status 0|result shares true proves true"},
		{"an answer that is cut", 1, 1, string(rec(typeResult, 0, "\x0f\x01FCGI")), "|error: malformed name-value pair"},
		{"an answer over 1 KiB", 1, 1, string(rec(typeResult, 0, strings.Repeat("x", 1025))), "|error: management record of 1025 bytes"},
		{"a server that does not know the question", 1, 1, end(1) + string(rec(typeUnknown, 0, "\x09\x00\x00\x00\x00\x00\x00\x00")), "|end 1 status 0|not offered"},
		{"not knowing what was not asked", 1, 0, end(1) + string(rec(typeUnknown, 0, "\x09\x00\x00\x00\x00\x00\x00\x00")), "|end 1 status 0|error: answer to a question that was not asked"},
		{"not knowing is an answer too", 1, 1, end(1) + string(rec(typeUnknown, 0, "\x09\x00\x00\x00\x00\x00\x00\x00")) + result("0"), "|end 1 status 0|not offered|error: answer to a question that was not asked"},
		{"only 1 says that it multiplexes", 1, 3, end(1) + result("2") + result("") + result("01"), "|end 1 status 0|result shares false proves false|result shares false proves false|result shares false proves true"},
		{"not knowing, of 1 KiB", 1, 1, end(1) + string(rec(typeUnknown, 0, strings.Repeat("x", 1024))), "|end 1 status 0|not offered"},
		{"an empty END", 1, 0, string(rec(typeEnd, 1, "")), "|error: END_REQUEST not of 8 bytes"},
		{"END of 9 bytes", 1, 0, string(rec(typeEnd, 1, "123456789")), "|error: END_REQUEST not of 8 bytes"},
		{"UNKNOWN_ROLE is the last status", 1, 0, string(endRecord(1, 3)) + out(1, ""), "|end 1 status 3|error: record of type 6 for request 1, which is not in flight"},
		{"an application's status is not ours to judge", 1, 0, string(rec(typeEnd, 1, "\xff\xff\xff\xff\x00\x00\x00\x00")), "|end 1 status 0"},
		{"a garbage reserved byte", 1, 0, "\x01\x06\x00\x01\x00\x01\x00\xffx" + end(1), "|out 1 x|end 1 status 0"},
		{"the highest id of all", 1, 0, out(sharedLimit, "x"), "|error: record of type 6 for request 8, which is not in flight"},
		{"an id above all", 1, 0, out(sharedLimit+1, "x"), "|error: record of type 6 for request 9, which is not in flight"},
		{"a record after END", 1, 0, end(1) + out(1, "stale"), "|end 1 status 0|error: record of type 6 for request 1, which is not in flight"},
		{"END twice", 1, 0, end(1) + end(1), "|end 1 status 0|error: record of type 3 for request 1, which is not in flight"},
		{"the id of nobody", 1, 0, out(2, "x"), "|error: record of type 6 for request 2, which is not in flight"},
		{"an id that is never used", 1, 0, out(65535, "x"), "|error: record of type 6 for request 65535, which is not in flight"},
		{"two replies, interleaved", 2, 0, out(1, "a") + out(2, "b") + out(1, "c") + end(2) + end(1), "|out 1 a|out 2 b|out 1 c|end 2 status 0|end 1 status 0"},
		{"CANT_MPX_CONN", 2, 0, string(endRecord(2, 1)) + end(1), "|end 2 status 1|end 1 status 0"},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes at a time", test.name, n), func(t *testing.T) {
				m := &mux{shared: test.begin > 1}
				for i := range test.begin {
					if id, ok := m.begin(); int(id) != i+1 || !ok {
						t.Fatalf("begin gave %d, %t", id, ok)
					}
				}
				for range test.asks {
					m.ask()
				}
				if got := transcript(m, []byte(test.wire), n); got != test.events {
					t.Errorf("%s\nwant %s", got, test.events)
				}
			})
		}
	}
}

func TestMuxIDs(t *testing.T) {
	m := new(mux)
	if id, ok := m.begin(); id != 1 || !ok {
		t.Fatalf("first id %d, %t", id, ok)
	}
	if _, ok := m.begin(); ok {
		t.Fatal("a second request on a connection that does not multiplex")
	}
	m.shared = true
	for want := uint16(2); want <= sharedLimit; want++ {
		if id, ok := m.begin(); id != want || !ok {
			t.Fatalf("id %d, %t; want %d", id, ok, want)
		}
	}
	if _, ok := m.begin(); ok {
		t.Fatal("one request over the limit")
	}
	transcript(m, endRecord(3, 0), 1<<20)
	if id, ok := m.begin(); id != 3 || !ok {
		t.Errorf("after END of 3: id %d, %t; want the lowest free one", id, ok)
	}
}

func TestMuxMidRecord(t *testing.T) {
	wire := padded(typeStdout, 1, "hello", 9)
	for i := range wire {
		m := new(mux)
		m.begin()
		transcript(m, wire[:i], 1<<20)
		if want := i > 0 && i < headerLen+5; m.midRecord() != want {
			t.Errorf("after %d bytes: %t, want %t", i, m.midRecord(), want)
		}
	}
}

// FuzzMux: no record reaches a request that did not ask for it, and how the
// bytes are cut never changes what they mean.
//
// It kills an openRecord that does not look whether the id is in flight.
func FuzzMux(f *testing.F) {
	f.Add(append(whole(1, "", "hi"), resultRecord("0")...), uint8(1), uint8(1), uint16(0))
	f.Add(append(rec(typeStdout, 3, "x"), endRecord(2, 1)...), uint8(4), uint8(0), uint16(2))
	f.Add(padded(typeStderr, 1, "e", 255), uint8(1), uint8(2), uint16(1))
	for _, c := range captured {
		if c.name != "big" {
			f.Add(capture(f, c.name), uint8(1), uint8(c.requests), uint16(6))
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte, begin, asks uint8, cut uint16) {
		fresh := func() *mux {
			m := &mux{shared: true}
			for range min(begin, sharedLimit) {
				m.begin()
			}
			for range asks {
				m.ask()
			}
			return m
		}
		m := fresh()
		asked := map[uint16]bool{}
		for id := range uint16(min(begin, sharedLimit)) {
			asked[id+1] = true
		}
		for b := wire; len(b) > 0; {
			ev, n, err := m.next(b)
			if n < 0 || n > len(b) || n == 0 && err == nil && ev.kind == noEvent {
				t.Fatalf("took %d of %d", n, len(b))
			}
			b = b[n:]
			if err != nil {
				if _, n, again := m.next([]byte{1}); n != 0 || again == nil {
					t.Fatal("an error is not final")
				}
				break
			}
			switch ev.kind {
			case evStdout, evStderr, evEnd:
				if !asked[ev.id] {
					t.Fatalf("record for request %d, which is not in flight", ev.id)
				}
				if ev.kind == evEnd {
					delete(asked, ev.id)
				}
			}
			if len(asked) != m.active {
				t.Fatalf("%d in flight, mux says %d", len(asked), m.active)
			}
		}
		if a, b := transcript(fresh(), wire, int(cut)+1), transcript(fresh(), wire, len(wire)+1); a != b {
			t.Fatalf("%q\n%q", a, b)
		}
	})
}
