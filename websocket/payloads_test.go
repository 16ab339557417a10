package websocket

import (
	"io"
	"strings"
	"testing"
)

func TestPayloadSize(t *testing.T) {
	const kib, many = 1 << 10, 1 << 50
	for _, test := range []struct {
		name string
		n    int
		most uint64
		want int
	}{
		{"a first read of 64 KiB, much to come", 64*kib - 14, many, 128 * kib},
		{"a byte less of it", 64*kib - 15, many, 64 * kib},
		{"a full buffer", 128 * kib, many, 256 * kib},
		{"one that will take less than twice as much", 64*kib - 14, 90 * kib, 128 * kib},
		{"one that fits in what there is", 40 * kib, 60 * kib, 64 * kib},
		{"exactly a power of two in all", 40 * kib, 64 * kib, 64 * kib},
		{"a byte more in all", 40 * kib, 64*kib + 1, 64 * kib},
		{"a byte more in all, of which half has come", 64 * kib, 64*kib + 1, 128 * kib},
		{"a whole message", 64 * kib, 64 * kib, 64 * kib},
		{"a whole message of a byte more", 64*kib + 1, 64*kib + 1, 128 * kib},
		{"one byte", 1, many, 16},
	} {
		got := payloadSize(test.n, test.most)
		if got != test.want {
			t.Errorf("%s: payloadSize(%d, %d) = %d, want %d", test.name, test.n, test.most, got, test.want)
		}
		if got < test.n || got > 2*(test.n+maxHeader) {
			t.Errorf("%s: %d bytes for %d that came", test.name, got, test.n)
		}
	}
}

// A buffer that is taken has room for what it is taken for, be it new, kept, or
// of a size that is not kept.
func TestPayloadsAreKeptBySize(t *testing.T) {
	for range 3 {
		for _, n := range []int{1, minPayload - 1, minPayload, minPayload + 1, 2 * minPayload, maxPayload - 1, maxPayload, maxPayload + 1} {
			b := takePayload(n)
			if len(b) != 0 || cap(b) < n || cap(b) > n+n/2 {
				t.Errorf("takePayload(%d): %d of %d bytes", n, len(b), cap(b))
			}
			givePayload(b[:cap(b)])
		}
	}
	if i := payloadIndex(maxPayload); i != payloadSizes-1 || payloadIndex(minPayload) != 0 {
		t.Errorf("the largest is of index %d, want %d", i, payloadSizes-1)
	}
}

// directReads has d read wire from a socket that gives at most most bytes at a
// time, the first of them first, into a loop's buffer. It returns the events and
// how many reads went straight to the message.
func directReads(t *testing.T, d *decoder, wire string, first, most int) (events []string, direct int, err error) {
	t.Helper()
	buf := make([]byte, readSize)
	came := 0
	for from := strings.NewReader(wire[:first]); ; from = strings.NewReader(wire[came:]) {
		b := d.into(buf)
		n, end := from.Read(b[:min(len(b), most)])
		if end == io.EOF && came > 0 {
			return events, direct, nil
		}
		came += n
		if n > 0 && &b[0] != &buf[0] {
			direct++
		}
		for rest := b[:n]; ; {
			ev, used, err := d.next(rest)
			if err != nil {
				return events, direct, err
			}
			if d.held() > max(2*came, minBuffer) {
				t.Fatalf("%d bytes held of %d that came", d.held(), came)
			}
			rest = rest[used:]
			if ev.op == 0 {
				break
			}
			events = append(events, ev.op.String()+" "+string(ev.payload))
			d.release()
			if d.held() != 0 && d.kind == opContinuation {
				t.Fatalf("%d bytes held after a message", d.held())
			}
		}
	}
}

// Where bytes are read to never changes what they mean, wherever the reads end.
func TestDecoderReadsStraightIntoTheMessage(t *testing.T) {
	long := func(n int) string { return strings.Repeat("straight into κόσμε ", n/25+1)[:n] }
	text := strings.ToValidUTF8(long(300_000), "?")
	for _, test := range []struct {
		name   string
		wire   string
		want   []string
		direct bool // some reads at least, of 64 KiB
		code   StatusCode
	}{
		{"a message of some size", frame(last, Binary, long(100_000)), []string{"binary " + long(100_000)}, true, 0},
		{"a text, cut inside characters", frame(last, Text, text), []string{"text " + text}, true, 0},
		{"the limit", frame(last, Binary, long(1<<20)), []string{"binary " + long(1<<20)}, true, 0},
		{"two messages, one behind the other", frame(last, Binary, long(200_000)) + frame(last, Text, "next"), []string{"binary " + long(200_000), "text next"}, true, 0},
		{"fragments with a ping between", frame(more, Binary, long(150_000)) + frame(last, opPing, "p") + frame(last, opContinuation, long(90_000)),
			[]string{"ping p", "binary " + long(150_000) + long(90_000)}, true, 0},
		{"many small fragments", strings.Repeat(frame(more, Binary, "")+frame(last, opContinuation, "x"), 100), nil, false, 0},
		{"text that is not UTF-8 at its end", frame(last, Text, text+"\xff"), nil, true, StatusInvalidData},
		{"a close frame behind it", frame(last, Binary, long(100_000)) + closeFrame(1000, "bye"), []string{"binary " + long(100_000), "close " + "\x03\xe8bye"}, true, 0},
		{"a frame that is not masked behind it", frame(last, Binary, long(100_000)) + "\x82\x01x", []string{"binary " + long(100_000)}, true, StatusProtocolError},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.want == nil && test.code == 0 {
				for range 100 {
					test.want = append(test.want, "binary x")
				}
			}
			ends := []int{1, 6, 13, 14, 15, 16<<10 + 13, 16<<10 + 14, 16<<10 + 15, readSize - 1, readSize, 1 << 20}
			for _, first := range ends {
				for _, most := range []int{1000, 16 << 10, readSize, 100_001, maxDirect} {
					if raced && most != 16<<10 && most != maxDirect {
						continue
					}
					events, direct, err := directReads(t, &decoder{maxMessage: 1 << 20}, test.wire, min(first, len(test.wire)), most)
					if strings.Join(events, "\n") != strings.Join(test.want, "\n") || code(err) != test.code {
						t.Fatalf("first %d, then %d a read: %d events, %v; want %d, code %d", first, most, len(events), err, len(test.want), test.code)
					}
					if most == readSize && first == readSize && direct > 0 != test.direct {
						t.Errorf("%d reads went straight to the message, want some %t", direct, test.direct)
					}
				}
			}
		})
	}
}

// What is given back is another's: the poison build shows who still reads it.
func TestPayloadIsGoodUntilRelease(t *testing.T) {
	text := strings.Repeat("x", 100_000)
	d := decoder{maxMessage: 1 << 20}
	wire := []byte(frame(last, Binary, text))
	if ev, n, err := d.next(wire[:50_000]); ev.op != 0 || n != 50_000 || err != nil {
		t.Fatal(ev.op, n, err)
	}
	ev, _, err := d.next(wire[50_000:])
	if err != nil || string(ev.payload) != text {
		t.Fatalf("%d bytes, %v", len(ev.payload), err)
	}
	d.release()
	if poisons() && (ev.payload[0] != 0xdb || ev.payload[len(text)-1] != 0xdb) {
		t.Error("a payload that was let go is as before")
	}
	d.release()
	if d.held() != 0 || d.pending() {
		t.Errorf("%d bytes held, pending %t", d.held(), d.pending())
	}
}

// poisons reports whether this is the build that overwrites what is given back.
func poisons() bool {
	b := []byte{1}
	poison(b)
	return b[0] != 1
}
