package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A pipes listens for connections made in the process, so that their time can
// be virtual.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// bubble runs f with a server in virtual time.
func bubble(t *testing.T, run func(t *testing.T, f *fixture, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		var wg sync.WaitGroup
		wg.Go(func() { f.Serve(p) })
		run(t, f, p)
		f.Shutdown(context.Background())
		wg.Wait()
	})
}

// readUntilClosed gives what comes and how long it takes until the end.
func readUntilClosed(nc net.Conn) (text string, took time.Duration) {
	started := time.Now()
	b, _ := io.ReadAll(nc)
	return string(b), time.Since(started)
}

func TestSlowCallers(t *testing.T) {
	const head = "DELETE /connections/" + someID + " HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
	tests := []struct {
		name    string
		first   string        // sent at once
		drip    time.Duration // between further single bytes; zero: none come
		took    time.Duration
		answer  string
		refused cause
	}{
		{"one that says nothing is cut at 5 s", "", 0, 5 * time.Second, "", causeUnread},
		{"one that sends its header byte by byte is cut at 5 s", "GET / HTTP/1.1\r\nX: ", time.Second, 5 * time.Second, "", causeUnread},
		{"one that never sends its body is cut at 10 s", head, 0, 10 * time.Second, "HTTP/1.1 408 ", causeTimeout},
		{"one that sends its body byte by byte is cut at 10 s", head, 999 * time.Millisecond, 10 * time.Second, "HTTP/1.1 408 ", causeTimeout},
		{"one that asks no more is cut after 30 s", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 0, 30 * time.Second, "HTTP/1.1 200 ", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture, p *pipes) {
				nc := p.dial()
				defer nc.Close()
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := io.WriteString(nc, test.first)
					for err == nil && test.drip > 0 {
						time.Sleep(test.drip)
						_, err = nc.Write([]byte("x"))
					}
				})
				text, took := readUntilClosed(nc)
				wg.Wait()
				// net/http waits half a second before it closes on unread bytes.
				if took < test.took || took > test.took+time.Second {
					t.Errorf("cut after %v; want %v", took, test.took)
				}
				if !strings.HasPrefix(text, test.answer) || test.answer == "" && strings.HasPrefix(text, "HTTP/1.1 2") {
					t.Errorf("answer %q; want %q", text, test.answer)
				}
				want := map[cause]int{}
				if test.refused != "" {
					want[test.refused] = 1
				}
				synctest.Wait()
				f.wantRefused(t, want)
				if len(f.conns.closed) > 0 {
					t.Errorf("closed %q", f.conns.closed)
				}
			})
		})
	}
}

func TestBodyJustInTime(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		io.WriteString(nc, "DELETE /connections/"+someID+" HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n1")
		time.Sleep(10*time.Second - time.Millisecond)
		io.WriteString(nc, "2")
		if text, _ := readUntilClosed(nc); !strings.HasPrefix(text, "HTTP/1.1 204 ") {
			t.Errorf("answer %q; want 204", text)
		}
		f.wantRefused(t, nil)
	})
}

func TestCallerThatDoesNotReadIsCut(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		io.WriteString(nc, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(20*time.Second - time.Millisecond)
		synctest.Wait()
		if n := f.count.open.Value(); n != 1 {
			t.Errorf("%d connections before the limit; want 1", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := f.count.open.Value(); n != 0 {
			t.Errorf("%d connections after it; want 0", n)
		}
	})
}

// Ten failures a second for ten seconds are all counted, and each second has
// one line of the log, which says how many have none.
func TestRefusalsAreLoggedOnceASecond(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture, p *pipes) {
		for range 100 {
			nc := p.dial()
			io.WriteString(nc, "GET /healthz HTTP/1.1\r\nHost: a\r\nOrigin: marker\r\n\r\n")
			http.ReadResponse(bufio.NewReader(nc), nil)
			nc.Close()
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.refused(causeBrowser); n != 100 {
			t.Errorf("%d counted; want 100", n)
		}
		log := f.log.String()
		if n := strings.Count(log, "level=WARN"); n != 10 {
			t.Errorf("%d lines; want 10:\n%s", n, log)
		}
		if n := strings.Count(log, "unlogged=9"); n != 9 || strings.Contains(log, "marker") {
			t.Errorf("%d lines with those not logged; want 9:\n%s", n, log)
		}
	})
}

func TestLimiter(t *testing.T) {
	var l limiter
	at := time.Unix(1, 0)
	for i, step := range []struct {
		after  time.Duration
		unsaid uint64
		ok     bool
	}{
		{0, 0, true},
		{0, 0, false},
		{time.Second - 1, 0, false},
		{1, 2, true},
		{time.Second + 1, 0, true},
		{time.Second, 0, true},
	} {
		at = at.Add(step.after)
		if unsaid, ok := l.allow(at); unsaid != step.unsaid || ok != step.ok {
			t.Errorf("step %d: allow = %d, %v; want %d, %v", i, unsaid, ok, step.unsaid, step.ok)
		}
	}
}

func TestShutdown(t *testing.T) {
	t.Run("requests in hand are answered, and nothing more is accepted", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fixture, p *pipes) {
			nc := p.dial()
			defer nc.Close()
			io.WriteString(nc, "DELETE /connections/"+someID+" HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
			synctest.Wait() // net/http answers what it has read when it is told, and no more
			ended := make(chan error, 1)
			go func() { ended <- f.Shutdown(t.Context()) }()
			synctest.Wait()
			select {
			case <-p.done:
			default:
				t.Error("still listening")
			}
			io.WriteString(nc, "x")
			if text, _ := readUntilClosed(nc); !strings.HasPrefix(text, "HTTP/1.1 204 ") {
				t.Errorf("answer %q; want 204", text)
			}
			if err := <-ended; err != nil {
				t.Errorf("Shutdown = %v; want nil", err)
			}
		})
	})
	t.Run("requests that take too long are cut", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fixture, p *pipes) {
			nc := p.dial()
			defer nc.Close()
			io.WriteString(nc, "DELETE /connections/"+someID+" HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			started := time.Now()
			err := f.Shutdown(ctx)
			if took := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || took < time.Second || took > 3*time.Second {
				t.Errorf("Shutdown = %v after %v; want the deadline after 1 s", err, took)
			}
			if n := f.count.open.Value(); n != 0 {
				t.Errorf("%d connections left", n)
			}
		})
	})
	t.Run("afterwards Serve closes and returns", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fixture, p *pipes) {
			f.Shutdown(t.Context())
			again := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
			if err := f.Serve(again); err != nil {
				t.Errorf("Serve = %v; want nil", err)
			}
			<-again.done
		})
	})
}
