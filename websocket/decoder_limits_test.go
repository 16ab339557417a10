package websocket

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestDecoderMaxMessage(t *testing.T) {
	const limit = 16
	digits := "0123456789abcdefg" // one more than the limit
	header17 := frame(last, Binary, digits)[:6]
	for _, test := range []struct {
		name string
		wire string
		want []string
		code StatusCode
	}{
		{"below", frame(last, Binary, digits[:15]), []string{`binary "0123456789abcde"`}, 0},
		{"at", frame(last, Binary, digits[:16]), []string{`binary "0123456789abcdef"`}, 0},
		{"above", frame(last, Binary, digits), nil, StatusTooBig},
		{"above, by its header alone", header17, nil, StatusTooBig},
		{"2^63-1 bytes, by its header alone", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", nil, StatusTooBig},
		{"sum below", frame(more, Text, digits[:10]) + frame(last, opContinuation, digits[10:15]), []string{`text "0123456789abcde"`}, 0},
		{"sum at", frame(more, Text, digits[:10]) + frame(last, opContinuation, digits[10:16]), []string{`text "0123456789abcdef"`}, 0},
		{"sum above", frame(more, Text, digits[:10]) + frame(last, opContinuation, digits[10:]), nil, StatusTooBig},
		{"sum above, by the header of its second fragment", frame(more, Text, digits[:10]) + frame(last, opContinuation, digits[10:])[:6], nil, StatusTooBig},
		{"sum above in the middle", frame(more, Text, digits[:10]) + frame(more, opContinuation, digits[10:16]) + frame(more, opContinuation, "g"), nil, StatusTooBig},
		{"sum at, then an empty fragment", frame(more, Text, digits[:16]) + frame(last, opContinuation, ""), []string{`text "0123456789abcdef"`}, 0},
		{"sum at, with a ping that does not count", frame(more, Text, digits[:10]) + frame(last, opPing, digits) + frame(last, opContinuation, digits[10:16]),
			[]string{`ping "0123456789abcdefg"`, `text "0123456789abcdef"`}, 0},
		{"two messages do not add up", frame(last, Text, digits[:16]) + frame(last, Text, digits[:16]), []string{`text "0123456789abcdef"`, `text "0123456789abcdef"`}, 0},
		{"two messages in fragments do not add up", strings.Repeat(frame(more, Text, digits[:10])+frame(last, opContinuation, digits[10:16]), 2),
			[]string{`text "0123456789abcdef"`, `text "0123456789abcdef"`}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkDecode(t, limit, test.wire, test.want, test.code)
		})
	}
}

func TestDecoderMaxEmptyFrames(t *testing.T) {
	empty := frame(more, opContinuation, "")
	message := frame(more, Text, "a") + strings.Repeat(empty, maxEmptyFrames-1)
	for _, test := range []struct {
		name string
		wire string
		want []string
		code StatusCode
	}{
		{"127, then the last with a byte", message + frame(last, opContinuation, "b"), []string{`text "ab"`}, 0},
		{"128, of which the last ends the message", message + frame(last, opContinuation, ""), []string{`text "a"`}, 0},
		{"128, then the last with a byte", message + empty + frame(last, opContinuation, "b"), []string{`text "ab"`}, 0},
		{"129", message + empty + empty, nil, StatusPolicy},
		{"129, of which the last ends the message", message + empty + frame(last, opContinuation, ""), nil, StatusPolicy},
		{"129, with bytes between", message + frame(more, opContinuation, "b") + empty + empty, nil, StatusPolicy},
		{"128 in each of two messages", strings.Repeat(message+frame(last, opContinuation, ""), 2), []string{`text "a"`, `text "a"`}, 0},
		{"pings do not count", message + frame(last, opPing, "") + frame(last, opPing, "") + frame(last, opContinuation, ""), []string{`ping ""`, `ping ""`, `text "a"`}, 0},
		{"300 empty messages", strings.Repeat(frame(last, Binary, ""), 300), strings.Split(strings.Repeat(`binary "",`, 299)+`binary ""`, ","), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkDecode(t, 1<<20, test.wire, test.want, test.code)
		})
	}
}

// Fragments that carry a byte each are bounded by their bytes alone: case
// 9.3.1 needs 65,537 frames in one message.
func TestDecoderManyFragments(t *testing.T) {
	d := decoder{maxMessage: 1 << 20}
	if _, err := decode(t, &d, frame(more, Binary, "")); err != nil {
		t.Fatal(err)
	}
	fragment := frame(more, opContinuation, "x")
	for i := range 65535 {
		if _, err := decode(t, &d, fragment); err != nil {
			t.Fatalf("fragment %d: %v", i, err)
		}
	}
	if d.held() > 2*65535 {
		t.Errorf("%d bytes held for 65535 that came", d.held())
	}
	events, err := decode(t, &d, frame(last, opContinuation, "y"))
	if want := fmt.Sprintf("binary %q", strings.Repeat("x", 65535)+"y"); err != nil || len(events) != 1 || events[0] != want {
		t.Errorf("%d events, %v; want the whole message", len(events), err)
	}
	if d.held() != 0 {
		t.Errorf("%d bytes held between messages", d.held())
	}
}

// What a header claims costs nothing: memory follows the bytes that came.
func TestDecoderGrowsWithWhatCame(t *testing.T) {
	t.Run("2^40 bytes claimed", func(t *testing.T) {
		held := 0
		for range 1000 {
			d := decoder{maxMessage: 1 << 50}
			if _, err := decode(t, &d, "\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00\x01\x02\x03\x04abc"); err != nil {
				t.Fatal(err)
			}
			held += d.held()
		}
		if held > 1000*minBuffer {
			t.Errorf("1000 peers that sent 3 bytes hold %d", held)
		}
	})
	t.Run("1 MiB in one frame, read in parts", func(t *testing.T) {
		wire := frame(last, Binary, strings.Repeat("x", 1<<20))
		d := decoder{maxMessage: 8 << 20}
		for start := 0; start+1000 < len(wire); start += 1000 {
			if _, err := decode(t, &d, wire[start:start+1000]); err != nil {
				t.Fatal(err)
			}
			if came := start + 1000; d.held() > 2*came {
				t.Fatalf("%d bytes held of %d that came", d.held(), came)
			}
		}
		if d.held() != 1<<20 {
			t.Errorf("%d bytes held at the end, want 1 MiB", d.held())
		}
	})
	t.Run("small message in two reads", func(t *testing.T) {
		wire := frame(last, Binary, "0123456789")
		d := decoder{maxMessage: 1 << 20}
		if _, err := decode(t, &d, wire[:10]); err != nil || d.held() != 10 {
			t.Errorf("%d bytes held, %v; want 10", d.held(), err)
		}
	})
	t.Run("fragment not the last, at the limit", func(t *testing.T) {
		d := decoder{maxMessage: 600}
		_, err := decode(t, &d, frame(more, Binary, strings.Repeat("x", 599)), frame(more, opContinuation, "x"))
		if err != nil || d.held() > 600 {
			t.Errorf("%d bytes held, %v; want at most 600", d.held(), err)
		}
	})
}

func TestDecoderHolds(t *testing.T) {
	for _, test := range []struct {
		name    string
		wire    string
		pending bool
		held    bool
	}{
		{"nothing came", "", false, false},
		{"part of a header", "\x81", true, false},
		{"a header", frame(last, Text, "ab")[:6], true, false},
		{"part of a payload", frame(last, Text, "ab")[:7], true, true},
		{"a message", frame(last, Text, "ab"), false, false},
		{"a fragment", frame(more, Text, "ab"), true, true},
		{"an empty fragment", frame(more, Text, ""), true, false},
		{"a message in fragments", frame(more, Text, "ab") + frame(last, opContinuation, ""), false, false},
		{"part of a ping", frame(last, opPing, "ab")[:7], true, true},
		{"a ping", frame(last, opPing, "ab"), false, false},
		{"a ping inside a message", frame(more, Text, "") + frame(last, opPing, "ab"), true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decoder{maxMessage: 16}
			for i := range len(test.wire) {
				if _, err := decode(t, &d, test.wire[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			if d.pending() != test.pending || d.held() > 0 != test.held {
				t.Errorf("pending %t, %d bytes held; want %t, some %t", d.pending(), d.held(), test.pending, test.held)
			}
		})
	}
}

func TestDecoderIsSmall(t *testing.T) {
	// One of these belongs to each idle connection. What else allocates
	// meanwhile is nothing beside this many.
	const many = 1 << 16
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	all := make([]decoder, many)
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(all)
	if size := (after.TotalAlloc - before.TotalAlloc) / many; size > 128 {
		t.Errorf("a decoder takes %d bytes, want at most 128", size)
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	for _, test := range []struct{ name, wire string }{
		{"text in one frame", frame(last, Text, "Hello")},
		{"ping", frame(last, opPing, "Hello")},
		{"header cut in the middle", frame(last, Binary, "Hello")},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decoder{maxMessage: 16}
			buf := make([]byte, len(test.wire))
			allocs := testing.AllocsPerRun(100, func() {
				copy(buf, test.wire)
				d.next(buf[:3])
				d.next(buf[3:])
			})
			if allocs != 0 {
				t.Errorf("%v allocations, want 0", allocs)
			}
		})
	}
}
