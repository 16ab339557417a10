package integration_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Three implementations that others wrote deflate and inflate with a route that
// compresses: what comes back is what they sent, and on the wire are deflated
// messages both ways.
func TestInteropDeflate(t *testing.T) {
	t.Parallel()
	with := func(sizes []string) []string { return append(slices.Clone(sizes), "100000") }
	for _, test := range []struct {
		name    string
		run     func(t *testing.T, address string, sizes []string) []string
		without []string // what its interface has no means for
	}{
		{"python", interopPythonDeflate, nil},
		{"node", interopNodeDeflate, nil},
		{"chromium", interopChromium, []string{"fragments", "ping"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, g := serving(t, "ping = 500ms", "interop.php\nmax_message = 2M\norigins = *\ncompression = on")
			tapped := tap(t, g.addresses[0])
			sizes := with(interopSizes)
			said := test.run(t, tapped.address, sizes)
			var want []string
			for _, size := range sizes {
				want = append(want, "text "+size, "binary "+size)
			}
			want = append(want, "fragments", "ping", "pong", "close 4001", "closed 4002", "close 1000")
			want = slices.DeleteFunc(want, func(s string) bool { return slices.Contains(test.without, s) })
			if len(said) == 0 || !slices.Equal(said[1:], want) {
				t.Errorf("it exercised %q, want a version and %q", said, want)
			}
			up, down, answers := tapped.end()
			for _, answer := range answers {
				if !strings.HasPrefix(answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover") {
					t.Errorf("agreed on %q", answer)
				}
			}
			// Of each kind all but those of 0, 125 and 126 bytes; what a client
			// does with those is its own affair.
			if long := 2 * (len(sizes) - 3); up.deflated < long || down.deflated != long {
				t.Errorf("%d messages deflated by the client, %d by the server; want at least %d, and as many", up.deflated, down.deflated, long)
			}
			if up.bytes > 100_000 || down.bytes > 100_000 {
				t.Errorf("%d and %d bytes on the wire, for messages of more than 2 MB", up.bytes, down.bytes)
			}
			t.Logf("%s: agreed %q; of the client's %d messages %d deflated, %d bytes; of the server's %d, %d deflated, %d bytes",
				said[0], answers[0], up.messages, up.deflated, up.bytes, down.messages, down.deflated, down.bytes)
			dumped := g.metrics()
			if dumped["ws_fpm_messages_inflated_total"] != float64(up.deflated) || dumped["ws_fpm_messages_deflated_total"] != float64(down.deflated) {
				t.Errorf("it counted %v inflated, %v deflated", dumped["ws_fpm_messages_inflated_total"], dumped["ws_fpm_messages_deflated_total"])
			}
		})
	}
}

func interopPythonDeflate(t *testing.T, address string, sizes []string) []string {
	return runPython(t, address, sizes, "deflate")
}

func interopNodeDeflate(t *testing.T, address string, sizes []string) []string {
	return runNode(t, address, sizes, "deflate")
}

// A tapping is a relay that keeps what was said on it, connection by
// connection.
type tapping struct {
	address string
	l       net.Listener
	all     sync.WaitGroup

	mu   sync.Mutex // guards what follows
	kept []*[2]bytes.Buffer
}

func tap(t *testing.T, server string) *tapping {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tapping{address: l.Addr().String(), l: l}
	t.Cleanup(func() { l.Close() })
	s.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			said := new([2]bytes.Buffer)
			s.mu.Lock()
			s.kept = append(s.kept, said)
			s.mu.Unlock()
			s.all.Go(func() { relay(client, server, &said[0], &said[1]) })
		}
	})
	return s
}

// A tally is what was seen one way.
type tally struct{ messages, deflated, bytes int }

// end waits for the end of all connections and says what was on them, and what
// the server answered about extensions.
func (s *tapping) end() (up, down tally, answers []string) {
	s.l.Close()
	s.all.Wait()
	for _, said := range s.kept {
		_, frames, _ := bytes.Cut(said[0].Bytes(), []byte("\r\n\r\n"))
		up.add(frames)
		head, frames, upgraded := bytes.Cut(said[1].Bytes(), []byte("\r\n\r\n"))
		if !upgraded {
			continue // a browser may have opened one more than it used
		}
		down.add(frames)
		_, answer, _ := strings.Cut(string(head), "\r\nSec-WebSocket-Extensions: ")
		answer, _, _ = strings.Cut(answer, "\r\n")
		answers = append(answers, answer)
	}
	return up, down, answers
}

func (s *tally) add(wire []byte) {
	s.bytes += len(wire)
	for r := bytes.NewReader(wire); r.Len() > 2; {
		first, _ := r.ReadByte()
		second, _ := r.ReadByte()
		n := int64(second & 0x7f)
		switch n {
		case 126:
			var b [2]byte
			io.ReadFull(r, b[:])
			n = int64(binary.BigEndian.Uint16(b[:]))
		case 127:
			var b [8]byte
			io.ReadFull(r, b[:])
			n = int64(binary.BigEndian.Uint64(b[:]))
		}
		if second&0x80 != 0 {
			n += 4
		}
		r.Seek(n, io.SeekCurrent)
		if op := opcode(first & 0xf); op == opText || op == opBinary {
			s.messages++
			if first&0x40 != 0 {
				s.deflated++
			}
		}
	}
}
