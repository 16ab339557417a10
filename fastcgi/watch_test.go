package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A lookout waits for sockets in a goroutine each, as a loop would for all.
type lookout struct {
	t     testing.TB
	wg    sync.WaitGroup
	mu    sync.Mutex // guards what follows
	ended bool
	live  map[*bool]func([]byte) int
	calls int
	told  []int  // what ready has said, but for zeros
	slow  func() // if there is one, Watch returns after it
}

func (l *lookout) Watch(sock syscall.RawConn, ready func([]byte) int) (func(), error) {
	l.mu.Lock()
	defer func() {
		slow := l.slow
		l.mu.Unlock()
		if slow != nil {
			slow()
		}
	}()
	if l.ended {
		return nil, errors.New("ended")
	}
	if l.live == nil {
		l.live = map[*bool]func([]byte) int{}
	}
	stopped := new(bool)
	l.live[stopped] = ready
	l.wg.Go(func() {
		buf := make([]byte, 1000)
		// Polled, for a test only: the runtime's poller would be the
		// connection's own.
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			l.mu.Lock()
			over := *stopped || l.ended
			l.calls++
			l.mu.Unlock()
			if over {
				tick.Stop()
				return
			}
			n := ready(buf)
			l.mu.Lock()
			if n != 0 {
				l.told = append(l.told, n)
			}
			l.mu.Unlock()
		}
	})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*stopped = true
		delete(l.live, stopped)
	}, nil
}

// end is what a loop does that ends.
func (l *lookout) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.wg.Wait()
	for _, ready := range l.live {
		ready(nil)
	}
}

// forget waits until ready has said that a reply has ended, and gives all it has
// said since the last time.
func (l *lookout) forget() (told []int) {
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		l.mu.Lock()
		if slices.Contains(l.told, -1) {
			told, l.told = l.told, nil
			l.mu.Unlock()
			tick.Stop()
			return told
		}
		l.mu.Unlock()
	}
}

func (l *lookout) watching() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.live)
}

// socketServer answers on a real socket: what may be watched is no pipe.
func socketServer(t *testing.T, serve func(s *session)) Options {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	p := &server{t: t}
	p.acceptFrom(l, &wg, serve)
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return Options{Network: "unix", Address: path, KeepAlive: time.Minute}
}

// However a connection is read, by a watcher, by a goroutine where a reader
// lags, or by a goroutine once the watcher has ended, replies come whole.
func TestWatchedConnections(t *testing.T) {
	const long = 5 * maxUnread
	l := &lookout{t: t}
	o := socketServer(t, func(s *session) {
		s.php(func(_ int, c call) []byte {
			if string(c.body) == "long" {
				return whole(c.id, "", strings.Repeat("x", long))
			}
			return echo(c)
		})
	})
	o.MaxConns = 1
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.WatchWith(l)
	ask := func(body string) {
		t.Helper()
		if got, err := post(c, body); err != nil || got != body {
			t.Fatalf("post(%.20q) = %.20q, %v", body, got, err)
		}
	}
	settled := func(want int) {
		t.Helper()
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			if s := c.Stats(); s.Idle == 1 && l.watching() == want {
				tick.Stop()
				return
			}
		}
	}
	ask("first")
	settled(1)
	l.forget()
	ask(strings.Repeat("0123456789", 500)) // several reads
	settled(1)
	full := 0
	told := l.forget()
	for _, n := range told {
		if n == 1000 {
			full++
		}
	}
	if full < 4 {
		t.Errorf("reading 5000 bytes and what is around them, 1000 at a time, said %v; want 1000 some times and -1 for the end", told)
	}

	r, err := c.Do(t.Context(), &Request{Body: []byte("long")})
	if err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(time.Millisecond); l.watching() > 0; <-tick.C { // nobody reads, so it is not watched
	}
	var body bytes.Buffer
	if n, err := io.Copy(&body, r); err != nil || n != long {
		t.Fatalf("%d bytes, %v", n, err)
	}
	settled(1)
	ask("watched again")

	l.end()
	ask("read by a goroutine")
	ask("and on")
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Dials != 1 {
		t.Errorf("%d connections, want one", s.Dials)
	}
}

// A watcher may call before it has returned how to stop it. A reader that lags
// already then is read by nobody else at the same time, or a reply's bytes would
// change places.
func TestWatchedBeforeWatchReturns(t *testing.T) {
	var text strings.Builder
	for i := 0; text.Len() < 5*maxUnread; i++ {
		fmt.Fprint(&text, i, " ")
	}
	long := text.String()
	l := &lookout{t: t}
	o := socketServer(t, func(s *session) {
		s.php(func(_ int, c call) []byte {
			if len(c.body) > 0 {
				return echo(c)
			}
			return whole(c.id, "", long)
		})
	})
	o.MaxConns = 1
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.WatchWith(l)
	begin := func() *Response {
		t.Helper()
		r, err := c.Do(t.Context(), &Request{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	end := func(r *Response) {
		t.Helper()
		if got, err := r.AppendBody(nil, 10*maxUnread); err != nil || string(got) != long {
			t.Errorf("a reply of %d bytes came as %d, %v, or in another order", len(long), len(got), err)
		}
	}
	until := func(ok func() bool) {
		for tick := time.NewTicker(time.Millisecond); !ok(); <-tick.C {
		}
	}
	if got, err := post(c, "first"); err != nil || got != "first" {
		t.Fatal(got, err)
	}
	until(func() bool { return c.Stats().Idle == 1 })
	r := begin()
	until(func() bool { return l.watching() == 0 }) // nobody reads, so a goroutine does
	entered, release := make(chan struct{}), make(chan struct{})
	l.mu.Lock()
	l.slow = sync.OnceFunc(func() { close(entered); <-release })
	l.mu.Unlock()
	end(r)
	<-entered

	r = begin()
	c.mu.Lock()
	cn := c.pool.conns[0]
	c.mu.Unlock()
	until(cn.lags)
	calls := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.calls
	}
	seen := calls()
	until(func() bool { return calls() > seen+5 })
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := strings.Count(string(stacks), "(*conn).readLoop("); n != 1 {
		close(release)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c.Close(ctx)
		l.end()
		t.Fatalf("%d goroutines read the connection or are about to; want the one in Watch", n)
	}
	close(release)
	end(r)
	until(func() bool { return c.Stats().Idle == 1 && l.watching() == 1 })
	end(begin())
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	l.end()
}

// A watcher that cannot wait for a connection which closes just then is asked
// again for the next; one that waits for nothing any more is not.
func TestWatchFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		closes bool
		want   int // times that the watcher is asked
	}{{"for a connection that has closed", true, 2}, {"for an open connection", false, 1}} {
		t.Run(test.name, func(t *testing.T) {
			o := socketServer(t, func(s *session) { s.php(func(_ int, c call) []byte { return echo(c) }) })
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			f := &failingWatcher{}
			if test.closes {
				f.before = sync.OnceFunc(func() {
					c.mu.Lock()
					conns := slices.Clone(c.pool.conns)
					c.mu.Unlock()
					for _, cn := range conns {
						cn.kill()
					}
				})
			}
			c.WatchWith(f)
			for _, body := range []string{"first", "second"} { // the first is sent on another one, if need be
				if got, err := post(c, body); err != nil || got != body {
					t.Errorf("%q, %v", got, err)
				}
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if f.asked != test.want {
				t.Errorf("asked %d times, want %d", f.asked, test.want)
			}
		})
	}
}

type failingWatcher struct {
	before func()
	asked  int
}

func (f *failingWatcher) Watch(syscall.RawConn, func([]byte) int) (func(), error) {
	f.asked++
	if f.before != nil {
		f.before()
	}
	return nil, errors.New("no")
}
