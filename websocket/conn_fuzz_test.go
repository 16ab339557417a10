package websocket

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A tape is a connection whose client has said all it will say: reads give
// that piece by piece, each when what came before it is answered; writes are
// kept.
type tape struct {
	net.Conn // for the methods that are never called
	onRead   func()

	mu     sync.Mutex // guards what follows
	pieces [][]byte
	out    []byte
	closed bool
}

func (c *tape) Read(b []byte) (int, error) {
	c.onRead()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func (c *tape) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.out = append(c.out, b...)
	return len(b), nil
}

func (c *tape) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *tape) CloseWrite() error                { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// A witness is a handler that takes note of all it is told, and pauses after
// each so many messages, to be resumed by another goroutine.
type witness struct {
	c      *Conn
	every  int
	resume sync.WaitGroup

	events []string
	fail   StatusCode
	late   []string // what it was told though nothing more may come
	ended  chan Closing
}

func (w *witness) Message(op Opcode, payload []byte) bool {
	if w.fail != 0 || len(w.ended) > 0 {
		w.late = append(w.late, "Message")
	}
	w.events = append(w.events, fmt.Sprintf("%v %q", op, payload))
	if w.every == 0 || len(w.events)%w.every != 0 {
		return true
	}
	w.resume.Go(w.c.Resume)
	return false
}

func (w *witness) Fail(err *ProtocolError) {
	if w.fail != 0 || len(w.ended) > 0 {
		w.late = append(w.late, "Fail")
	}
	w.fail = err.Code
	w.c.Close(err.Code, "")
}

func (w *witness) Shed() { w.late = append(w.late, "Shed") }

func (w *witness) Ended(how Closing) { w.ended <- how }

// FuzzServerStream: whatever a client sends after its handshake, a connection
// hands on the messages that a literal reading of the specification finds and
// nothing after a fault, answers with sound frames and one close frame at most,
// holds no more than a message and what was read at once, and does not panic.
//
// A mutant it kills: feed that pauses and loses what was read behind the
// message.
func FuzzServerStream(f *testing.F) {
	for i, wire := range seeds() {
		f.Add(wire, uint16(i%40), uint8(i%4))
		f.Add(wire, uint16(4095), uint8(1))
	}
	var many []byte // several pauses within one read, and several reads
	for i := range 40 {
		many = append(many, frame(last, Text, fmt.Sprintf("message %d", i))...)
	}
	f.Add(many, uint16(99), uint8(1))
	f.Add(many, uint16(99), uint8(2))
	f.Fuzz(func(t *testing.T, wire []byte, size uint16, every uint8) {
		const limit = 1000
		s, err := NewServer(Options{Blocking: true, Loops: 1, OnPanic: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := &witness{every: int(every % 8), ended: make(chan Closing, 2)}
		c := &tape{onRead: func() {
			if held := s.Stats().Held; held > limit+64<<10 {
				t.Errorf("%d bytes held", held)
			}
			w.c.mu.Lock()
			for w.c.writing {
				w.c.mu.Unlock()
				runtime.Gosched()
				w.c.mu.Lock()
			}
			w.c.mu.Unlock()
		}}
		for rest := bytes.Clone(wire); len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			c.pieces, rest = append(c.pieces, rest[:n]), rest[n:]
		}
		w.c = s.NewConn(c, w, Limits{MaxMessage: limit, MessageRate: 1_000_000})
		w.c.Start(nil)
		how := receive(t, w.ended)
		w.resume.Wait()
		s.Close()
		checkWitness(t, w, how, c.out, referee(wire, limit))
		if st := s.Stats(); st.Held != 0 || st.Open != 0 || len(w.ended) != 0 {
			t.Errorf("at the end: %+v, told of %d more ends", st, len(w.ended))
		}
	})
}

// checkWitness compares what a handler was told, and the client, with what the
// referee makes of the bytes.
func checkWitness(t *testing.T, w *witness, how Closing, out []byte, want verdict) {
	t.Helper()
	messages := slices.DeleteFunc(slices.Clone(want.events), func(e string) bool {
		return !strings.HasPrefix(e, "text ") && !strings.HasPrefix(e, "binary ")
	})
	if !slices.Equal(w.events, messages) || int(w.fail) != want.fail || w.late != nil {
		t.Errorf("told of %q, code %d, and then %q; want %q, code %d", w.events, w.fail, w.late, messages, want.fail)
	}
	closing := len(want.events) > 0 && strings.HasPrefix(want.events[len(want.events)-1], "close ")
	switch {
	case want.fail != 0 && how != Closing{StatusCode(want.fail), "", ByServer},
		closing && how.By != ByClient,
		want.fail == 0 && !closing && how != Closing{StatusAbnormal, "", ByNone}:
		t.Errorf("ended with %+v after %q, code %d", how, want.events, want.fail)
	}
	var client inbox
	for in := bufio.NewReader(bytes.NewReader(out)); ; {
		frame, err := readFrame(in)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = client.add(frame)
		}
		if err != nil {
			t.Fatalf("the client got %x: %v", out, err)
		}
	}
	var pings, pongs []string
	for _, e := range want.events {
		if payload, ok := strings.CutPrefix(e, "ping "); ok {
			pings = append(pings, payload)
		}
	}
	got := client.got
	if closing || want.fail != 0 {
		if len(got) == 0 || got[len(got)-1].op != opClose || want.fail != 0 && got[len(got)-1] != closed(StatusCode(want.fail)) {
			t.Fatalf("the client got %v, want a close frame for %q, code %d", got, want.events, want.fail)
		}
		got = got[:len(got)-1]
	}
	for _, f := range got {
		if f.op != opPong {
			t.Errorf("the client got %v", f)
		}
		pongs = append(pongs, fmt.Sprintf("%q", f.payload))
	}
	// A close frame overtakes pongs that wait, and more than maxPongs do not.
	if !closing && len(pings) <= maxPongs && !slices.Equal(pongs, pings) || len(pongs) > len(pings) {
		t.Errorf("pongs %q, want %q", pongs, pings)
	}
}
