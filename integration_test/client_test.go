package integration_test

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// clientTimeout is how long a client waits for the server by default.
const clientTimeout = 10 * time.Second

// handshake says what a client sends to open a connection.
type handshake struct {
	// address is host:port or unix:/path.
	address string
	// path is the request's target. Empty means /ws.
	path string
	// host is the Host field. Empty means the address, or localhost on a
	// unix socket.
	host string
	// lines are more header lines, "Name: value", sent as they are. One
	// whose name is among the lines sent anyway takes that line's place.
	lines []string
	// omit names lines not to be sent.
	omit []string
	// raw, if not nil, is sent instead of a request. %KEY% stands for the key.
	raw []byte
	// after is sent in the same write, right behind the request.
	after []byte
}

// bytes gives the request for a key.
func (h handshake) bytes(key string) []byte {
	if h.raw != nil {
		return append([]byte(strings.ReplaceAll(string(h.raw), "%KEY%", key)), h.after...)
	}
	host, path := h.host, h.path
	if host == "" {
		host = h.address
		if strings.HasPrefix(host, "unix:") {
			host = "localhost"
		}
	}
	if path == "" {
		path = "/ws"
	}
	name := func(line string) string { return strings.ToLower(strings.TrimSpace(strings.Split(line, ":")[0])) }
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", path)
	for _, line := range []string{
		"Host: " + host, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key,
	} {
		same := func(s string) bool { return name(s) == name(line) }
		if !slices.ContainsFunc(h.lines, same) && !slices.ContainsFunc(h.omit, same) {
			b.WriteString(line + "\r\n")
		}
	}
	for _, line := range h.lines {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	return append([]byte(b.String()), h.after...)
}

// client is a WebSocket client that shares no code with the server. It
// verifies what the server sends and is free to send anything itself. One
// goroutine may read while another writes.
type client struct {
	conn     net.Conn
	r        *bufio.Reader
	response *http.Response
	// timeout bounds each wait for the server.
	timeout time.Duration
	// silent turns off the answers to Ping and Close.
	silent bool
	// controls are the pings and pongs that messages were read past.
	controls []serverFrame
	closed   bool // a Close frame was received
}

// dialRaw connects without a word. address is host:port or unix:/path.
func dialRaw(address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	return net.DialTimeout(network, address, clientTimeout)
}

// connect opens a WebSocket. Where the answer is a complete one other than
// 101 both results are set: errRefused, and a client whose response, its
// body still unread, can be looked at.
func connect(h handshake) (*client, error) {
	conn, err := dialRaw(h.address)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn), timeout: clientTimeout}
	if err := c.open(h); err != nil && !errors.Is(err, errRefused) {
		conn.Close()
		return nil, err
	} else if err != nil {
		return c, err
	}
	return c, nil
}

// errRefused is the error of a handshake answered with another status than 101.
var errRefused = errors.New("handshake refused")

// open sends the handshake and checks the answer, section 4.1.
func (c *client) open(h handshake) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	if err := c.write(h.bytes(key)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	c.conn.SetReadDeadline(time.Now().Add(c.timeout))
	resp, err := http.ReadResponse(c.r, &http.Request{Method: "GET"})
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	c.response = resp
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: %s", errRefused, resp.Status)
	}
	want := acceptOf(key)
	switch {
	case h.raw == nil && resp.Header.Get("Sec-WebSocket-Accept") != want:
		return fmt.Errorf("%w: Sec-WebSocket-Accept %q, want %q", errServer, resp.Header.Get("Sec-WebSocket-Accept"), want)
	case !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket"), !strings.EqualFold(resp.Header.Get("Connection"), "upgrade"):
		return fmt.Errorf("%w: 101 with %v", errServer, resp.Header)
	case resp.Header.Get("Sec-WebSocket-Extensions") != "" && !slices.ContainsFunc(h.lines, offersExtension):
		return fmt.Errorf("%w: an extension nobody offered", errServer)
	}
	return nil
}

func offersExtension(line string) bool { return strings.HasPrefix(line, "Sec-WebSocket-Extensions:") }

// acceptOf is the Sec-WebSocket-Accept that belongs to a key, section 4.2.2.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// dial is connect for tests: it fails t unless the answer is 101, and closes
// the connection when t ends.
func dial(t testing.TB, h handshake) *client {
	t.Helper()
	c, err := connect(h)
	if err != nil {
		t.Fatalf("connecting to %s: %v", h.address, err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// refused opens a handshake that must fail and returns status, header and body.
func refused(t testing.TB, h handshake) (*http.Response, string) {
	t.Helper()
	c, err := connect(h)
	if c != nil {
		t.Cleanup(func() { c.conn.Close() })
	}
	if !errors.Is(err, errRefused) {
		t.Fatalf("connecting to %s: %v; want a refusal", h.address, err)
	}
	c.conn.SetReadDeadline(time.Now().Add(c.timeout))
	body, err := io.ReadAll(c.response.Body)
	if err != nil {
		t.Fatalf("reading the refusal: %v", err)
	}
	return c.response, string(body)
}

// write sends bytes as they are.
func (c *client) write(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	_, err := c.conn.Write(b)
	return err
}

// writeSlowly sends b in pieces of n bytes with a pause after each.
func (c *client) writeSlowly(b []byte, n int, pause time.Duration) error {
	tick := time.NewTicker(max(pause, time.Nanosecond))
	defer tick.Stop()
	for piece := range slices.Chunk(b, n) {
		if err := c.write(piece); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// send sends frames in one write.
func (c *client) send(frames ...frame) error {
	var b []byte
	for _, f := range frames {
		b = f.appendTo(b)
	}
	return c.write(b)
}

func (c *client) text(s string) error {
	return c.send(frame{fin: true, op: opText, key: testKey, payload: []byte(s)})
}

func (c *client) binary(p []byte) error {
	return c.send(frame{fin: true, op: opBinary, key: testKey, payload: p})
}

func (c *client) ping(p string) error {
	return c.send(frame{fin: true, op: opPing, key: testKey, payload: []byte(p)})
}

func (c *client) pong(p string) error {
	return c.send(frame{fin: true, op: opPong, key: testKey, payload: []byte(p)})
}

func (c *client) close(code int, reason string) error {
	return c.send(frame{fin: true, op: opClose, key: testKey, payload: closePayload(code, reason)})
}

// frame reads one frame and answers a Ping or a Close, as section 5.5 wants.
// After the server's Close only the end of the stream may come.
func (c *client) frame() (serverFrame, error) {
	c.conn.SetReadDeadline(time.Now().Add(c.timeout))
	f, err := readFrame(c.r)
	switch {
	case err != nil:
		return serverFrame{}, err
	case c.closed:
		return serverFrame{}, fmt.Errorf("%w: a frame after Close", errServer)
	}
	switch f.op {
	case opPing:
		if !c.silent { // a dead connection shows at the next read
			c.pong(string(f.payload))
		}
	case opClose:
		c.closed = true
		if _, _, bad := parseClose(f.payload); bad != nil {
			return f, bad
		}
		if !c.silent { // the server may have closed both ways already
			c.send(frame{fin: true, op: opClose, key: testKey, payload: f.payload[:min(2, len(f.payload))]})
		}
	}
	return f, nil
}

// closeError is the error of a read that met the server's Close frame.
type closeError struct {
	code   int
	reason string
}

func (e *closeError) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

// message reads the next message; pings and pongs before its end go to
// c.controls. The server's Close is a *closeError.
func (c *client) message() (opcode, []byte, error) {
	op, data := opContinuation, []byte(nil)
	for {
		f, err := c.frame()
		if err != nil {
			return 0, nil, err
		}
		switch {
		case f.op == opClose:
			code, reason, _ := parseClose(f.payload)
			return 0, nil, &closeError{code, reason}
		case f.op.control():
			c.controls = append(c.controls, f)
			continue
		case (f.op == opContinuation) != (op != opContinuation):
			return 0, nil, fmt.Errorf("%w: opcode %d within a message of opcode %d", errServer, f.op, op)
		case f.op != opContinuation:
			op = f.op
		}
		data = append(data, f.payload...)
		if f.fin && op == opText && !utf8.Valid(data) {
			return 0, nil, fmt.Errorf("%w: text that is not UTF-8", errServer)
		}
		if f.fin {
			return op, data, nil
		}
	}
}

// reset closes with an RST instead of a FIN; on a unix socket the peer sees
// ECONNRESET only if it has not read everything.
func (c *client) reset() error {
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	return c.conn.Close()
}

// closeWrite ends our direction only.
func (c *client) closeWrite() error {
	return c.conn.(interface{ CloseWrite() error }).CloseWrite()
}
