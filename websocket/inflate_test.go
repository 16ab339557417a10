package websocket

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"
	"testing"
)

// inflate is what a connection makes of a deflated message.
func inflate(payload []byte, op Opcode, limit int64) ([]byte, *ProtocolError) {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	size, fault := f.measure(payload, true, op, limit)
	if fault != nil {
		return nil, fault
	}
	if size <= inflateRoom {
		return bytes.Clone(f.room[:size]), nil
	}
	b := make([]byte, size)
	f.fill(b, payload)
	return b, nil
}

// zipped is s as a client deflates it.
func zipped(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), tail)
}

// stored is s in a block that is not compressed.
func stored(final byte, s string) string {
	n := len(s)
	return string([]byte{final, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}) + s
}

const (
	helloFixed = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692, section 7.2.3.1
	helloFinal = "\xf3\x48\xcd\xc9\xc9\x07\x00" // its block with BFINAL set, section 7.2.3.4
)

func TestInflate(t *testing.T) {
	big := strings.Repeat("a", inflateRoom)
	for _, test := range []struct {
		name, payload, want string
	}{
		{"RFC 7692 7.2.3.1, one block", helloFixed, "Hello"},
		{"RFC 7692 7.2.3.3, stored", "\x00\x05\x00\xfa\xffHello\x00", "Hello"},
		{"RFC 7692 7.2.3.4, a block with BFINAL", helloFinal + "\x00", "Hello"},
		{"RFC 7692 7.2.3.5, two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"},
		{"RFC 7692 7.2.3.6, empty", "\x00", ""},
		{"empty, as Chromium deflates it", "\x02\x00", ""},
		{"the last block is final and has lost its end, too", "\x00\x01\x00\xfe\xffa\x01", "a"},
		{"blocks behind one with BFINAL", helloFinal + helloFinal + helloFixed, "HelloHelloHello"},
		{"as many with BFINAL as there may be", strings.Repeat(helloFinal, maxFinals) + "\x00", strings.Repeat("Hello", maxFinals)},
		{"a stored block that ends as a message does", stored(0, "a\x00\x00\xff\xff") + "\x00", "a\x00\x00\xff\xff"},
		{"a stored block of the tail and more, with BFINAL", stored(1, tail+end) + "\x00", tail + end},
		{"many empty stored blocks", strings.Repeat(stored(0, ""), 1000) + "\x00", ""},
		{"a message as large as the room", zipped(big), big},
		{"a message that is larger", zipped(big + "b"), big + "b"},
		{"a larger one, in blocks with BFINAL", strings.Repeat(stored(1, big[:60000]), 3) + "\x00", strings.Repeat("a", 180000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, op := range []Opcode{Text, Binary} {
				if op == Text && strings.Contains(test.want, "\xff") {
					continue
				}
				got, fault := inflate([]byte(test.payload), op, int64(len(test.want)))
				if string(got) != test.want || fault != nil {
					t.Errorf("%v: %d bytes %.40q, %v; want %d", op, len(got), got, fault, len(test.want))
				}
			}
			if test.want != "" {
				if got, fault := inflate([]byte(test.payload), Binary, int64(len(test.want)-1)); fault == nil || fault.Code != StatusTooBig {
					t.Errorf("with a limit of one byte less: %d bytes, %v; want 1009", len(got), fault)
				}
			}
		})
	}
}

func TestInflateRefuses(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		op            Opcode
		code          StatusCode
	}{
		{"nothing, where a byte is the least", "", Binary, StatusInvalidData},
		{"a kind of block that there is not", "\x06", Binary, StatusInvalidData},
		{"a reference to before the message", "\x4a\x84\x03\x00", Binary, StatusInvalidData},
		{"a stored block whose lengths do not agree", "\x00\x05\x00\xfa\xfeHello\x00", Binary, StatusInvalidData},
		{"trailing garbage", helloFixed + "\xde\xad", Binary, StatusInvalidData},
		{"trailing garbage behind BFINAL", helloFinal + "\xde\xad\xbe\xef", Binary, StatusInvalidData},
		{"the tail is still there", helloFixed + tail + tail, Binary, StatusInvalidData},
		{"the last byte is missing", helloFixed[:6], Binary, StatusInvalidData},
		{"a byte behind BFINAL is missing", helloFinal, Binary, StatusInvalidData},
		{"the header of the last block is missing", stored(0, "Hello"), Binary, StatusInvalidData},
		{"half of it is missing", zipped(strings.Repeat("Hello, world! ", 50))[:10], Binary, StatusInvalidData},
		{"a stored block that takes part of the end for its own", stored(0, "abcde12345")[:10], Binary, StatusInvalidData},
		{"a stored block that takes all of the end for its own", stored(1, "a"+tail+end)[:6], Binary, StatusInvalidData},
		{"too many blocks with BFINAL", strings.Repeat(helloFinal, maxFinals+1) + "\x00", Binary, StatusPolicy},
		{"text that is not UTF-8", zipped("ab\xff"), Text, StatusInvalidData},
		{"text that ends inside a character", zipped("ab\xc3"), Text, StatusInvalidData},
		{"text that is bad behind the room", zipped(strings.Repeat("é", inflateRoom) + "\xff"), Text, StatusInvalidData},
		{"text that is bad, and too long behind that", zipped("\xff" + strings.Repeat("a", 2<<20)), Text, StatusInvalidData},
		{"a bomb", zipped(strings.Repeat("a", 4<<20)), Binary, StatusTooBig},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, fault := inflate([]byte(test.payload), test.op, 1<<20)
			if fault == nil || fault.Code != test.code {
				t.Errorf("%d bytes %.40q, %v; want code %d", len(got), got, fault, test.code)
			}
		})
	}
}

// The beginning of a good message is never refused.
func TestInflateBeginnings(t *testing.T) {
	for _, test := range []struct{ name, payload string }{
		{"one block", helloFixed},
		{"stored", "\x00\x05\x00\xfa\xffHello\x00"},
		{"blocks with BFINAL", helloFinal + helloFinal + "\x00"},
		{"text with characters of several bytes", zipped(strings.Repeat("aé€😀", 20))},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := inflaters.Get().(*inflater)
			for i := range len(test.payload) + 1 {
				if _, fault := f.measure([]byte(test.payload[:i]), false, Text, 1000); fault != nil {
					t.Errorf("%d of %d bytes: %v", i, len(test.payload), fault)
				}
			}
		})
	}
}

// A fault shows before the message ends.
func TestInflateLooksAhead(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		code          StatusCode
	}{
		{"text that is not UTF-8", zipped("ab\xff" + strings.Repeat("c", 100)), StatusInvalidData},
		{"a bomb", zipped(strings.Repeat("a", 2000)), StatusTooBig},
		{"no deflated data", "\x06\x00\x00", StatusInvalidData},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := inflaters.Get().(*inflater)
			if _, fault := f.measure([]byte(test.payload), false, Text, 1000); fault == nil || fault.Code != test.code {
				t.Errorf("%v; want code %d", fault, test.code)
			}
		})
	}
}

// FuzzInflate: of any bytes comes what compress/flate itself makes of them with
// the tail behind, or an error; never more than the limit, and no panic.
//
// A mutant it kills: measure that takes io.ErrUnexpectedEOF for the end.
func FuzzInflate(f *testing.F) {
	for _, seed := range []string{"", "\x00", helloFixed, helloFinal + "\x00", stored(1, "a"+tail+end)[:6], helloFinal + helloFixed,
		zipped(strings.Repeat("Hello", 1000)), stored(0, "Hello") + "\x00", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, payload []byte, raw bool) {
		const limit = 100_000
		if !raw {
			payload = []byte(zipped(string(payload)))
		}
		got, fault := inflate(payload, Binary, limit)
		if fault != nil && got != nil || len(got) > limit {
			t.Fatalf("%d bytes, %v", len(got), fault)
		}
		want, complete, finals := inflateSlowly(payload, limit)
		switch {
		case finals > maxFinals:
		case len(want) > limit:
			if fault == nil || fault.Code != StatusTooBig && fault.Code != StatusInvalidData {
				t.Errorf("%v; want 1009, or 1007 for what comes behind", fault)
			}
		case complete != (fault == nil):
			t.Errorf("%v; want an error: %t", fault, !complete)
		case complete && !bytes.Equal(got, want):
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	})
}

// inflateSlowly inflates payload and the tail with compress/flate alone. It is
// complete if it ends between two blocks, which shows by asking whether one
// byte more of a stored block that follows is all that comes of it.
func inflateSlowly(payload []byte, limit int) (b []byte, complete bool, finals int) {
	all := append(bytes.Clone(payload), tail...)
	run := func(wire []byte) (b []byte, err error, rest, finals int) {
		r := bytes.NewReader(wire)
		for {
			part, err := io.ReadAll(io.LimitReader(flate.NewReader(r), int64(limit+1-len(b))))
			b = append(b, part...)
			if err != nil || len(b) > limit || r.Len() == 0 {
				return b, err, r.Len(), finals
			}
			finals++
		}
	}
	b, err, _, finals := run(all)
	if err == nil {
		return b, len(b) <= limit, finals
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return b, false, finals
	}
	x, _, _, _ := run(append(bytes.Clone(all), stored(0, "x")...))
	y, _, _, _ := run(append(bytes.Clone(all), stored(0, "yz")...))
	return b, len(x) == len(b)+1 && x[len(b)] == 'x' && len(y) == len(b)+2 && string(y[len(b):]) == "yz", finals
}
