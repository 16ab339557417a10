package websocket

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"
)

// unhex decodes s, in which spaces only separate fields.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseHeader(t *testing.T) {
	for _, test := range []struct {
		name string
		wire string // first byte, second byte, length, key
		want header
	}{
		{"text, RFC 6455 5.7", "81 05", header{fin: true, op: Text, length: 5}},
		{"masked text, RFC 6455 5.7", "81 85 37fa213d",
			header{fin: true, op: Text, length: 5, masked: true, key: [4]byte{0x37, 0xfa, 0x21, 0x3d}}},
		{"masked with a key of zeros", "81 85 00000000", header{fin: true, op: Text, length: 5, masked: true}},
		{"first fragment", "01 03", header{op: Text, length: 3}},
		{"middle fragment", "00 03", header{op: opContinuation, length: 3}},
		{"last fragment", "80 03", header{fin: true, op: opContinuation, length: 3}},
		{"longest 7-bit length", "82 7d", header{fin: true, op: Binary, length: 125}},
		{"shortest 16-bit length", "82 7e 007e", header{fin: true, op: Binary, length: 126}},
		{"longest 16-bit length", "82 7e ffff", header{fin: true, op: Binary, length: 65535}},
		{"shortest 64-bit length", "82 7f 0000000000010000", header{fin: true, op: Binary, length: 65536}},
		{"longest 64-bit length", "82 ff 7fffffffffffffff 01020304",
			header{fin: true, op: Binary, length: math.MaxInt64, masked: true, key: [4]byte{1, 2, 3, 4}}},
		{"deflated text", "c1 07", header{fin: true, deflated: true, op: Text, length: 7}},
		{"first fragment of a deflated message", "42 03", header{deflated: true, op: Binary, length: 3}},
		{"close", "88 02", header{fin: true, op: opClose, length: 2}},
		{"longest ping", "89 7d", header{fin: true, op: opPing, length: 125}},
		{"empty pong", "8a 00", header{fin: true, op: opPong}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := unhex(t, test.wire)
			for _, after := range []string{"", "ff", "8100"} {
				got, n, err := parseHeader(append(wire[:len(wire):len(wire)], unhex(t, after)...), test.want.deflated)
				if got != test.want || n != len(wire) || err != nil {
					t.Errorf("parseHeader(%x, then %s) = %+v, %d, %v; want %+v, %d", wire, after, got, n, err, test.want, len(wire))
				}
			}
			if back := appendHeader(nil, test.want); !bytes.Equal(back, wire) {
				t.Errorf("appendHeader(%+v) = %x, want %x", test.want, back, wire)
			}
			// A header cut anywhere is incomplete, never wrong.
			for i := range wire {
				if h, n, err := parseHeader(wire[:i], test.want.deflated); h != (header{}) || n != 0 || err != nil {
					t.Errorf("parseHeader(%x) = %+v, %d, %v; want incomplete", wire[:i], h, n, err)
				}
			}
		})
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		at         int // how many bytes prove it
		reason     string
	}{
		{"RSV3", "91 00", 1, "reserved bit"},
		{"RSV2", "a1 00", 1, "reserved bit"},
		{"RSV1 without an extension", "c1 00", 1, "reserved bit"},
		{"all reserved bits on a close", "f8 00", 1, "reserved bit"},
		{"RSV1 on a continuation", "c0 00", 1, "reserved bit"},
		{"RSV1 on a continuation that is not the last", "40 00", 1, "reserved bit"},
		{"RSV1 on a close", "c8 00", 1, "reserved bit"},
		{"RSV1 on a ping", "c9 00", 1, "reserved bit"},
		{"RSV1 on a pong", "ca 00", 1, "reserved bit"},
		{"RSV1 on opcode 3", "c3 00", 1, "reserved bit"},
		{"RSV1 and RSV2", "e1 00", 1, "reserved bit"},
		{"RSV1 and RSV3", "d1 00", 1, "reserved bit"},
		{"opcode 3", "83 00", 1, "reserved opcode 0x3"},
		{"opcode 4", "84 00", 1, "reserved opcode 0x4"},
		{"opcode 5", "85 00", 1, "reserved opcode 0x5"},
		{"opcode 6", "86 00", 1, "reserved opcode 0x6"},
		{"opcode 7", "87 00", 1, "reserved opcode 0x7"},
		{"opcode 11", "8b 00", 1, "reserved opcode 0xb"},
		{"opcode 12", "8c 00", 1, "reserved opcode 0xc"},
		{"opcode 13", "8d 00", 1, "reserved opcode 0xd"},
		{"opcode 14", "8e 00", 1, "reserved opcode 0xe"},
		{"opcode 15", "8f 00", 1, "reserved opcode 0xf"},
		{"fragmented close", "08 00", 1, "fragmented close"},
		{"fragmented ping", "09 00", 1, "fragmented ping"},
		{"fragmented pong", "0a 00", 1, "fragmented pong"},
		{"ping of 126 bytes", "89 fe 007e", 2, "ping of more than 125"},
		{"close of 64-bit length", "88 ff 0000000000010000", 2, "close of more than 125"},
		{"16-bit length of 0", "82 7e 0000", 4, "shortest form"},
		{"16-bit length of 125, masked", "82 fe 007d 01020304", 4, "shortest form"},
		{"64-bit length of 0", "82 7f 0000000000000000", 10, "shortest form"},
		{"64-bit length of 65535", "82 7f 000000000000ffff", 10, "shortest form"},
		{"64-bit length with top bit", "82 ff 8000000000000000 01020304", 10, "63 bits"},
		{"64-bit length of all ones", "82 ff ffffffffffffffff 01020304", 10, "63 bits"},
	} {
		check := func(t *testing.T, mayDeflate bool) {
			wire := unhex(t, test.wire)
			for i := range len(wire) + 1 {
				h, n, err := parseHeader(wire[:i], mayDeflate)
				if h != (header{}) || n != 0 {
					t.Errorf("parseHeader(%x) = %+v, %d; want nothing", wire[:i], h, n)
				}
				if i < test.at {
					if err != nil {
						t.Errorf("parseHeader(%x): %v; want incomplete", wire[:i], err)
					}
					continue
				}
				if err == nil || err.Code != StatusProtocolError || !strings.Contains(err.Reason, test.reason) {
					t.Errorf("parseHeader(%x): %v; want 1002 about %q", wire[:i], err, test.reason)
				}
			}
		}
		t.Run(test.name, func(t *testing.T) {
			check(t, false)
			if !strings.Contains(test.name, "without an extension") {
				check(t, true)
			}
		})
	}
}

func TestOpcodeString(t *testing.T) {
	want := []string{"continuation", "text", "binary", "", "", "", "", "", "close", "ping", "pong"}
	for op := range Opcode(16) {
		name := "reserved"
		if int(op) < len(want) && want[op] != "" {
			name = want[op]
		}
		if got := op.String(); got != name {
			t.Errorf("Opcode(%d).String() = %q, want %q", op, got, name)
		}
	}
}

// FuzzHeader: whatever parses is given back byte for byte.
//
// A mutant it kills: parseHeader that takes 125 bytes in 16 bits.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		"81 05", "82 ff 0000000000010000 01020304", "82 7e 007e", "82 7e 007d", "82 7f 000000000000ffff", "89 7d", "c1 00", "0a 00", "82 fe 00",
	} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, mayDeflate := range []bool{false, true} {
			h, n, err := parseHeader(b, mayDeflate)
			switch {
			case n == 0 && h != header{}:
				t.Errorf("parseHeader(%x) = %+v, 0, %v; want no header", b, h, err)
			case err != nil && n != 0:
				t.Errorf("parseHeader(%x) = _, %d, %v; want no size", b, n, err)
			case err == nil && n == 0 && len(b) >= maxHeader:
				t.Errorf("parseHeader(%x) wants more than %d bytes", b, maxHeader)
			case n > len(b) || n > maxHeader || h.length > math.MaxInt64:
				t.Errorf("parseHeader(%x) = %+v, %d", b, h, n)
			case n > 0 && !bytes.Equal(appendHeader(nil, h), b[:n]):
				t.Errorf("parseHeader(%x) came back as %x", b[:n], appendHeader(nil, h))
			case h.deflated && (!mayDeflate || h.op != Text && h.op != Binary):
				t.Errorf("parseHeader(%x, %t) = %+v", b, mayDeflate, h)
			}
		}
	})
}

func BenchmarkParseHeader(b *testing.B) {
	for _, bench := range []struct {
		name   string
		length uint64
	}{{"7bit", 100}, {"16bit", 1000}, {"64bit", 1 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			wire := appendHeader(nil, header{fin: true, op: Binary, masked: true, length: bench.length})
			b.ReportAllocs()
			for b.Loop() {
				if _, n, _ := parseHeader(wire, false); n != len(wire) {
					b.Fatal(n)
				}
			}
		})
	}
}
