package websocket

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

func TestConnEchoesEachSizeUnchanged(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{MaxMessage: 8 << 20, Fragment: 8 << 20})
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, 5 << 20} {
			payload := strings.Repeat("x", size)
			go p.Conn.Write(clientFrame(Binary, payload))
			p.wantFrame(Binary, payload)
		}
	})
}

func TestConnSendsALongMessageInFrames(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{Fragment: 4})
		for _, test := range []struct {
			name, payload string
			want          []gotFrame
		}{
			{"a message below the fragment", "abc", []gotFrame{{Text, true, "abc"}}},
			{"a message of one fragment", "abcd", []gotFrame{{Text, true, "abcd"}}},
			{"a message one byte over it", "abcde", []gotFrame{{Text, false, "abcd"}, {opContinuation, true, "e"}}},
			{"a message of three", "abcdefghij",
				[]gotFrame{{Text, false, "abcd"}, {opContinuation, false, "efgh"}, {opContinuation, true, "ij"}}},
		} {
			t.Run(test.name, func(t *testing.T) {
				p.write(clientFrame(Text, test.payload))
				for _, want := range test.want {
					if got := p.read(); got != want {
						t.Fatalf("got %v, want %v", got, want)
					}
				}
			})
		}
	})
}

// A wire is cut into writes in each style a client may have.
func TestConnEchoesHoweverTheBytesAreCut(t *testing.T) {
	var wire []byte
	frames := [][]byte{
		clientFrame(Text, "one"),
		clientPart(Text, false, "t"), clientFrame(opPing, "p"), clientPart(opContinuation, true, "wo"),
		clientFrame(Binary, strings.Repeat("3", 300)),
	}
	for _, f := range frames {
		wire = append(wire, f...)
	}
	eachMode(t, func(t *testing.T, m mode) {
		for _, test := range []struct {
			name string
			cut  func(b []byte) [][]byte
		}{
			{"all in one write", func(b []byte) [][]byte { return [][]byte{b} }},
			{"a write for each frame", func([]byte) [][]byte { return frames }},
			{"a write for each byte", func(b []byte) [][]byte { return chop(b, 1) }},
			{"writes of seven bytes", func(b []byte) [][]byte { return chop(b, 7) }},
		} {
			t.Run(test.name, func(t *testing.T) {
				p := open(t, m, Options{}).enter(Limits{})
				go func() {
					for _, part := range test.cut(wire) {
						p.Conn.Write(part)
					}
				}()
				p.wantFrame(Text, "one")
				p.wantFrame(opPong, "p")
				p.wantFrame(Text, "two")
				p.wantFrame(Binary, strings.Repeat("3", 300))
			})
		}
	})
}

func chop(b []byte, n int) (parts [][]byte) {
	for len(b) > n {
		parts, b = append(parts, b[:n]), b[n:]
	}
	return append(parts, b)
}

func TestConnAnswersPipelinedMessagesInOrder(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{})
		var wire []byte
		for i := range 10_000 {
			wire = append(wire, clientFrame(Text, fmt.Sprint(i))...)
		}
		go p.Conn.Write(wire)
		for i := range 10_000 {
			p.wantFrame(Text, fmt.Sprint(i))
		}
	})
}

// Bytes that came with the handshake wake nobody: they have to be decoded
// before anything is waited for.
func TestConnDecodesEarlyBytes(t *testing.T) {
	two := append(clientFrame(Text, "early"), clientFrame(Text, "late")...)
	for cut := range len(two) + 1 {
		early, rest := two[:cut:cut], two[cut:]
		p := open(t, polled, Options{Loops: 1}).visit(Limits{})
		p.c.Start(append([]byte(nil), early...))
		if cut >= len(clientFrame(Text, "early")) {
			p.wantFrame(Text, "early")
			p.write(rest)
		} else {
			p.write(rest)
			p.wantFrame(Text, "early")
		}
		p.wantFrame(Text, "late")
	}
}

func TestConnAnswersTenPingsInOrder(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).enter(Limits{})
		var wire []byte
		for i := range 10 {
			wire = append(wire, clientFrame(opPing, fmt.Sprint(i))...)
		}
		p.write(wire)
		for i := range 10 {
			p.wantFrame(opPong, fmt.Sprint(i))
		}
	})
}

func TestConnPutsPongsBetweenTheFramesOfALongMessage(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).visit(Limits{})
		seen := make(chan struct{}, 1)
		p.onMessage = func(Opcode, []byte) bool { seen <- struct{}{}; return true }
		p.c.Start(nil)
		if tcp, ok := p.Conn.(*net.TCPConn); ok {
			tcp.SetReadBuffer(64 << 10) // or the kernel makes room for it all
		}
		whole := strings.Repeat("x", 8<<20)
		if err := p.send(Text, []byte(whole)); err != nil {
			t.Fatal(err)
		}
		p.write(clientFrame(opPing, "now"), clientFrame(Text, "and this shows that it was decoded"))
		receive(t, seen)
		var got strings.Builder
		pongs := 0
		for {
			f := p.read()
			if f.op == opPong {
				pongs++
				continue
			}
			got.WriteString(f.payload)
			if f.fin {
				break
			}
		}
		if pongs != 1 || got.String() != whole {
			t.Errorf("%d pongs inside a message of %d bytes; want 1, %d", pongs, got.Len(), len(whole))
		}
	})
}

func TestConnKeepsSixteenPongsAndTheNewest(t *testing.T) {
	for _, test := range []struct {
		pings int
		want  []int
	}{
		{15, []int{0, 14}},
		{16, []int{0, 15}},
		{17, []int{0, 14, 16}},
		{40, []int{0, 14, 39}},
	} {
		t.Run(fmt.Sprintf("%d pings while nothing is read", test.pings), func(t *testing.T) {
			// A pipe takes nothing that is not read, so all of these wait
			// behind the first message.
			p := open(t, piped, Options{}).enter(Limits{})
			p.send(Text, []byte("blocks"))
			for i := range test.pings {
				p.write(clientFrame(opPing, fmt.Sprint(i)))
			}
			p.write(clientFrame(Text, "done")) // all before it is decoded
			p.wantFrame(Text, "blocks")
			var pongs []string
			for f := p.read(); f.op == opPong; f = p.read() {
				pongs = append(pongs, f.payload)
			}
			if want := min(test.pings, maxPongs); len(pongs) != want {
				t.Fatalf("%d pongs, want %d: %v", len(pongs), want, pongs)
			}
			seen := " " + strings.Join(pongs, " ") + " "
			for _, i := range test.want {
				if !strings.Contains(seen, fmt.Sprintf(" %d ", i)) {
					t.Errorf("pongs %v, want one for ping %d", pongs, i)
				}
			}
			if last := test.want[len(test.want)-1]; pongs[len(pongs)-1] != fmt.Sprint(last) {
				t.Errorf("pongs %v, want the newest, %d, last", pongs, last)
			}
		})
	}
}

// BenchmarkEcho is a round trip over a TCP connection. What the client does is
// in it, but allocates nothing.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 64 << 10} {
		for _, m := range []mode{polled, blocking} {
			b.Run(fmt.Sprintf("%d bytes %s", size, m.name), func(b *testing.B) {
				p := open(b, m, Options{}).enter(Limits{})
				wire := clientFrame(Binary, strings.Repeat("x", size))
				back := make([]byte, len(appendMessage(nil, Binary, make([]byte, size), 64<<10)))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Conn.Write(wire); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(p.Conn, back); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
