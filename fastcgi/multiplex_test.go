package fastcgi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/fcgi"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startGo starts Go's own FastCGI server, which multiplexes, with a handler
// that gives each body back after a random delay.
func startGo(t *testing.T, most *atomic.Int64) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running atomic.Int64
	var served sync.WaitGroup
	served.Go(func() {
		fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/unread" {
				io.WriteString(w, "unread")
				return
			}
			b, _ := io.ReadAll(r.Body)
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-time.After(rand.N(8 * time.Millisecond))
			half := len(b) / 2
			w.Write(b[:half])
			w.(http.Flusher).Flush() // so that the records of several replies come mixed
			w.Write(b[half:])
		}))
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return l.Addr().String()
}

// TestMultiplexWithGo: a thousand requests at once share two connections, one
// in ten with a body of several records, and each gets its own answer.
func TestMultiplexWithGo(t *testing.T) {
	var most atomic.Int64
	address := startGo(t, &most)
	c, err := New(Options{Network: "tcp", Address: address, MaxConns: 2, KeepAlive: time.Second, QueueTimeout: 30 * time.Second, Multiplex: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	block := func(path string) []Params {
		return []Params{params(t, "SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_URI", path, "HTTP_HOST", "x")}
	}
	if r, err := perform(c, context.Background(), &Request{Params: block("/unread"), Body: make([]byte, 8000)}); err != nil {
		t.Error(err)
	} else if got, err := r.AppendBody(nil, 1<<20); string(got) != "unread" || err != nil {
		t.Errorf("a handler that does not read its body: %q, %v", got, err)
	}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			// Every piece of the payload says whose it is.
			size := 1 + i%50
			if i%10 == 0 {
				size = maxContent/8 + i
			}
			want := bytes.Repeat(fmt.Appendf(nil, "<%06d>", i), size)
			r, err := perform(c, context.Background(), &Request{Params: block("/"), Body: want})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if got, err := r.AppendBody(nil, 1<<20); !bytes.Equal(got, want) || err != nil {
				t.Errorf("%d bytes %.40q, %v; want %d of %.20q", len(got), got, err, len(want), want)
			}
		})
	}
	wg.Wait()
	s := c.Stats()
	if s.Completed != 1001 || s.ProtocolErrors != 0 {
		t.Errorf("stats %+v", s)
	}
	if most.Load() <= 2 {
		t.Errorf("at most %d requests at once on two connections: nothing was shared", most.Load())
	}
	t.Logf("%d at once on two connections, %d connections in all", most.Load(), s.Dials)
}

// Replies that are not read, or not wanted any more, delay nobody else on
// their connection, and their ids get to nobody before their end.
func TestSlowConsumersOfASharedConnection(t *testing.T) {
	var most atomic.Int64
	c, err := New(Options{Network: "tcp", Address: startGo(t, &most), MaxConns: 1, KeepAlive: time.Second, KeepAliveBody: 1 << 20, Multiplex: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	block := []Params{params(t, "SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_URI", "/", "HTTP_HOST", "x")}
	do := func(body string) *Response {
		t.Helper()
		r, err := perform(c, context.Background(), &Request{Params: block, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if b, err := do("first").AppendBody(nil, 100); string(b) != "first" || err != nil {
		t.Fatal(b, err)
	}
	big := strings.Repeat("big", 200_000)
	unread := do(big)
	do(big).Close()
	for i := range 50 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if r, err := perform(c, ctx, &Request{Params: block, Body: []byte(big)}); err == nil {
			r.Close()
		}
		cancel()
		want := fmt.Sprint("message ", i)
		if b, err := do(want).AppendBody(nil, 1000); string(b) != want || err != nil {
			t.Fatalf("%.40q, %v; want %q", b, err, want)
		}
	}
	if b, err := unread.AppendBody(nil, 1<<20); string(b) != big || err != nil {
		t.Errorf("the reply that waited: %d bytes, %v; want %d", len(b), err, len(big))
	}
	if s := c.Stats(); s.Dials != 1 || s.ProtocolErrors != 0 {
		t.Errorf("%d connections, %d protocol errors; want one connection and none", s.Dials, s.ProtocolErrors)
	}
}

// shared answers one request, says that it multiplexes, and collects n more
// before it goes on with them.
func shared(s *session, n int) (calls []call) {
	first, err := s.request()
	if err != nil {
		return nil
	}
	s.record()
	s.Write(echo(first))
	s.Write(resultRecord("1"))
	for range n {
		c, err := s.request()
		if err != nil {
			return nil
		}
		calls = append(calls, c)
	}
	return calls
}

// TestSharedConnectionBreaks: what a server does wrong on a shared connection
// leaves the outcome of all it carries unknown, runs nothing twice, and mixes
// up no replies. One that closes after the first END is shared no more.
func TestSharedConnectionBreaks(t *testing.T) {
	for _, test := range []struct {
		name  string
		then  func(s *session, calls []call)
		fails []string // of two requests, in order of their ids
		again bool     // whether the server is shared afterwards
	}{
		{"it closes behind the first END, as node-fastcgi does",
			func(s *session, calls []call) { s.Write(echo(calls[0])) }, []string{"none", "unknown, closed"}, false},
		{"it ends one twice", func(s *session, calls []call) {
			s.Write(append(echo(calls[0]), endRecord(calls[0].id, 0)...))
			io.Copy(io.Discard, s)
		}, []string{"none", "unknown, protocol"}, true},
		{"it goes on after the END of one", func(s *session, calls []call) {
			s.Write(append(echo(calls[0]), rec(typeStdout, calls[0].id, "stale")...))
			io.Copy(io.Discard, s)
		}, []string{"none", "unknown, protocol"}, true},
		{"it answers a request that nobody sent", func(s *session, calls []call) {
			s.Write(whole(7, "", "whose"))
			io.Copy(io.Discard, s)
		}, []string{"unknown, protocol", "unknown, protocol"}, true},
		{"it refuses the second at once", func(s *session, calls []call) {
			s.Write(endRecord(calls[1].id, statusCantMpx))
			s.Write(echo(calls[0]))
			io.Copy(io.Discard, s)
		}, []string{"none", "none"}, false},
		{"it refuses the second when the first has ended, as libfcgi may", func(s *session, calls []call) {
			s.Write(append(echo(calls[0]), endRecord(calls[1].id, statusCantMpx)...))
			io.Copy(io.Discard, s)
		}, []string{"none", "none"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: func(n int, s *session) {
					if n > 0 {
						s.php(nil)
					} else if calls := shared(s, 2); calls != nil {
						test.then(s, calls)
					}
				}}
				c := p.client(Options{MaxConns: 2, KeepAlive: 10 * time.Second, Multiplex: true})
				several(t, c, 1, 100*time.Millisecond)
				fails := make([]string, 2)
				var wg sync.WaitGroup
				for i := range fails {
					wg.Go(func() {
						got, err := post(c, fmt.Sprint(i))
						if fails[i] = failure(err); err == nil && got != fmt.Sprint(i) {
							t.Errorf("request %d got %q", i, got)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				if !slices.Equal(fails, test.fails) {
					t.Errorf("%q, want %q", fails, test.fails)
				}
				if c.mayShare() != test.again {
					t.Errorf("shared afterwards: %t", c.mayShare())
				}
				retried := map[string]int{} // refused by the server, which is no run
				for _, body := range p.ran() {
					retried[body]++
				}
				if n := retried["0"]; n != 1 || !strings.Contains(test.name, "refuses") && retried["1"] != 1 {
					t.Errorf("ran %v", p.ran())
				}
				closeNow(c)
			})
		})
	}
}

// php-fpm says that it does not multiplex; nor does a client that may not.
func TestOneRequestAtATimeUnlessTheServerMultiplexes(t *testing.T) {
	for _, test := range []struct {
		name  string
		says  string
		opts  Options
		share bool
	}{
		{"the server says no", "0", Options{Multiplex: true}, false},
		{"the server says yes, and we may not", "1", Options{}, false},
		{"the server says yes", "1", Options{Multiplex: true}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: func(_ int, s *session) {
					first, err := s.request()
					if err != nil {
						return
					}
					s.record()
					s.Write(echo(first))
					s.Write(resultRecord(test.says))
					for {
						c, err := s.request()
						if err != nil {
							return
						}
						go func() {
							time.Sleep(time.Second)
							s.Write(echo(c))
							s.Write(resultRecord(test.says))
						}()
					}
				}}
				test.opts.MaxConns, test.opts.KeepAlive, test.opts.MaxStreams = 1, 10*time.Second, 1
				c := p.client(test.opts)
				several(t, c, 1, 100*time.Millisecond)
				began := time.Now()
				var wg sync.WaitGroup
				for i := range 3 {
					wg.Go(func() {
						if got, err := post(c, fmt.Sprint(i)); got != fmt.Sprint(i) || err != nil {
							t.Errorf("%q, %v", got, err)
						}
					})
				}
				wg.Wait()
				if shared := time.Since(began) < 2*time.Second; shared != test.share {
					t.Errorf("three requests of a second took %v", time.Since(began))
				}
				closeNow(c)
			})
		})
	}
}

// lateWrite is a connection whose writes return long after they have arrived.
type lateWrite struct{ net.Conn }

func (c lateWrite) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	time.Sleep(40 * time.Millisecond)
	return n, err
}

// A server may have ended a request, and said that it multiplexes, before our
// write of that request returns: its place is free all the same.
func TestSharingIsLearnedBeforeTheWriteReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			shared(s, 0)
			if second, err := s.request(); err == nil {
				s.Write(echo(second))
			}
			var calls []call
			for {
				c, err := s.request()
				if err != nil {
					return
				}
				if calls = append(calls, c); len(calls) == sharedLimit { // all at once, or never
					for _, c := range calls {
						s.Write(echo(c))
					}
					calls = nil
				}
			}
		}}
		c, err := New(Options{MaxConns: 1, KeepAlive: 10 * time.Second, Multiplex: true, Dial: func(ctx context.Context) (net.Conn, error) {
			nc, err := p.dial(ctx)
			return lateWrite{nc}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		several(t, c, 2, 0) // the second before the write of the first returns
		time.Sleep(time.Second)
		if s := c.Stats(); s.Idle != 1 || s.Open != 1 {
			t.Fatalf("%d idle of %d; want the one", s.Idle, s.Open)
		}
		var wg sync.WaitGroup
		for i := range sharedLimit {
			wg.Go(func() {
				if got, err := post(c, fmt.Sprint(i)); got != fmt.Sprint(i) || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		wg.Wait()
		closeNow(c)
	})
}
