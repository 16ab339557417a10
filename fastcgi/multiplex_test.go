package fastcgi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Go's own FastCGI server multiplexes: requests share two connections, and
// each gets its own answer.
func TestMultiplexWithGo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running, most atomic.Int64
	var served sync.WaitGroup
	served.Go(func() {
		fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-time.After(time.Duration(len(b)%7) * time.Millisecond)
			w.Write(b)
		}))
	})
	defer served.Wait()
	defer l.Close()

	c, err := New(Options{Network: "tcp", Address: l.Addr().String(), MaxConns: 2, KeepAlive: time.Second, Multiplex: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	block := params(t, "SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_URI", "/", "HTTP_HOST", "x")
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			want := fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte("m"), i%100))
			r, err := c.Do(context.Background(), &Request{Params: []Params{block}, Body: want})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if got, err := r.AppendBody(nil, 1<<20); !bytes.Equal(got, want) || err != nil {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Completed != 500 || s.Dials > 2 {
		t.Errorf("stats %+v", s)
	}
	if most.Load() <= 2 {
		t.Errorf("at most %d requests at once on two connections: nothing was shared", most.Load())
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
