package websocket

import (
	"bufio"
	"bytes"
	"compress/flate"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// With -suite each case of groups 12 and 13 has 1000 messages, as in the
// Autobahn test suite; else as many as make a quarter of a MiB.
var suite = flag.Bool("suite", false, "play groups 12 and 13 in full")

// A zipCase is a case of the suite's groups 12 and 13: one connection, on which
// messages are deflated and come back as they were.
type zipCase struct {
	name   string
	op     Opcode
	data   string // messages are consecutive pieces of it, round and round
	offer  string
	answer string
	size   int
	cut    int // the deflated message is in frames of so many bytes; zero: in one
}

// zipCases are all cases of groups 12 and 13.
func zipCases() (cases []zipCase) {
	const (
		base     = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
		answered = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		none     = "; server_no_context_takeover"
	)
	json := jsonText(194 << 10)
	add := func(name string, op Opcode, data, offer, answer string) {
		for i := range 18 {
			c := zipCase{op: op, data: data, offer: offer, answer: answer}
			switch {
			case i < 10:
				c.size = []int{16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10}[i]
			case i < 15:
				c.size, c.cut = 8<<10<<(i-10), 256
			default:
				c.size, c.cut = 128<<10, []int{1024, 4096, 32768}[i-15]
			}
			c.name = fmt.Sprintf("%s.%d, %d bytes, cut %d", name, i+1, c.size, c.cut)
			cases = append(cases, c)
		}
	}
	prose := strings.Repeat("Über allen Gipfeln ist Ruh, in allen Wipfeln spürest du kaum einen Hauch; ", 3000)
	page := strings.Repeat("<li class=\"entry\"><a href=\"/articles/2024/some-title.html\">Some title</a> &middot; 12 comments</li>\n", 2700)
	bitmap := make([]byte, 263_000)
	r := rand.New(rand.NewPCG(12, 2))
	for i := range bitmap {
		bitmap[i] = byte(i/512) + byte(r.IntN(4))
	}
	add("12.1", Text, json, base, answered)
	add("12.2", Binary, string(bitmap), base, answered)
	add("12.3", Binary, prose, base, answered)
	add("12.4", Text, page, base, answered)
	add("12.5", Binary, noise(1_040_000), base, answered)

	// Windows of less than 15 are declined, so 3 and 5 are not deflated.
	add("13.1", Text, json, base, answered)
	add("13.2", Text, json, base+none, answered)
	add("13.3", Text, json, base+"; server_max_window_bits=9", "")
	add("13.4", Text, json, base+"; server_max_window_bits=15", answered+"; server_max_window_bits=15")
	add("13.5", Text, json, base+none+"; server_max_window_bits=9", "")
	add("13.6", Text, json, base+none+"; server_max_window_bits=15", answered+"; server_max_window_bits=15")
	add("13.7", Text, json, base+none+"; server_max_window_bits=9, "+base+none+", "+base, answered)
	return cases
}

func TestConformanceDeflate(t *testing.T) {
	cases := zipCases()
	if len(cases) != 90+126 {
		t.Errorf("%d cases, want 216", len(cases))
	}
	address := startEcho(t, "127.0.0.1:0").String()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			count := max(2, min(1000, 256<<10/c.size))
			switch {
			case *suite:
				count = 1000
			case raced:
				count = 2
			}
			c.play(t, address, count)
		})
	}
}

func (c zipCase) play(t *testing.T, address string, count int) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if !*suite {
		nc.SetDeadline(time.Now().Add(6 * patience))
	}
	io.WriteString(nc, edit("", "Sec-WebSocket-Extensions: "+c.offer))
	in := bufio.NewReader(nc)
	answer := ""
	for line := "\n"; line != "\r\n"; {
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if value, is := strings.CutPrefix(line, "Sec-WebSocket-Extensions: "); is {
			answer += strings.TrimSpace(value)
		}
	}
	if answer != c.answer {
		t.Fatalf("agreed on %q, want %q", answer, c.answer)
	}
	out := newTester()
	at, shorter := 0, 0
	for i := range count {
		message := ""
		for len(message) < c.size {
			n := min(c.size-len(message), len(c.data)-at)
			message += c.data[at : at+n]
			at = (at + n) % len(c.data)
		}
		go nc.Write(c.frames(out.deflate(message)))
		got, deflated, wire, err := out.read(in)
		if err != nil || got.op != c.op || got.payload != message {
			t.Fatalf("message %d: %v of %d bytes, %v; want %v of %d", i, got.op, len(got.payload), err, c.op, len(message))
		}
		if deflated && (answer == "" || wire >= len(message) || len(message) < minDeflate) {
			t.Errorf("message %d came deflated, %d bytes for %d", i, wire, len(message))
		}
		if deflated {
			shorter++
		}
	}
	if want := answer != "" && c.size >= minDeflate && !strings.HasPrefix(c.name, "12.5"); want != (shorter == count) || !want && shorter > 0 {
		t.Errorf("%d of %d messages came deflated", shorter, count)
	}
	io.WriteString(nc, closeFrame(1000, ""))
	if f, err := readFrame(in); f != closed(1000) || err != nil {
		t.Errorf("at the end: %v, %v", f, err)
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

// frames are those of a message, whose payload is deflated unless nothing was
// agreed on.
func (c zipCase) frames(plain, zip string) (wire []byte) {
	payload := zip
	if c.answer == "" {
		payload = plain
	}
	for op, first := c.op, true; ; op, first = opContinuation, false {
		n := len(payload)
		if c.cut > 0 {
			n = min(n, c.cut)
		}
		f := frame(n == len(payload), op, payload[:n])
		if first && c.answer != "" {
			f = reserved(4, f)
		}
		wire = append(wire, f...)
		if payload = payload[n:]; payload == "" {
			return wire
		}
	}
}

// A tester deflates and inflates with compress/flate alone.
type tester struct {
	buf   bytes.Buffer
	write *flate.Writer
}

func newTester() *tester {
	s := new(tester)
	w, err := flate.NewWriter(&s.buf, flate.DefaultCompression)
	if err != nil {
		panic(err)
	}
	s.write = w
	return s
}

func (s *tester) deflate(message string) (plain, zip string) {
	s.buf.Reset()
	s.write.Reset(&s.buf)
	io.WriteString(s.write, message)
	s.write.Flush()
	return message, strings.TrimSuffix(s.buf.String(), tail)
}

// read gives the next message, whether it came deflated, and its length so.
func (s *tester) read(in *bufio.Reader) (got gotFrame, deflated bool, wire int, err error) {
	var client inbox
	for len(client.got) == 0 {
		f, rsv1, err := readAnyFrame(in)
		if err == nil {
			err = client.add(f)
		}
		if err != nil {
			return gotFrame{}, false, 0, err
		}
		deflated = deflated || rsv1
	}
	got = client.got[0]
	wire = len(got.payload)
	if deflated {
		b, err := io.ReadAll(flate.NewReader(strings.NewReader(got.payload + tail + end)))
		if err != nil {
			return gotFrame{}, true, wire, err
		}
		got.payload = string(b)
	}
	return got, deflated, wire, nil
}
