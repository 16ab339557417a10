package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Frame heads of a client: FIN and opcode.
const (
	text   = 0x81
	binry  = 0x82
	closed = 0x88
	ping   = 0x89
	pong   = 0x8A
)

// serve serves g on a listener of its own and returns its address.
func serve(t testing.TB, g *Gateway) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		g.Shutdown(ctx)
		if err := receive(t, served); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// lines gives a request: a handshake for target with the fields changed. One
// "Name: value" takes the place of the field of that name, "-Name" takes it
// away, "+Name: value" adds another.
func lines(target string, fields ...string) string {
	all := []string{"Host: ws.example", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	method := "GET"
	for _, f := range fields {
		if m, is := strings.CutPrefix(f, "method "); is {
			method = m
			continue
		}
		if add, is := strings.CutPrefix(f, "+"); is {
			all = append(all, add)
			continue
		}
		bare, without := strings.CutPrefix(f, "-")
		name, _, _ := strings.Cut(bare, ":")
		kept := all[:0]
		for _, line := range all {
			if n, _, _ := strings.Cut(line, ":"); n != name {
				kept = append(kept, line)
			}
		}
		if all = kept; !without {
			all = append(all, f)
		}
	}
	return method + " " + target + " HTTP/1.1\r\n" + strings.Join(all, "\r\n") + "\r\n\r\n"
}

// A client is a connection seen from outside.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

// connect opens a connection and sends raw.
func connect(t testing.TB, address, raw string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	c := &client{t, nc, bufio.NewReader(nc)}
	c.write([]byte(raw))
	return c
}

// dial opens a WebSocket at /ws.
func dial(t testing.TB, address string, fields ...string) *client {
	t.Helper()
	c := connect(t, address, lines("/ws", fields...))
	if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %s", r.Status)
	}
	return c
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("client's write: %v", err)
	}
}

func (c *client) response() *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: "GET"})
	if err != nil {
		c.t.Fatalf("reading the answer to a handshake: %v", err)
	}
	return r
}

// wantEOF expects nothing more but the end of the stream.
func (c *client) wantEOF() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		c.t.Fatalf("client got %.80q, %v; want the end of the stream", rest, err)
	}
}

// frame is a client's frame, masked.
func frame(head byte, payload string) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// say sends texts in one write.
func (c *client) say(texts ...string) {
	c.t.Helper()
	var b []byte
	for _, s := range texts {
		b = append(b, frame(text, s)...)
	}
	c.write(b)
}

// read gives the next frame.
func (c *client) read() (head byte, payload string, err error) {
	var b [2]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return 0, "", err
	}
	n := uint64(b[1])
	if extra := map[byte]int{126: 2, 127: 8}[b[1]]; extra > 0 {
		var long [8]byte
		if _, err := io.ReadFull(c.in, long[8-extra:]); err != nil {
			return 0, "", err
		}
		n = binary.BigEndian.Uint64(long[:])
	}
	p := make([]byte, n)
	_, err = io.ReadFull(c.in, p)
	return b[0], string(p), err
}

// want expects a frame to be the next.
func (c *client) want(head byte, payload string) {
	c.t.Helper()
	h, p, err := c.read()
	if err != nil || h != head || p != payload {
		c.t.Fatalf("client got %x %.100q, %v; want %x %.100q", h, p, err, head, payload)
	}
}

// hear expects texts to be next, in this order.
func (c *client) hear(texts ...string) {
	c.t.Helper()
	for _, s := range texts {
		c.want(text, s)
	}
}

// wantClose expects a close frame to be next, answers it, expects the end, and
// closes.
func (c *client) wantClose(code uint16, reason string) {
	c.t.Helper()
	payload := binary.BigEndian.AppendUint16(nil, code)
	c.want(closed, string(payload)+reason)
	c.Write(frame(closed, string(payload)))
	if _, err := io.Copy(io.Discard, c.in); err != nil {
		c.t.Fatalf("after the close frame: %v; want the end of the stream", err)
	}
	c.Close()
}

// wantError expects the message for a failure and returns its seq.
func (c *client) wantError(word string) (seq int) {
	c.t.Helper()
	head, payload, err := c.read()
	var e struct {
		Error, Connection string
		Seq               int
	}
	d := json.NewDecoder(strings.NewReader(payload))
	d.DisallowUnknownFields()
	if err = errors.Join(err, d.Decode(&e)); err != nil || head != text || e.Error != word || len(e.Connection) != 32 {
		c.t.Fatalf("client got %x %.200q, %v; want error %s of a connection", head, payload, err, word)
	}
	return e.Seq
}

// reset ends the connection as a machine does that knows nothing of it.
func (c *client) reset() {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// numbered gives texts from format and the numbers from..to-1.
func numbered(format string, from, to int) (texts []string) {
	for i := from; i < to; i++ {
		texts = append(texts, fmt.Sprintf(format, i))
	}
	return texts
}

// joined gives all frames in one piece.
func joined(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// tryVisit connects, sends some messages, reads some answers and leaves, in
// ways that r chooses. The error is that of the handshake.
func tryVisit(address string, r *rand.Rand) error {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(nc)
	if _, err := io.WriteString(nc, lines("/ws")); err != nil {
		return err
	}
	response, err := http.ReadResponse(in, &http.Request{Method: "GET"})
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("not let in: %w", err)
	}
	var b []byte
	n := r.IntN(20)
	for i := range n {
		switch r.IntN(12) {
		case 2:
			b = append(b, frame(text, "header WS-Close: 4000")...)
		case 0:
			b = append(b, frame(text, "status 500 x")...)
		case 1:
			b = append(b, frame(binry, "big 3000")...)
		default:
			b = append(b, frame(text, fmt.Sprint("echo ", i))...)
		}
	}
	switch r.IntN(6) {
	case 1:
		b = append(b, 0xff, 0xff)
	case 2:
		b = append(b, frame(closed, "\x03\xe8")...)
	}
	nc.Write(b)
	c := &client{in: in}
	for range r.IntN(n + 1) {
		if head, _, err := c.read(); err != nil || head == closed {
			break
		}
	}
	if r.IntN(3) == 0 {
		nc.(*net.TCPConn).SetLinger(0)
	}
	return nil
}
