package websocket

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendMessage(t *testing.T) {
	for _, test := range []struct {
		name     string
		op       Opcode
		payload  string
		fragment int
		want     string
	}{
		{"hello, RFC 6455 5.7", Text, "Hello", 64, "81 05 48656c6c6f"},
		{"fragmented hello, RFC 6455 5.7", Text, "Hello", 3, "01 03 48656c 80 02 6c6f"},
		{"empty text", Text, "", 1, "81 00"},
		{"empty binary", Binary, "", 64, "82 00"},
		{"below the fragment", Binary, "ab", 3, "82 02 6162"},
		{"at the fragment", Binary, "abc", 3, "82 03 616263"},
		{"above the fragment", Binary, "abcd", 3, "02 03 616263 80 01 64"},
		{"twice the fragment: no empty frame at the end", Text, "abcdef", 3, "01 03 616263 80 03 646566"},
		{"three frames", Text, "abc", 1, "01 01 61 00 01 62 80 01 63"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := append([]byte("before"), unhex(t, test.want)...)
			got := appendMessage([]byte("before"), test.op, []byte(test.payload), test.fragment)
			if !bytes.Equal(got, want) {
				t.Errorf("appendMessage = %x, want %x", got, want)
			}
		})
	}
}

func TestAppendControl(t *testing.T) {
	for _, test := range []struct {
		name    string
		op      Opcode
		payload string
		want    string
	}{
		{"empty ping", opPing, "", "89 00"},
		{"pong", opPong, "Hello", "8a 05 48656c6c6f"},
		{"close", opClose, "\x03\xe8", "88 02 03e8"},
		{"longest", opPing, strings.Repeat("a", 125), "89 7d " + strings.Repeat("61", 125)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, want := appendControl(nil, test.op, []byte(test.payload)), unhex(t, test.want); !bytes.Equal(got, want) {
				t.Errorf("appendControl = %x, want %x", got, want)
			}
		})
	}
}

func TestEncodeRefusesOurOwnMistakes(t *testing.T) {
	for _, test := range []struct {
		name string
		call func()
	}{
		{"control frame as a message", func() { appendMessage(nil, opPing, nil, 1) }},
		{"continuation as a message", func() { appendMessage(nil, opContinuation, nil, 1) }},
		{"frames of no bytes", func() { appendMessage(nil, Text, nil, 0) }},
		{"message as a control frame", func() { appendControl(nil, Text, nil) }},
		{"control frame of 126 bytes", func() { appendControl(nil, opPong, make([]byte, 126)) }},
		{"bytes that are no frame", func() { nextFrame([]byte{0xff, 0xff}) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if s := fmt.Sprint(recover()); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("recover() = %q, want a BUG", s)
				}
			}()
			test.call()
		})
	}
}

func TestNextFrame(t *testing.T) {
	var wire []byte
	var ends []int // of the frames in wire
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536} {
		wire = appendMessage(wire, Binary, make([]byte, size), 1<<20)
		ends = append(ends, len(wire))
		wire = appendControl(wire, opPong, make([]byte, min(size, maxControl)))
		ends = append(ends, len(wire))
	}
	start := 0
	for _, end := range ends {
		if got := nextFrame(wire[start:]); got != end-start {
			t.Fatalf("nextFrame at %d = %d, want %d", start, got, end-start)
		}
		for _, cut := range []int{start, start + 1, start + (end-start)/2, end - 1} {
			if got := nextFrame(wire[start:min(cut, end-1)]); got != 0 {
				t.Errorf("nextFrame of %d bytes of %s = %d, want 0", cut-start, hex.EncodeToString(wire[start:start+2]), got)
			}
		}
		start = end
	}
}

// FuzzMessage: what is sent is the message, in as many frames as it takes and
// in nothing else, to a reader that goes by the specification's letter.
//
// A mutant it kills: appendMessage whose second frame still has the message's
// opcode.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(""), uint16(1), true)
	f.Add([]byte("Hello"), uint16(3), true)
	f.Add([]byte("abcdef"), uint16(3), false)
	f.Add(make([]byte, 126), uint16(125), false)
	f.Add(make([]byte, 65536), uint16(65535), false)
	f.Fuzz(func(t *testing.T, payload []byte, fragment uint16, text bool) {
		op, size := Binary, int(fragment)+1
		if text && utf8.Valid(payload) {
			op = Text
		}
		b := appendMessage(nil, op, payload, size)
		var masked []byte // as a client would have to send it
		frames := 0
		for rest := b; len(rest) > 0; frames++ {
			n := nextFrame(rest)
			if n == 0 {
				t.Fatalf("%x is not a whole frame", rest)
			}
			h, head, err := parseHeader(rest, false)
			if err != nil || h.masked || int(h.length) > size || h.fin != (n == len(rest)) {
				t.Fatalf("frame %d of %x: %+v, %v", frames, b, h, err)
			}
			masked = append(masked, rest[0], rest[1]|0x80)
			masked = append(masked, rest[2:head]...)
			masked = append(masked, 0, 0, 0, 0)
			masked = append(masked, rest[head:n]...)
			rest = rest[n:]
		}
		if want := max(1, (len(payload)+size-1)/size); frames != want {
			t.Errorf("%d bytes in frames of %d: %d frames, want %d", len(payload), size, frames, want)
		}
		want := []string{fmt.Sprintf("%v %q", op, payload)}
		if got := referee(masked, 1<<40); !slices.Equal(got.events, want) || got.fail != 0 {
			t.Errorf("read as %q, code %d; want %q", got.events, got.fail, want)
		}
	})
}

func BenchmarkAppendMessage(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			payload, buf := make([]byte, size), make([]byte, 0, size+maxHeader)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				appendMessage(buf, Text, payload, 64<<10)
			}
		})
	}
}
