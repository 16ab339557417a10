package integration_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// wantMessage fails t unless the next message is this one.
func (c *client) wantMessage(t testing.TB, op opcode, data []byte) {
	t.Helper()
	gotOp, got, err := c.message()
	if err != nil {
		t.Fatalf("reading a message: %v", err)
	}
	if gotOp != op || !bytes.Equal(got, data) {
		t.Fatalf("got message of opcode %d, %d bytes %.200q; want opcode %d, %d bytes %.200q", gotOp, len(got), got, op, len(data), data)
	}
}

// wantText fails t unless the next message is this text.
func (c *client) wantText(t testing.TB, s string) {
	t.Helper()
	c.wantMessage(t, opText, []byte(s))
}

// echo sends a text and fails t unless the same comes back.
func (c *client) echo(t testing.TB, s string) {
	t.Helper()
	if err := c.text(s); err != nil {
		t.Fatalf("sending a text: %v", err)
	}
	c.wantText(t, s)
}

// wantPong fails t unless the next frame is a Pong with this payload.
func (c *client) wantPong(t testing.TB, payload string) {
	t.Helper()
	f, err := c.frame()
	if err != nil || f.op != opPong || string(f.payload) != payload {
		t.Fatalf("got frame %d %q, %v; want a pong %q", f.op, f.payload, err, payload)
	}
}

// wantClose fails t unless the server sends no more messages but a Close with
// this code and then ends the connection. It ends our side too and returns the
// reason.
func (c *client) wantClose(t testing.TB, code int) string {
	t.Helper()
	op, data, err := c.message()
	var ce *closeError
	if !errors.As(err, &ce) || ce.code != code {
		t.Fatalf("got message %d %.200q, %v; want Close %d", op, data, err, code)
	}
	c.wantEnd(t)
	c.conn.Close()
	return ce.reason
}

// wantEnd fails t unless the server ends the connection without a frame more.
func (c *client) wantEnd(t testing.TB) {
	t.Helper()
	f, err := c.frame()
	if err == nil {
		t.Fatalf("got frame %d %.200q; want the end of the connection", f.op, f.payload)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("waiting for the end of the connection: %v", err)
	}
}

// wantSilence fails t if anything comes within d.
func (c *client) wantSilence(t testing.TB, d time.Duration) {
	t.Helper()
	saved := c.timeout
	c.timeout = d
	defer func() { c.timeout = saved }()
	f, err := c.frame()
	if ne, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); !ok || !ne.Timeout() {
		t.Fatalf("got frame %d %.200q, %v; want nothing within %v", f.op, f.payload, err, d)
	}
}
