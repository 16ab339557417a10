package fastcgi

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ticking streams a byte every gap, n times, and counts what it wrote.
func ticking(gap time.Duration, n int, wrote *int) func(int, *session) {
	return func(_ int, s *session) {
		if _, err := s.request(); err != nil {
			return
		}
		s.Write(rec(typeStdout, 1, "Content-type: text/event-stream\n\n"))
		for range n {
			time.Sleep(gap)
			if _, err := s.Write(rec(typeStdout, 1, "x")); err != nil {
				return
			}
			*wrote++
		}
		s.Write(endRecord(1, 0))
	}
}

func stream(t *testing.T, c *Client) *Response {
	t.Helper()
	r, err := perform(c, t.Context(), &Request{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Stream(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStreamTimeouts(t *testing.T) {
	for _, test := range []struct {
		name string
		gap  time.Duration
		n    int
		opts Options
		fail string
	}{
		{"a stream outlives Timeout", 10 * time.Second, 20, Options{}, "none"},
		{"a gap just below StreamTimeout", 30*time.Second - 1, 3, Options{}, "none"},
		{"a gap over StreamTimeout", 30*time.Second + 1, 3, Options{}, "unknown, timeout"},
		{"just below MaxStream", 11 * time.Second, 54, Options{}, "none"},
		{"over MaxStream", 11 * time.Second, 55, Options{}, "unknown, timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wrote := 0
				p := &server{t: t, serve: ticking(test.gap, test.n, &wrote)}
				c := p.client(test.opts)
				r := stream(t, c)
				b, err := io.ReadAll(r)
				synctest.Wait()
				if failure(err) != test.fail || len(b) != wrote {
					t.Errorf("%d of %d bytes, %v; want %s", len(b), wrote, err, test.fail)
				}
				if s := c.Stats(); s.Streams != 0 {
					t.Errorf("%d streams left", s.Streams)
				}
				closeNow(c)
			})
		})
	}
}

func TestReadReturnsAsPHPFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrote := 0
		p := &server{t: t, serve: ticking(time.Second, 3, &wrote)}
		c := p.client(Options{})
		r := stream(t, c)
		began := time.Now()
		for i := range 3 {
			n, err := r.Read(make([]byte, 100))
			if want := time.Duration(i+1) * time.Second; n != 1 || err != nil || time.Since(began) != want {
				t.Errorf("%d bytes, %v, after %v; want one after %v", n, err, time.Since(began), want)
			}
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d, %v; want EOF", n, err)
		}
		closeNow(c)
	})
}

func TestMaxStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrote := 0
		p := &server{t: t, serve: ticking(time.Second, 100, &wrote)}
		c := p.client(Options{MaxConns: 4})
		one, two := stream(t, c), stream(t, c)
		third, err := perform(c, t.Context(), &Request{})
		if err != nil {
			t.Fatal(err)
		}
		if err := third.Stream(); failure(err) != "executed, busy" {
			t.Errorf("the third of two: %s", failure(err))
		}
		one.Close()
		if err := third.Stream(); err != nil {
			t.Errorf("after one has ended: %v", err)
		}
		two.Close()
		third.Close()
		if s := c.Stats(); s.Streams != 0 || s.GivenUp != 3 || s.StreamsRefused != 1 {
			t.Errorf("stats %+v", s)
		}
		closeNow(c)
	})
}

// Closing a streamed reply closes its connection, so that PHP ends at its next
// write; the slot rests as long as PHP was seen to be silent.
func TestCloseOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrote := 0
		p := &server{t: t, serve: ticking(3*time.Second, 100, &wrote)}
		c := p.client(Options{MaxConns: 1})
		r := stream(t, c)
		r.Read(make([]byte, 1))
		time.AfterFunc(time.Second, func() { r.Close() })
		if _, err := r.Read(make([]byte, 1)); failure(err) != "unknown, canceled" {
			t.Errorf("a read that waits gives %v", err)
		}
		synctest.Wait()
		if _, open, _ := p.count(); open != 0 {
			t.Errorf("%d open", open)
		}
		if s := c.Stats(); s.Resting != 1 || s.Open != 1 {
			t.Errorf("resting %d, open %d; want 1, 1", s.Resting, s.Open)
		}
		time.Sleep(3*time.Second - 1)
		if s := c.Stats(); s.Resting != 1 {
			t.Error("rested for less than the longest silence")
		}
		time.Sleep(2)
		if s := c.Stats(); s.Open != 0 || wrote != 1 {
			t.Errorf("open %d, PHP wrote %d", s.Open, wrote)
		}
		closeNow(c)
	})
}

// A plain reply that nobody wants is discarded, and its slot is free at END.
func TestCloseOfAPlainReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			for {
				c, err := s.request()
				if err != nil {
					return
				}
				s.Write(rec(typeStdout, 1, "A: b\n\n"+string(c.body)))
				time.Sleep(3 * time.Second)
				s.Write(rec(typeStdout, 1, strings.Repeat("z", 300_000)))
				s.Write(endRecord(1, 0))
				s.record()
				s.Write(resultRecord("0"))
			}
		}}
		c := p.client(Options{MaxConns: 1, KeepAlive: time.Second})
		r, err := perform(c, t.Context(), &Request{Body: []byte("first")})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		r.Close()
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errReplyClosed) {
			t.Errorf("Read after Close = %v", err)
		}
		began := time.Now()
		got, err := post(c, "second")
		if !strings.HasPrefix(got, "secondz") || err != nil {
			t.Errorf("%.10q, %v", got, err)
		}
		if took := time.Since(began); took < 6*time.Second || took > 6200*time.Millisecond {
			t.Errorf("took %v, want 3s for the end of the first and 3s of its own", took)
		}
		if dials, _, _ := p.count(); dials != 1 {
			t.Errorf("%d connections", dials)
		}
		closeNow(c)
	})
}

func TestBackpressure(t *testing.T) {
	t.Run("that begins while it is streamed", func(t *testing.T) { backpressure(t, false) })
	t.Run("that began before", func(t *testing.T) { backpressure(t, true) })
}

func backpressure(t *testing.T, before bool) {
	synctest.Test(t, func(t *testing.T) {
		begin := make(chan struct{})
		wrote := 0
		p := &server{t: t, serve: func(_ int, s *session) {
			s.request()
			s.Write(rec(typeStdout, 1, "A: b\n\n"))
			<-begin
			for range 1000 {
				if _, err := s.Write(rec(typeStdout, 1, strings.Repeat("x", 1024))); err != nil {
					return
				}
				wrote += 1024
			}
			s.Write(endRecord(1, 0))
		}}
		c := p.client(Options{MaxStream: time.Hour})
		r, err := perform(c, t.Context(), &Request{})
		if err != nil {
			t.Fatal(err)
		}
		if before {
			close(begin)
			synctest.Wait()
		}
		if err := r.Stream(); err != nil {
			t.Fatal(err)
		}
		if !before {
			close(begin)
			synctest.Wait()
		}
		if wrote < maxUnread || wrote > maxUnread+readSize {
			t.Errorf("the server wrote %d bytes that nobody read, want about %d", wrote, maxUnread)
		}
		time.Sleep(time.Minute) // longer than StreamTimeout: we keep it from writing
		b, err := io.ReadAll(r)
		if len(b) != 1000*1024 || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		closeNow(c)
	})
}

// A request that PHP answers before it has read all of it must not wait for
// its own write.
func TestReplyBeforeTheBodyIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, unbuffered: true, serve: func(_ int, s *session) {
			s.record()
			s.record()
			s.record()
			s.Write(rec(typeStdout, 1, "A: b\n\n"))
			for range 20 {
				s.Write(rec(typeStdout, 1, strings.Repeat("x", 60_000)))
			}
			s.Write(endRecord(1, 0))
			io.Copy(io.Discard, s.Conn)
		}}
		c := p.client(Options{KeepAlive: time.Second})
		r, err := perform(c, context.Background(), &Request{Body: make([]byte, 1<<20)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.AppendBody(nil, 1<<22)
		if len(b) != 1_200_000 || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		synctest.Wait()
		if _, open, _ := p.count(); open != 0 {
			t.Error("the connection is still open, its request half written")
		}
		closeNow(c)
	})
}

// stuckWrite is a connection whose writes hang until released, even after it
// was closed.
type stuckWrite struct {
	net.Conn
	release chan struct{}
}

func (c stuckWrite) Write([]byte) (int, error) {
	<-c.release
	return 0, net.ErrClosed
}

// A streamed reply is closed just after its connection broke, and before the
// write of its request has returned: the slot is given back once.
func TestStreamClosedOnABrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := make(chan struct{})
		p := &server{t: t, serve: func(_ int, s *session) {
			s.Write(rec(typeStdout, 1, "Content-type: text/event-stream\r\n\r\n"))
			<-broken
		}}
		release := make(chan struct{})
		c, err := New(Options{Dial: func(ctx context.Context) (net.Conn, error) {
			nc, err := p.dial(ctx)
			return stuckWrite{nc, release}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := perform(c, t.Context(), &Request{Body: make([]byte, 100)})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Stream(); err != nil {
			t.Fatal(err)
		}
		close(broken)
		synctest.Wait()
		r.Close()
		close(release)
		synctest.Wait()
		if s := c.Stats(); s.Open != 0 || s.Resting != 0 || s.Streams != 0 || s.Abandoned != 0 {
			t.Errorf("stats %+v", s)
		}
		closeNow(c)
	})
}
