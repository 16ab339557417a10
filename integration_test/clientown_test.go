package integration_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

func ptr[T any](v T) *T { return &v }

func TestClientFrames(t *testing.T) {
	hello := []byte("Hello")
	for _, test := range []struct {
		name string
		f    frame
		want string
	}{
		{"unmasked text, RFC 6455 5.7", frame{fin: true, op: opText, unmasked: true, payload: hello}, "81 05 48656c6c6f"},
		{"masked text, RFC 6455 5.7", frame{fin: true, op: opText, key: testKey, payload: hello}, "81 85 37fa213d 7f9f4d5158"},
		{"first fragment, RFC 6455 5.7", frame{op: opText, unmasked: true, payload: hello[:3]}, "01 03 48656c"},
		{"last fragment, RFC 6455 5.7", frame{fin: true, unmasked: true, payload: hello[3:]}, "80 02 6c6f"},
		{"unmasked ping, RFC 6455 5.7", frame{fin: true, op: opPing, unmasked: true, payload: hello}, "89 05 48656c6c6f"},
		{"masked pong, RFC 6455 5.7", frame{fin: true, op: opPong, key: testKey, payload: hello}, "8a 85 37fa213d 7f9f4d5158"},
		{"length too long a form", frame{fin: true, op: opBinary, unmasked: true, form: form64, payload: hello[:1]}, "82 7f 0000000000000001 48"},
		{"16-bit form of nothing, RSV1 and RSV3", frame{rsv: 5, op: opPong, unmasked: true, form: form16}, "5a 7e 0000"},
		{"claims 2^40 bytes", frame{fin: true, op: opBinary, unmasked: true, claim: ptr(uint64(1 << 40))}, "82 7f 0000010000000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, want := test.f.appendTo(nil), unhex(t, test.want); !bytes.Equal(got, want) {
				t.Errorf("appendTo = %x, want %x", got, want)
			}
		})
	}
}

func TestClientReadsStrictly(t *testing.T) {
	for _, test := range []struct{ name, wire, want string }{
		{"text", "81 05 48656c6c6f", `1 "Hello"`},
		{"ping between fragments", "01 03 48656c 89 00 80 02 6c6f", `1 "Hello"`},
		{"binary of 126 bytes", "82 7e 007e" + strings.Repeat("00", 126), ""},
		{"masked frame", "81 85 37fa213d 7f9f4d5158", "masked"},
		{"RSV1", "c1 00", "reserved"},
		{"opcode 3", "83 00", "opcode"},
		{"opcode 11", "8b 00", "opcode"},
		{"16-bit length of 125", "82 7e 007d", "length 125"},
		{"64-bit length of 65535", "82 7f 000000000000ffff", "length 65535"},
		{"fragmented ping", "09 00", "control frame"},
		{"long pong", "8a 7e 007e", "control frame"},
		{"text inside a text", "01 00 81 00", "within a message"},
		{"continuation of nothing", "80 00", "within a message"},
		{"text not UTF-8", "81 02 c328", "not UTF-8"},
		{"rune cut by a fragment", "01 01 c3 80 01 a9", `1 "é"`},
		{"close of one byte", "88 01 03", "Close payload"},
		{"close 1005", "88 02 03ed", "Close code"},
		{"close 1000", "88 02 03e8", "closed with 1000"},
		{"end inside a frame", "81 05 48", "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			c := &client{conn: ours, r: bufio.NewReader(ours), timeout: clientTimeout}
			go func() {
				theirs.Write(unhex(t, test.wire))
				theirs.Close()
			}()
			op, data, err := c.message()
			got := fmt.Sprintf("%d %q", op, data)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("message() = %s, want %s", got, test.want)
			}
		})
	}
}

func TestClientRefusesFramesAfterClose(t *testing.T) {
	ours, theirs := net.Pipe()
	c := &client{conn: ours, r: bufio.NewReader(ours), timeout: clientTimeout, silent: true}
	go func() {
		theirs.Write(unhex(t, "88 02 03e8 81 00"))
		theirs.Close()
	}()
	var ce *closeError
	if _, _, err := c.message(); !errors.As(err, &ce) || ce.code != 1000 {
		t.Errorf("message() = %v, want Close 1000", err)
	}
	if _, err := c.frame(); !errors.Is(err, errServer) {
		t.Errorf("frame() after Close = %v, want %v", err, errServer)
	}
}

func TestClientHandshake(t *testing.T) {
	h := handshake{
		address: "127.0.0.1:80", path: "/ws?a=b", omit: []string{"connection"},
		lines: []string{"host: example.com", "Cookie: a=1", "Cookie: b=2"}, after: []byte("!"),
	}
	got := string(h.bytes("k"))
	want := "GET /ws?a=b HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: k\r\nhost: example.com\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n!"
	if got != want {
		t.Errorf("bytes = %q, want %q", got, want)
	}
	h = handshake{raw: []byte("GET / HTTP/1.0\r\nKey: %KEY%\r\n\r\n")}
	if got, want := string(h.bytes("k")), "GET / HTTP/1.0\r\nKey: k\r\n\r\n"; got != want {
		t.Errorf("raw bytes = %q, want %q", got, want)
	}
}

// TestClientAgainstReference runs the client against a server of a few lines,
// whose accept value is the one computed in RFC 6455 section 1.3.
func TestClientAgainstReference(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		req, err := http.ReadRequest(bufio.NewReader(theirs))
		if err != nil || req.Header.Get("Sec-WebSocket-Version") != "13" {
			return
		}
		io.WriteString(theirs, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi")
	}()
	c := &client{conn: ours, r: bufio.NewReader(ours), timeout: clientTimeout}
	raw := "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if err := c.open(handshake{raw: []byte(raw)}); err != nil {
		t.Fatal(err)
	}
	c.wantText(t, "hi")
	c.wantEnd(t)
	// With a key of our own the same accept value must be refused.
	if got, want := acceptOf("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("acceptOf = %s, want %s", got, want)
	}
}

func TestFragments(t *testing.T) {
	for _, test := range []struct {
		name  string
		sizes []int
		want  string
	}{
		{"none: one frame", nil, "t+5"},
		{"cuts give one frame more", []int{1, 2}, "t1 c2 c+2"},
		{"empty ones stay", []int{0, 5, 0}, "t0 c5 c0 c+0"},
		{"sizes past the end are empty", []int{9, 9}, "t5 c0 c+0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, f := range fragments(opText, []byte("Hello"), test.sizes...) {
				s := map[opcode]string{opText: "t", opContinuation: "c"}[f.op]
				if f.fin {
					s += "+"
				}
				got = append(got, s+string('0'+rune(len(f.payload))))
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("fragments = %s, want %s", s, test.want)
			}
		})
	}
}
