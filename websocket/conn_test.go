package websocket

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a handler that sends each message back.
type echo struct {
	c     *Conn
	fails chan *ProtocolError
	ended chan Closing
}

func newEcho() *echo {
	return &echo{fails: make(chan *ProtocolError, 1), ended: make(chan Closing, 1)}
}

func (e *echo) Message(op Opcode, payload []byte) bool {
	e.c.WriteMessage(op, payload)
	return true
}
func (e *echo) Fail(err *ProtocolError) { e.fails <- err; e.c.Close(err.Code, "") }
func (e *echo) Shed()                   {}
func (e *echo) Ended(how Closing)       { e.ended <- how }

// pair gives the two ends of a TCP connection on loopback.
func pair(t testing.TB) (client, server net.Conn) {
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
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// clientFrame is a frame as a client sends it, with a key that does nothing.
func clientFrame(op Opcode, payload []byte) []byte {
	b := appendHeader(nil, header{fin: true, op: op, masked: true, length: uint64(len(payload))})
	return append(b, payload...)
}

func TestConnEchoes(t *testing.T) {
	for _, mode := range []struct {
		name     string
		blocking bool
	}{{"by the poller", false}, {"by a goroutine", true}} {
		t.Run(mode.name, func(t *testing.T) {
			s, err := NewServer(Options{Blocking: mode.blocking})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			client, server := pair(t)
			client.SetDeadline(time.Now().Add(10 * time.Second))
			h := newEcho()
			h.c = s.NewConn(server, h, Limits{MaxMessage: 8 << 20})
			h.c.Start(nil)
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 5 << 20} {
				payload := bytes.Repeat([]byte("x"), size)
				go client.Write(clientFrame(Binary, payload))
				want := appendMessage(nil, Binary, payload, 64<<10)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("echo of %d bytes: %v", size, err)
				}
			}
			client.Write(clientFrame(opClose, []byte{3, 0xe9, 'b', 'y', 'e'}))
			rest, err := io.ReadAll(client)
			if want := []byte{0x88, 2, 3, 0xe9}; !bytes.Equal(rest, want) || err != nil {
				t.Errorf("after a close: %x, %v; want %x", rest, err, want)
			}
			client.Close()
			if got, want := <-h.ended, (Closing{StatusGoingAway, "bye", ByClient}); got != want {
				t.Errorf("ended with %v, want %v", got, want)
			}
			if st := s.Stats(); st.Open != 0 || st.Held != 0 {
				t.Errorf("after the end %+v", st)
			}
		})
	}
}
