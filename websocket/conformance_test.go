package websocket

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A script is what a client does on one connection of an echo server, and what
// it gets for it: everything, in order, and nothing else. Names begin with the
// number of the case in the Autobahn test suite; "own" is what that leaves out.
//
// The suite is content where a server fails later than it could, or without a
// close frame. These tests are not.
type script struct {
	name  string
	chop  int   // bytes in a write where the wire is chopped; zero: 7
	own   style // the suite's, for scripts that are too long for every one
	steps []step
	lazy  func() []step // instead of steps, where they are large
	end   Closing       // what the server's side is told
	drops bool          // what comes before the close frame may be dropped

	deflate Deflate // agreed on
}

// A step is what a client sends and then waits for before it sends more.
type step struct {
	send []string // each part is a write of its own where frames are flushed
	want []gotFrame
}

func (s script) play() []step {
	if s.lazy != nil {
		return s.lazy()
	}
	return s.steps
}

// clean is a script at whose end the client closes with 1000, which has to be
// answered in kind.
func clean(name string, steps ...step) script {
	return script{name: name, steps: append(steps, closes(1000)), end: Closing{1000, "", ByClient}}
}

// fails is a script whose last step proves a fault, for which the server
// closes with code on its own.
func fails(name string, code StatusCode, steps ...step) script {
	last := &steps[len(steps)-1]
	last.want = append(last.want, closed(code))
	return script{name: name, steps: steps, end: Closing{code, "", ByServer}}
}

// late is s with more that the client sends, though the server has closed.
func (s script) late(send ...string) script {
	s.steps = append(s.steps, step{send: send})
	return s
}

func sends(frames ...string) step                   { return step{send: frames} }
func (s step) gets(want ...gotFrame) step           { s.want = want; return s }
func message(op Opcode, payload string) gotFrame    { return gotFrame{op, true, payload} }
func closed(code StatusCode) gotFrame               { return message(opClose, string(appendClose(nil, code, ""))) }
func closes(code StatusCode) step                   { return sends(closeFrame(code, "")).gets(closed(code)) }
func closeFrame(code StatusCode, why string) string { return frame(last, opClose, u16(code)+why) }
func u16(code StatusCode) string                    { return string([]byte{byte(code >> 8), byte(code)}) }
func echoed(op Opcode, payload string) step {
	return sends(frame(last, op, payload)).gets(message(op, payload))
}
func reserved(bits byte, frame string) string {
	return string([]byte{frame[0] | bits<<4}) + frame[1:]
}

// conformance is every case of the suite's groups 1 to 7, 9 and 10, and more.
func conformance() []script {
	return slices.Concat(framing(), pings(), reservedBits(), reservedOpcodes(), fragmentation(),
		texts(), closings(), sizes(), ownFraming(), ownClosings(), ownDeflate())
}

// The numbers of the cases there are in each part of the suite. Group 8 and
// some parts do not exist; 12 and 13 are in conformance_zip_test.go.
var caseCounts = map[string]int{
	"1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20,
	"6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2, "6.9": 4, "6.10": 3, "6.11": 5,
	"6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5, "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8,
	"6.22": 34, "6.23": 7,
	"7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2,
	"9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6, "10.1": 1,
}

func TestConformanceIsComplete(t *testing.T) {
	seen, own := map[string]bool{}, 0
	for _, s := range conformance() {
		number, about, _ := strings.Cut(s.name, " ")
		if number == "own" {
			number = s.name
			own++
		}
		if seen[number] || about == "" {
			t.Errorf("%q is there twice, or says nothing", s.name)
		}
		seen[number] = true
	}
	for _, wrong := range badSequences() {
		t.Errorf("%s: the table's verdict is not that of Go's library", wrong)
	}
	total := 0
	for part, count := range caseCounts {
		total += count
		for i := range count {
			if number := fmt.Sprintf("%s.%d", part, i+1); !seen[number] {
				t.Errorf("no case %s", number)
			}
		}
	}
	if total != 301 || len(seen) != total+own {
		t.Errorf("%d cases of the suite and %d own make %d; want 301 and the rest own", total, own, len(seen))
	}
	t.Logf("%d cases of the suite, %d of our own", total, own)
}

// A style is a way in which a client's bytes become writes.
type style int

const (
	inOneWrite style = iota
	perFrame
	perByte
	chopped
)

func (st style) String() string {
	return [...]string{"in one write", "a write for each frame", "byte by byte", "chopped"}[st]
}

// cut makes the writes of what s sends at once.
func (st style) cut(s script, send []string) []string {
	switch st {
	case perFrame:
		return send
	case perByte:
		return chopString(strings.Join(send, ""), 1)
	case chopped:
		return chopString(strings.Join(send, ""), cmp.Or(s.chop, 7))
	}
	return []string{strings.Join(send, "")}
}

// styles gives those in which s, of so many bytes, is played where a byte by
// itself costs a system call or two.
func (s script) styles(length int) []style {
	switch {
	case length > 16<<20 || raced && length > 256<<10:
		return []style{s.own}
	case length > 4<<10:
		return []style{inOneWrite, perFrame, chopped}
	}
	return []style{inOneWrite, perFrame, perByte, chopped}
}

func chopString(s string, n int) (parts []string) {
	for len(s) > n {
		parts, s = append(parts, s[:n]), s[n:]
	}
	return append(parts, s)
}

func wireLength(steps []step) (n int) {
	for _, st := range steps {
		for _, part := range st.send {
			n += len(part)
		}
	}
	return n
}

// An inbox puts together what a server sends, and refuses what it must not.
type inbox struct {
	got   []gotFrame // messages and control frames, in the order of their ends
	op    Opcode     // of the message that has begun
	parts []string
	shut  bool // a close frame was the last
}

func (in *inbox) add(f gotFrame) error {
	switch {
	case in.shut:
		return fmt.Errorf("%v frame after the close frame", f.op)
	case f.op.control():
		in.shut = f.op == opClose
		in.got = append(in.got, f)
		return nil
	case (f.op == opContinuation) != (in.op != opContinuation):
		return fmt.Errorf("%v frame within a message of %v", f.op, in.op)
	case f.op != opContinuation:
		in.op = f.op
	}
	in.parts = append(in.parts, f.payload)
	if f.fin {
		in.got = append(in.got, message(in.op, strings.Join(in.parts, "")))
		in.op, in.parts = opContinuation, nil
	}
	return nil
}

// take gives what has come and empties the inbox.
func (in *inbox) take() []gotFrame {
	got := in.got
	in.got = nil
	return got
}

// differ says how got is not want, shortly.
func differ(got, want []gotFrame) string {
	if slices.Equal(got, want) {
		return ""
	}
	brief := func(list []gotFrame) string {
		var b strings.Builder
		for _, f := range list {
			fmt.Fprintf(&b, " %v(%d) %.40q", f.op, len(f.payload), f.payload)
		}
		return b.String()
	}
	return "client got" + brief(got) + "; want" + brief(want)
}
