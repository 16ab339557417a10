package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// frame returns a frame as a client sends it.
func frame(fin bool, op Opcode, payload string) string {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b := make([]byte, 0, maxHeader+len(payload))
	b = appendHeader(b, header{fin: fin, op: op, masked: true, key: key, length: uint64(len(payload))})
	b = append(b, payload...)
	mask(b[len(b)-len(payload):], key, 0)
	return string(b)
}

const (
	more = false // frames of a message follow
	last = true
)

// decode feeds pieces to d one after the other. It returns the events, each as
// its opcode and payload, and checks what next promises on the way.
func decode(t testing.TB, d *decoder, pieces ...string) (events []string, err error) {
	t.Helper()
	total := d.held()
	for _, piece := range pieces {
		b := []byte(piece)
		total += len(b)
		for {
			ev, n, err := d.next(b)
			if err != nil {
				if n != 0 || ev.op != 0 || ev.payload != nil {
					t.Errorf("next = %v, %d, %v; want nothing but the error", ev, n, err)
				}
				if _, _, again := d.next([]byte(frame(last, Text, "after"))); again != err {
					t.Errorf("after %v, next: %v; want the same", err, again)
				}
				if d.held() != 0 || d.pending() {
					t.Errorf("after %v: %d bytes held, pending %t", err, d.held(), d.pending())
				}
				return events, err
			}
			if most := 2*int(min(int64(total), d.maxMessage)) + minBuffer + 2*maxControl; d.held() > most {
				t.Errorf("%d bytes held after another %d were sent, want at most %d", d.held(), len(piece), most)
			}
			b = b[n:]
			if ev.op == 0 {
				if len(b) != 0 {
					t.Errorf("no event, but %d bytes left", len(b))
				}
				break
			}
			if cap(ev.payload) > len(ev.payload) && len(b) > 0 && &ev.payload[:1][0] == &b[0] {
				t.Errorf("payload %q reaches into the bytes after it", ev.payload)
			}
			events = append(events, fmt.Sprintf("%v %q", ev.op, ev.payload))
			if ev.op == opClose {
				if ev, n, err := d.next([]byte("\xff\xff")); ev.op != 0 || n != 2 || err != nil {
					t.Errorf("after a close frame, next = %v, %d, %v; want all ignored", ev, n, err)
				}
				if d.held() != 0 || d.pending() {
					t.Errorf("after a close frame: %d bytes held, pending %t", d.held(), d.pending())
				}
			}
		}
	}
	return events, nil
}

// code returns the close code that err asks for, zero for none.
func code(err error) StatusCode {
	if fault, ok := errors.AsType[*ProtocolError](err); ok {
		return fault.Code
	}
	return 0
}

// checkDecode checks what becomes of wire, whole, byte by byte and cut in two
// everywhere.
func checkDecode(t *testing.T, maxMessage int64, wire string, want []string, wantCode StatusCode) {
	t.Helper()
	check := func(how string, pieces ...string) {
		t.Helper()
		got, err := decode(t, &decoder{maxMessage: maxMessage}, pieces...)
		if !slices.Equal(got, want) || code(err) != wantCode {
			t.Errorf("%s: %q, %v; want %q, code %d", how, got, err, want, wantCode)
		}
	}
	check("whole", wire)
	raw := make([]string, len(wire)) // Split would join what happens to be UTF-8
	for i := range len(wire) {
		raw[i] = wire[i : i+1]
	}
	check("byte by byte", raw...)
	for i := range len(wire) {
		check(fmt.Sprintf("cut at %d", i), wire[:i], wire[i:])
	}
}

// What the cases of the Autobahn test suite say is in the conformance tables.
func TestDecoder(t *testing.T) {
	hello := frame(last, Text, "Hello")
	for _, test := range []struct {
		name string
		wire string
		want []string
		code StatusCode // of the error; zero for none
	}{
		{"nothing", "", nil, 0},
		{"masked hello, RFC 6455 5.7", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", []string{`text "Hello"`}, 0},
		{"masked with a key of zeros", "\x82\x82\x00\x00\x00\x00ab", []string{`binary "ab"`}, 0},
		{"messages back to back", hello + frame(last, Binary, "\xff") + hello, []string{`text "Hello"`, `binary "\xff"`, `text "Hello"`}, 0},
		{"unmasked", "\x81\x01A", nil, StatusProtocolError},
		{"unmasked and empty", "\x81\x00", nil, StatusProtocolError},
		{"unmasked ping", "\x89\x00", nil, StatusProtocolError},
		{"unmasked close", "\x88\x02\x03\xe8", nil, StatusProtocolError},
		{"a second HTTP request", "GET / HTTP/1.1\r\n", nil, StatusProtocolError},
		{"length not in its shortest form", "\x82\xfe\x00\x7d\x00\x00\x00\x00", nil, StatusProtocolError},
		{"64-bit length with the top bit", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", nil, StatusProtocolError},
		{"binary inside a text", frame(more, Text, "a") + frame(last, Binary, "b"), nil, StatusProtocolError},
		{"binary in fragments keeps its kind", frame(more, Binary, "\xff") + frame(last, opContinuation, "\xfe"), []string{`binary "\xff\xfe"`}, 0},
		{"control frames after a message in fragments", frame(more, Text, "a") + frame(last, opContinuation, "b") + frame(last, opPing, "p"), []string{`text "ab"`, `ping "p"`}, 0},
		{"only the last fragment has bytes", frame(more, Text, "") + frame(last, opContinuation, "end"), []string{`text "end"`}, 0},
		{"character cut by a fragment", frame(more, Text, "\xc3") + frame(last, opContinuation, "\xa9"), []string{`text "é"`}, 0},
		{"character cut by a fragment and a ping", frame(more, Text, "\xf0\x9f") + frame(last, opPing, "\xff") + frame(last, opContinuation, "\x98\x80"), []string{`ping "\xff"`, `text "😀"`}, 0},
		{"bad UTF-8 in an unfinished message", frame(more, Text, "\xff"), nil, StatusInvalidData},
		{"bad UTF-8 in an unfinished frame", frame(last, Text, "ab\xffcd")[:9], nil, StatusInvalidData},
		{"good text, then bad", hello + frame(last, Text, "\xc0"), []string{`text "Hello"`}, StatusInvalidData},
		{"text ends inside a character", frame(last, Text, "\xc3"), nil, StatusInvalidData},
		{"text in fragments ends inside a character", frame(more, Text, "\xc3") + frame(last, opContinuation, ""), nil, StatusInvalidData},
		{"a character does not go on in the next message", frame(last, Binary, "\xc3") + frame(last, Text, "\xa9"), []string{`binary "\xc3"`}, StatusInvalidData},
		{"close, then noise", frame(last, opClose, "") + "\xff\xff\xff", []string{`close ""`}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkDecode(t, 1<<20, test.wire, test.want, test.code)
		})
	}
}

func TestDecoderText(t *testing.T) {
	for _, test := range goodText {
		t.Run(test.name, func(t *testing.T) {
			checkDecode(t, 1<<20, frame(last, Text, test.text), []string{fmt.Sprintf("text %q", test.text)}, 0)
			var wire string
			op := Text
			for i := range len(test.text) {
				wire += frame(more, op, test.text[i:i+1])
				op = opContinuation
			}
			if op == opContinuation {
				checkDecode(t, 1<<20, wire+frame(last, op, ""), []string{fmt.Sprintf("text %q", test.text)}, 0)
			}
		})
	}
	for _, test := range badText {
		t.Run(test.name, func(t *testing.T) {
			text := string(unhex(t, test.hex))
			wire := frame(last, Text, text)
			checkDecode(t, 1<<20, wire, nil, StatusInvalidData)

			// It is refused at the byte that proves it, and not before.
			before := len(wire) - len(text) + min(test.at, len(text)) - 1
			d := decoder{maxMessage: 1 << 20}
			if _, err := decode(t, &d, wire[:before]); err != nil {
				t.Errorf("after %d bytes of text: %v", min(test.at, len(text))-1, err)
			}
			if _, err := decode(t, &d, wire[before:before+1]); code(err) != StatusInvalidData {
				t.Errorf("after %d bytes of text: %v; want 1007", min(test.at, len(text)), err)
			}
		})
	}
}

// What lies in the bytes read as a whole isn't copied; the payload is unmasked
// where it stands.
func TestDecoderDoesNotCopy(t *testing.T) {
	for _, test := range []struct {
		name, wire string
	}{
		{"text", frame(last, Text, "Hello")},
		{"ping", frame(last, opPing, "Hello")},
		{"message after an empty fragment", frame(more, Text, "") + frame(last, opContinuation, "Hello")},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := []byte(test.wire + "\xff")
			d := decoder{maxMessage: 16}
			ev, n, err := d.next(b)
			if string(ev.payload) != "Hello" || n != len(b)-1 || err != nil {
				t.Fatalf("next = %q, %d, %v", ev.payload, n, err)
			}
			if &ev.payload[0] != &b[n-5] || cap(ev.payload) != 5 {
				t.Errorf("payload was copied, or has room for %d bytes", cap(ev.payload))
			}
		})
	}
}

func BenchmarkDecoder(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 64 << 10} {
		for _, op := range []Opcode{Text, Binary} {
			b.Run(fmt.Sprintf("%v/%d", op, size), func(b *testing.B) {
				wire := []byte(frame(last, op, strings.Repeat("a", size)))
				buf := bytes.Clone(wire)
				d := decoder{maxMessage: 1 << 20}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					copy(buf, wire) // next has unmasked it
					if ev, n, err := d.next(buf); ev.op != op || n != len(buf) || err != nil {
						b.Fatal(ev.op, n, err)
					}
				}
			})
		}
	}
}
