package websocket

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what has to come at once.
const patience = 10 * time.Second

// A peer is a server's connection seen from outside: the client's socket, and
// a handler that takes note of everything. Its functions may be set before
// start; by default it echoes, and closes when the client fails.
type peer struct {
	t      testing.TB
	server *Server
	net.Conn
	in *bufio.Reader

	c         *Conn
	onMessage func(op Opcode, payload []byte) (more bool)
	onFail    func(err *ProtocolError)
	onShed    func()
	onEnded   func()

	accepted atomic.Uint64 // messages that WriteMessage took
	aside    sync.WaitGroup
	fails    chan *ProtocolError
	shed     chan struct{}
	ended    chan Closing
}

func (p *peer) Message(op Opcode, payload []byte) bool {
	if p.onMessage != nil {
		return p.onMessage(op, payload)
	}
	p.send(op, payload)
	return true
}

func (p *peer) Fail(err *ProtocolError) {
	p.fails <- err
	if p.onFail != nil {
		p.onFail(err)
		return
	}
	p.c.Close(err.Code, "")
}

func (p *peer) Shed() {
	p.shed <- struct{}{}
	if p.onShed != nil {
		p.onShed()
	}
}

func (p *peer) Ended(how Closing) {
	p.ended <- how
	if p.onEnded != nil {
		p.onEnded()
	}
}

// send is WriteMessage, booked.
func (p *peer) send(op Opcode, payload []byte) error {
	err := p.c.WriteMessage(op, payload)
	if err == nil {
		p.accepted.Add(1)
	}
	return err
}

// sendAside is send in a goroutine that the end of the test waits for.
func (p *peer) sendAside(op Opcode, payload []byte) {
	p.aside.Go(func() { p.send(op, payload) })
}

// write sends frames as the client, in one write.
func (p *peer) write(frames ...[]byte) {
	p.t.Helper()
	if _, err := p.Conn.Write(bytes.Join(frames, nil)); err != nil {
		p.t.Fatalf("client's write: %v", err)
	}
}

// A gotFrame is a frame as the client got it.
type gotFrame struct {
	op      Opcode
	fin     bool
	payload string
}

// read gives the next frame that the client gets.
func (p *peer) read() gotFrame {
	p.t.Helper()
	f, err := p.tryRead()
	if err != nil {
		p.t.Fatalf("client's read: %v", err)
	}
	return f
}

func (p *peer) tryRead() (gotFrame, error) { return readFrame(p.in) }

// readFrame reads a frame that a server sent; io.EOF is only for the end of the
// stream between two frames.
func readFrame(in *bufio.Reader) (gotFrame, error) {
	f, deflated, err := readAnyFrame(in)
	if deflated {
		return gotFrame{}, errors.New("a server's frame is deflated")
	}
	return f, err
}

// readAnyFrame is readFrame where messages may be deflated.
func readAnyFrame(in *bufio.Reader) (f gotFrame, deflated bool, err error) {
	for size := 2; ; size++ {
		head, err := in.Peek(size)
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return gotFrame{}, false, err
		}
		h, n, fault := parseHeader(head, true)
		if fault != nil {
			return gotFrame{}, false, fault
		}
		if n == 0 {
			continue
		}
		if h.masked {
			return gotFrame{}, false, errors.New("a server's frame is masked")
		}
		b := make([]byte, n+int(h.length))
		if _, err = io.ReadFull(in, b); err != nil {
			return gotFrame{}, false, io.ErrUnexpectedEOF
		}
		return gotFrame{h.op, h.fin, string(b[n:])}, h.deflated, nil
	}
}

// wantFrame expects the next frame to be a whole message, or a control frame.
func (p *peer) wantFrame(op Opcode, payload string) {
	p.t.Helper()
	if got, want := p.read(), (gotFrame{op, true, payload}); got != want {
		p.t.Fatalf("client got %.80v, want %.80v", got, want)
	}
}

func (p *peer) wantClose(code StatusCode, reason string) {
	p.t.Helper()
	p.wantFrame(opClose, string(appendClose(nil, code, reason)))
}

// wantEOF expects the server's end of the stream to be next.
func (p *peer) wantEOF() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); len(rest) > 0 || err != nil {
		p.t.Fatalf("client got %.80x, %v; want the end of the stream", rest, err)
	}
}

func (p *peer) wantEnded(want Closing) {
	p.t.Helper()
	if got := receive(p.t, p.ended); got != want {
		p.t.Fatalf("ended with %v, want %v", got, want)
	}
}

// receive gives what comes from ch, which has to be soon.
func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("waited %v for a %T", patience, v)
	}
	return v
}

// eventually waits for ok, which has to come true soon.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

// A house is a server whose books are checked when the test ends: each message
// taken was sent or counted as dropped, and nothing is held.
type house struct {
	t testing.TB
	*Server
	mode  mode
	peers []*peer
}

// A mode is a way to wait for a connection's bytes.
type mode struct {
	name           string
	blocking, pipe bool
}

var (
	polled   = mode{name: "by the poller"}
	blocking = mode{name: "by a goroutine", blocking: true}
	piped    = mode{name: "by a goroutine, without system calls", blocking: true, pipe: true}
)

// eachMode runs test once for each mode.
func eachMode(t *testing.T, test func(t *testing.T, m mode)) {
	for _, m := range []mode{polled, blocking, piped} {
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

func open(t testing.TB, m mode, o Options) *house {
	t.Helper()
	o.Blocking = m.blocking
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, Server: s, mode: m}
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	h.Server.Close()
	accepted := uint64(0)
	for _, p := range h.peers {
		p.Conn.Close()
		p.aside.Wait() // or what is sent would not be booked
		accepted += p.accepted.Load()
	}
	st := h.Stats()
	if sum := st.MessagesOut + st.DroppedClosed + st.DroppedSlow + st.DroppedShed; sum != accepted {
		h.t.Errorf("%d messages taken, %d sent or dropped: %+v", accepted, sum, st)
	}
	if st.Held != 0 || st.Open != 0 || len(h.budget.gone) != 0 || h.budget.leaving.Load() != 0 {
		h.t.Errorf("after the end %d bytes are held (%d leaving, by %d) and %d connections open",
			st.Held, h.budget.leaving.Load(), len(h.budget.gone), st.Open)
	}
}

// visit makes a connection; start is to follow. The rate of its messages is
// the highest there is unless l says otherwise.
func (h *house) visit(l Limits) *peer {
	h.t.Helper()
	l.MessageRate = cmp.Or(l.MessageRate, 1_000_000)
	var client, server net.Conn
	if h.mode.pipe {
		client, server = net.Pipe()
	} else {
		client, server = tcpPair(h.t)
		client.SetDeadline(time.Now().Add(2 * patience))
	}
	p := &peer{t: h.t, server: h.Server, Conn: client, in: bufio.NewReader(client),
		fails: make(chan *ProtocolError, 10), shed: make(chan struct{}, 10), ended: make(chan Closing, 10)}
	p.c = h.NewConn(server, p, l)
	h.peers = append(h.peers, p)
	return p
}

// enter makes a connection that is read.
func (h *house) enter(l Limits) *peer {
	h.t.Helper()
	p := h.visit(l)
	p.c.Start(nil)
	return p
}

// tcpPair gives the two ends of a TCP connection on loopback.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		client.Close()
		t.Fatal(err)
	}
	return client, server
}

// clientFrame is a frame as a client sends it.
func clientFrame(op Opcode, payload string) []byte { return clientPart(op, true, payload) }

// clientPart is a frame of a message in several.
func clientPart(op Opcode, fin bool, payload string) []byte {
	h := header{fin: fin, op: op, masked: true, key: [4]byte{1, 2, 3, 4}, length: uint64(len(payload))}
	b := appendHeader(nil, h)
	n := len(b)
	b = append(b, payload...)
	mask(b[n:], h.key, 0)
	return b
}

func clientClose(code StatusCode, reason string) []byte {
	return clientFrame(opClose, string(appendClose(nil, code, reason)))
}

// reset has the client's socket closed with an RST.
func (p *peer) reset() {
	p.Conn.(*net.TCPConn).SetLinger(0)
	p.Conn.Close()
}
