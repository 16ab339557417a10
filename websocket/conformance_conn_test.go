package websocket

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// Over a pipe and in virtual time what does not happen shows too: after each
// step a second passes in which all there is to do is done.
func TestConformanceOverAPipe(t *testing.T) {
	t.Parallel()
	for _, s := range conformance() {
		steps := s.play()
		length := wireLength(steps)
		if length > 2<<20 {
			continue // the socket has it
		}
		t.Run(s.name, func(t *testing.T) {
			for _, way := range s.styles(length) {
				synctest.Test(t, func(t *testing.T) { playOverPipe(t, s, steps, way) })
			}
		})
	}
}

func playOverPipe(t *testing.T, s script, steps []step, way style) {
	p := open(t, piped, Options{}).enter(Limits{MaxMessage: 16 << 20, Outbox: 64 << 20, Deflate: s.deflate})
	var client inbox
	var failure error
	go func() {
		for failure == nil {
			f, err := readFrame(p.in)
			if failure = err; err == nil {
				failure = client.add(f)
			}
		}
	}()
	for i, st := range steps {
		over := client.shut
		for _, part := range way.cut(s, st.send) {
			if _, err := io.WriteString(p.Conn, part); err != nil {
				break // the server has ended TCP: what it sent will tell
			}
		}
		synctest.Wait()
		if len(steps) < 20 && !over {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if d := differ(client.take(), st.want); d != "" && !(s.drops && client.shut) {
			t.Errorf("%v, step %d: %s", way, i+1, d)
		}
	}
	if failure != io.EOF {
		t.Errorf("%v: client's read: %v; want the end of the stream", way, failure)
	}
	p.Conn.Close()
	p.wantEnded(s.end)
}

// Over TCP every script is played by a client that only ends its side when the
// server has ended its own.
func TestConformanceOverTCP(t *testing.T) {
	t.Parallel()
	for _, s := range conformance() {
		t.Run(s.name, func(t *testing.T) {
			steps := s.play()
			length := wireLength(steps)
			if raced && length > 5<<20 {
				return // they differ from the shorter ones by their length alone
			}
			h := open(t, polled, Options{})
			for _, way := range s.styles(length) {
				playOverTCP(t, h, s, steps, way)
			}
		})
	}
}

func playOverTCP(t *testing.T, h *house, s script, steps []step, way style) {
	t.Helper()
	p := h.enter(Limits{MaxMessage: 16 << 20, Outbox: 64 << 20, Deflate: s.deflate})
	defer p.Conn.Close()
	var client inbox
	for i, st := range steps {
		written := make(chan struct{})
		go func() { // or neither side of a long echo could write on
			defer close(written)
			for _, part := range way.cut(s, st.send) {
				if _, err := io.WriteString(p.Conn, part); err != nil {
					return // the server has ended TCP: what it sent will tell
				}
			}
		}()
		for len(client.got) < len(st.want) && !client.shut {
			f, err := readFrame(p.in)
			if err == nil {
				err = client.add(f)
			}
			if err != nil {
				t.Fatalf("%v, step %d: client's read: %v after %s", way, i+1, err, differ(client.got, st.want))
			}
		}
		<-written
		if d := differ(client.take(), st.want); d != "" && !s.drops {
			t.Fatalf("%v, step %d: %s", way, i+1, d)
		}
	}
	p.wantEOF()
	p.Conn.Close()
	p.wantEnded(s.end)
}
