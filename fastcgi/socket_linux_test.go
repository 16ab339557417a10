package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// connected is a socket and what it is connected to.
func connected(t *testing.T) (*socket, net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := connectUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); other.Close() })
	return s, other
}

func TestSocketWaits(t *testing.T) {
	s, other := connected(t)
	big := bytes.Repeat([]byte("0123456789"), 1<<20/10)
	go func() {
		var got bytes.Buffer
		io.CopyN(&got, other, int64(len(big)))
		other.Write(got.Bytes()[:9])
		other.Close()
	}()
	if n, err := s.Write(big); n != len(big) || err != nil {
		t.Fatalf("wrote %d, %v; want all of %d", n, err, len(big))
	}
	b := make([]byte, 99)
	if n, err := io.ReadFull(s, b[:9]); err != nil || string(b[:n]) != "012345678" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	if n, err := s.Read(b); n != 0 || err != io.EOF {
		t.Errorf("at the end read %d, %v; want EOF", n, err)
	}
	if s.waiting != nil {
		t.Error("nobody waits, and its second descriptor is open")
	}
}

func TestSocketCloseEndsThoseWhoWait(t *testing.T) {
	s, _ := connected(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d, %v; want an error", n, err)
		}
	})
	wg.Go(func() {
		if _, err := s.Write(make([]byte, 8<<20)); err == nil {
			t.Error("wrote it all, want an error")
		}
	})
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		s.mu.Lock()
		n := s.waits
		s.mu.Unlock()
		if n == 2 {
			break
		}
	}
	s.Close()
	wg.Wait()
	if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("behind the end read %d, %v; want an error", n, err)
	}
}

// After its end a socket's number belongs to somebody else: nothing done to the
// old one may touch it, and its number is free no sooner than its last call ends.
func TestSocketIsNotTouchedAfterItsEnd(t *testing.T) {
	s, other := connected(t)
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		s.Close()
		other.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("closed during a call: its peer reads %v", err)
		}
	})
	other.SetReadDeadline(time.Time{})
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind the call its peer reads %v, want EOF", err)
	}
	touched := func(uintptr) bool { t.Error("a call was made"); return true }
	s.Close()
	for _, err := range []error{
		raw.Control(func(fd uintptr) { touched(fd) }), raw.Read(touched), raw.Write(touched),
	} {
		if err != net.ErrClosed {
			t.Errorf("%v, want %v", err, net.ErrClosed)
		}
	}
}

func TestConnectUnixFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		want       error
	}{
		{"where nothing is", filepath.Join(dir, "none"), syscall.ENOENT},
		{"to a file", file, syscall.ECONNREFUSED},
		{"to a name too long", strings.Repeat("x", 200), syscall.EINVAL},
	} {
		_, err := connectUnix(test.path)
		_, dialed := (&net.Dialer{}).DialContext(t.Context(), "unix", test.path)
		if !errors.Is(err, test.want) || err.Error() != dialed.Error() {
			t.Errorf("%s: %v; want %v, worded as package net does: %v", test.name, err, test.want, dialed)
		}
	}
}

// backlogged is a Unix socket that takes one connection which nobody accepts,
// and no other.
func backlogged(t *testing.T) (path string, l net.Listener) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	if l, err = net.FileListener(f); err != nil {
		t.Fatal(err)
	}
	return path, l
}

// A watched client connects in place, without a goroutine, and where that would
// wait, because the backlog is full, in one that does. All requests run, once
// each; so do those whose body is too long for a connection to be kept.
func TestStartConnectsInPlace(t *testing.T) {
	path, listener := backlogged(t)
	p := &server{t: t}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer listener.Close()
	l := &lookout{t: t}
	defer l.end()
	c, err := New(Options{Network: "unix", Address: path, MaxConns: 3, KeepAlive: time.Minute, KeepAliveBody: 10})
	if err != nil {
		t.Fatal(err)
	}
	c.WatchWith(l)
	const requests = 9
	got := make(wholes, requests)
	for range requests {
		if !c.Start(t.Context(), &Request{Body: []byte("longer than is kept")}, 100, got) {
			t.Fatal("not started")
		}
	}
	if n := c.n.dials.Load(); n == 0 {
		t.Error("Start has returned, and no connection was opened")
	}
	for tick := time.NewTicker(time.Millisecond); c.n.dialErrors.Load() == 0; <-tick.C { // two find the backlog full
	}
	p.acceptFrom(listener, &wg, func(s *session) { s.php(func(_ int, c call) []byte { return echo(c) }) })
	for range requests {
		if o := <-got; o.err != nil || o.body != "longer than is kept" {
			t.Errorf("%q, %v", o.body, o.err)
		}
	}
	if n := len(p.ran()); n != requests {
		t.Errorf("%d requests ran, want %d", n, requests)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Open != 0 || s.Reused != 0 || s.Completed != requests {
		t.Errorf("%+v; want none open, none reused, all complete", s)
	}
}

// A request that finds the backlog full takes the connection that another has
// left. Somebody reads that already: two would have its bytes change places.
func TestFullBacklogTakesWhatIsLeft(t *testing.T) {
	for _, test := range []struct {
		name string
		ask  func(c *Client, body string, got wholes)
	}{
		{"a request that nobody waits for", func(c *Client, body string, got wholes) {
			if !c.Start(t.Context(), &Request{Body: []byte(body)}, 100, got) {
				t.Fatal("not started")
			}
		}},
		{"one that is waited for", func(c *Client, body string, got wholes) {
			go func() {
				var w struct {
					body string
					err  error
				}
				r, err := c.Do(context.Background(), &Request{Body: []byte(body)})
				if w.err = err; err == nil {
					var b []byte
					b, w.err = r.AppendBody(nil, 100)
					w.body = string(b)
				}
				got <- w
			}()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, listener := backlogged(t)
			defer listener.Close()
			l := &lookout{t: t}
			defer l.end()
			c, err := New(Options{Network: "unix", Address: path, MaxConns: 2, KeepAlive: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			c.WatchWith(l)
			got := make(wholes, 2)
			test.ask(c, "first", got)
			nc, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			filler, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer filler.Close()
			release := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				defer nc.Close()
				(&session{Conn: nc, peer: &server{t: t}}).php(func(_ int, c call) []byte { <-release; return echo(c) })
			})
			test.ask(c, "second", got)
			until := func(ok func() bool) {
				for tick := time.NewTicker(time.Millisecond); !ok(); <-tick.C {
				}
			}
			until(func() bool { return c.n.dialErrors.Load() > 0 })
			close(release)
			var bodies []string
			for range 2 {
				o := <-got
				if bodies = append(bodies, o.body); o.err != nil {
					t.Error(o.err)
				}
			}
			if slices.Sort(bodies); !slices.Equal(bodies, []string{"first", "second"}) {
				t.Errorf("the replies are %q", bodies)
			}
			until(func() bool { return c.Stats().Idle == 1 })
			if n := l.watching(); n != 1 {
				t.Errorf("the connection is watched %d times", n)
			}
			if s := c.Stats(); s.Open != 1 || s.Reused != 1 {
				t.Errorf("%d connections, %d used again; want one", s.Open, s.Reused)
			}
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if n := l.watching(); n != 0 {
				t.Errorf("%d are watched that are closed", n)
			}
		})
	}
}
