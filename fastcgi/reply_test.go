package fastcgi

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzReply: whatever a server sends, in whatever pieces, and whether it closes
// or hangs then, Do and the reading of its reply end in time, nothing is kept
// beyond the limits, each request ends in one counter, and none runs again that
// the server did not refuse.
//
// It kills a stderrLocked that appends all of what came.
func FuzzReply(f *testing.F) {
	for _, c := range captured {
		if c.name != "big" && c.name != "long_head" {
			f.Add(capture(f, c.name), uint16(6), uint8(1))
		}
	}
	f.Add(append(whole(1, "", "hi"), resultRecord("1")...), uint16(0), uint8(3))
	f.Add(append(rec(typeStdout, 1, "A: b"), endRecord(1, statusCantMpx)...), uint16(1), uint8(3))
	f.Add(append(endRecord(1, statusOverloaded), resultRecord("0")...), uint16(100), uint8(5))
	f.Add(append(rec(typeStderr, 1, "more than sixteen bytes"), whole(1, "", string(make([]byte, 101)))...), uint16(9), uint8(5))
	f.Add(append(rec(typeStdout, 1, "Status: 20\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), endRecord(1, 0)...), uint16(9), uint8(0))
	f.Fuzz(func(t *testing.T, wire []byte, cut uint16, flags uint8) {
		// Of real time: in the bubble a loop without end lets none pass.
		watchdog := time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("does not end: %q, %d, %d", wire, cut, flags)) })
		defer watchdog.Stop()
		synctest.Test(t, func(t *testing.T) {
			const maxBody = 100
			most := 1 // runs of a request, unless there is an END_REQUEST that refuses it
			for i := range wire {
				if rest := wire[i:]; len(rest) > 12 && rest[1] == typeEnd && (rest[12] == statusCantMpx || rest[12] == statusOverloaded) {
					most = maxAttempts
				}
			}
			p := &server{t: t, serve: func(_ int, s *session) {
				for first := true; ; first = false {
					if _, err := s.request(); err != nil {
						return
					}
					for rest := wire; first && len(rest) > 0; {
						n := min(len(rest), int(cut)+1)
						if _, err := s.Write(rest[:n]); err != nil {
							return
						}
						rest = rest[n:]
					}
					if flags&1 == 0 {
						return // and closes
					}
				}
			}}
			o := Options{MaxConns: 2, Timeout: 10 * time.Second, QueueTimeout: time.Minute, StreamTimeout: 10 * time.Second, MaxStream: time.Minute,
				MaxHead: 64, MaxHeadLines: 3, MaxStderr: 16, Multiplex: flags&2 != 0}
			if flags&4 != 0 {
				o.KeepAlive = time.Second
			}
			c := p.client(o)
			for i := range 3 {
				began := time.Now()
				r, err := perform(c, context.Background(), &Request{Body: []byte{byte(i)}})
				if err == nil {
					synctest.Wait()
					if len(r.Header) > o.MaxHeadLines {
						t.Errorf("%d header lines", len(r.Header))
					}
					if flags&8 != 0 {
						r.Stream()
					}
					b, err := r.AppendBody(nil, maxBody)
					if len(b) > maxBody || err != nil && len(b) > 0 {
						t.Errorf("%d bytes, %v", len(b), err)
					}
					if text, _ := r.Stderr(); len(text) > o.MaxStderr {
						t.Errorf("%d bytes of FCGI_STDERR", len(text))
					}
					r.Close()
				}
				// A slot may first rest after one before it that never ended.
				if d := time.Since(began); d > time.Minute+o.MaxStream+3*o.Timeout {
					t.Errorf("request %d took %v", i, d)
				}
			}
			s := c.Stats()
			if s.Completed+s.GivenUp+s.NotExecuted+s.Unknown+s.Executed != s.Requests {
				t.Errorf("stats %+v", s)
			}
			for body, n := range counted(p.ran()) {
				if n > most {
					t.Errorf("request %x ran %d times, want %d at most", body, n, most)
				}
			}
			closeNow(c)
			if _, open, _ := p.count(); open != 0 || c.Stats().InUse != 0 {
				t.Errorf("%d connections left, stats %+v", open, c.Stats())
			}
		})
	})
}

func counted(bodies []string) map[string]int {
	n := map[string]int{}
	for _, b := range bodies {
		n[b]++
	}
	return n
}
