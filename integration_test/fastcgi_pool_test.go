package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// TestFastCGIMaxRequests: workers that leave after a few requests lose
// nothing and double nothing, and none stays stuck behind a connection.
func TestFastCGIMaxRequests(t *testing.T) {
	type row struct {
		maxRequests, clients int
		think                time.Duration
		messages             int
	}
	rows := []row{
		{1, 1, 0, 100},
		{1, 16, 0, 200},
		{2, 4, 200 * time.Microsecond, 300},
		{5, 1, 0, 300},
		{5, 4, 0, 1000},
		{5, 4, 2 * time.Millisecond, 300},
		{5, 16, 0, 1000},
	}
	if long() {
		rows = nil
		for _, maxRequests := range []int{1, 2, 5} {
			for _, clients := range []int{1, 4, 16} {
				for _, think := range []time.Duration{0, 200 * time.Microsecond, 2 * time.Millisecond} {
					rows = append(rows, row{maxRequests, clients, think, 20000})
				}
			}
		}
	}
	for _, test := range rows {
		t.Run(fmt.Sprintf("max_requests %d, %d clients, think %v", test.maxRequests, test.clients, test.think), func(t *testing.T) {
			f := startFPM(t, fpmOptions{pool: []string{
				"pm.max_children = 4", "pm.max_requests = " + itoa(test.maxRequests)}})
			c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second, MaxConns: 4})
			l := &load{clients: test.clients, messages: test.messages, think: test.think}
			l.run(f, c)
			if errs := l.reconcile(t, f); len(errs) > 0 {
				t.Errorf("%d of %d messages failed:\n%s", len(errs), l.messages, summary(errs))
			}
			s := c.Stats()
			if s.Completed != uint64(l.messages) {
				t.Errorf("%d completed of %d", s.Completed, l.messages)
			}
			// A connection carries maxRequests, but for the last of each worker.
			if least := uint64(l.messages) * uint64(test.maxRequests-1) / uint64(test.maxRequests) * 8 / 10; s.Reused < least {
				t.Errorf("%d of %d on a kept connection, want %d", s.Reused, l.messages, least)
			}
			eventually(t, time.Second, "four workers, none finishing", func() bool {
				return len(f.workers()) == 4 && !slices.ContainsFunc(f.status().Processes, func(w workerStatus) bool {
					return w.State == "Finishing"
				})
			})
			eventually(t, 3*time.Second, "all workers wait for a new connection", f.drained)
		})
	}
}

// TestFastCGIPoison: messages that kill their worker cost themselves only,
// and their outcome is unknown.
func TestFastCGIPoison(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := startFPM(t, fpmOptions{tcp: tcp, pool: []string{"pm.max_children = 4", "pm.max_requests = 5"}})
		c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second, MaxConns: 4})
		l := &load{clients: 8, messages: scaled(800, 20000), poison: func(i int) bool { return i%20 == 0 }}
		l.run(f, c)
		errs := l.reconcile(t, f)
		for id, err := range l.result {
			if strings.HasSuffix(id, "!") {
				wantError(t, err, fastcgi.KindClosed, fastcgi.Unknown)
			}
		}
		if kills := l.messages / 20; len(errs) != kills {
			t.Errorf("%d errors for %d kills:\n%s", len(errs), kills, summary(errs))
		}
	}
}

// TestFastCGIHoldsNothing: without keep-alive a connection is closed as soon
// as its request has ended, for until then its worker waits.
func TestFastCGIHoldsNothing(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	c := f.fastcgiClient(t, fastcgi.Options{})
	before := openSockets(t)
	var times []time.Duration
	for range 21 {
		want(t, c, f.post("echo.php", "x"), "x")
		began := time.Now()
		eventually(t, time.Second, "no socket is left", func() bool { return openSockets(t) <= before })
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	if median := times[len(times)/2]; median > 10*time.Millisecond {
		t.Errorf("closed after %v, want 10ms", median)
	}
	if s := c.Stats(); s.Open != 0 || s.Dials != 21 || s.Reused != 0 {
		t.Errorf("stats = %+v; want 21 connections, none open", s)
	}
}

// openSockets counts this process's sockets.
func openSockets(t testing.TB) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		missing(t, "/proc is needed to count sockets")
	}
	for _, fd := range fds {
		if target, _ := os.Readlink(fd); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// TestFastCGIStarvesNobody: another client of the same workers is served at
// once where we leave one, and else when our idle connections close.
func TestFastCGIStarvesNobody(t *testing.T) {
	for _, test := range []struct {
		name     string
		maxConns int
		most     time.Duration
	}{
		{"one of two workers is ours", 1, 300 * time.Millisecond},
		{"both are ours until they were idle for 500ms", 2, 1500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFPM(t, fpmOptions{})
			c := f.fastcgiClient(t, fastcgi.Options{MaxConns: test.maxConns, KeepAlive: 500 * time.Millisecond})
			// On a busy machine one may make way for the other's first byte.
			eventually(t, 10*time.Second, fmt.Sprintf("%d connections open", test.maxConns), func() bool {
				var wg sync.WaitGroup
				for range test.maxConns {
					wg.Go(func() {
						if _, err := do(c, f.post("slow.php", "30000")); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				return c.Stats().Open == test.maxConns
			})
			began := time.Now()
			if _, err := bareGet(f.network, f.address, f.file("fault.php"), ""); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d > test.most {
				t.Errorf("the other client waited for %v, want at most %v", d, test.most)
			}
		})
	}
}

// TestFastCGINoDeadlock: more messages than connections, on workers that keep
// leaving: a pool that waits for its own idle connections would stand still.
func TestFastCGINoDeadlock(t *testing.T) {
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_requests = 3"}})
	// Not the queue's timeout is the subject, and a busy machine is slow to fork.
	c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 2, KeepAlive: time.Second, QueueTimeout: 30 * time.Second})
	l := &load{clients: 50, messages: scaled(500, 20000)}
	l.run(f, c)
	if errs := l.reconcile(t, f); len(errs) > 0 {
		t.Errorf("%d of %d messages failed:\n%s", len(errs), l.messages, summary(errs))
	}
}

// TestFastCGIProcessManagers: a burst is answered by pools that start their
// workers when they are needed, though pm = ondemand starts one only at the
// arrival of a connection.
func TestFastCGIProcessManagers(t *testing.T) {
	for _, test := range []struct {
		name string
		pool []string
		keep time.Duration
	}{
		{"ondemand", []string{"pm = ondemand"}, 0},
		{"ondemand with keep-alive", []string{"pm = ondemand"}, time.Second},
		{"dynamic", []string{"pm = dynamic", "pm.start_servers = 1", "pm.min_spare_servers = 1", "pm.max_spare_servers = 1"}, 0},
		{"dynamic with keep-alive", []string{"pm = dynamic", "pm.start_servers = 1", "pm.min_spare_servers = 1", "pm.max_spare_servers = 1"}, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFPM(t, fpmOptions{pool: append(test.pool, "pm.max_children = 6")})
			c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 6, KeepAlive: test.keep})
			began := time.Now()
			l := &load{clients: 6, messages: 6}
			l.run(f, c)
			if errs := l.reconcile(t, f); len(errs) > 0 {
				t.Errorf("%d of 6 failed:\n%s", len(errs), summary(errs))
			}
			took := time.Since(began)
			if took > 2*time.Second {
				t.Errorf("a burst of six took %v, want 2s at most: %+v", took, c.Stats())
			}
			t.Logf("a burst of six took %v", took)
		})
	}
}

// TestFastCGIBacklogFull: a full backlog is waited for, up to the deadline,
// and nothing was executed when it passes.
func TestFastCGIBacklogFull(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		t.Run(map[bool]string{false: "unix", true: "tcp"}[tcp], func(t *testing.T) {
			f := startFPM(t, fpmOptions{tcp: tcp, pool: []string{"pm.max_children = 1", "listen.backlog = 2"}})
			// One byte pins the only worker for good; the rest fill the backlog.
			var raw []interface{ Close() error }
			for range 4 {
				conn, err := dialRaw(f.configAddress())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.Write([]byte{1})
				raw = append(raw, conn)
				if len(raw) == 1 {
					eventually(t, 5*time.Second, "the worker has taken it", func() bool { return f.status().Active == 1 })
				}
			}
			// A unix socket says that it is full, and is asked again and again; to
			// TCP nobody answers for ConnectTimeout, 1 s.
			c := f.fastcgiClient(t, fastcgi.Options{QueueTimeout: 500 * time.Millisecond})
			kind, least, most, tries := fastcgi.KindBusy, 400*time.Millisecond, 500*time.Millisecond, uint64(5)
			if tcp {
				kind, least, most, tries = fastcgi.KindConnect, time.Second, time.Second, 1
			}
			began := time.Now()
			_, err := do(c, f.post("record.php", "never"))
			took := time.Since(began)
			wantError(t, err, kind, fastcgi.NotExecuted)
			if n := c.Stats().DialErrors; took < least || took > most+2*time.Second || n < tries || n > 30 {
				t.Errorf("it failed after %v and %d tries, want %v to %v and %d at least", took, n, least, most, tries)
			}
			t.Logf("figure: 41 backlog full, tcp %v: failed after %v, %d connects refused", tcp, took, c.Stats().DialErrors)
			c = f.fastcgiClient(t, fastcgi.Options{ConnectTimeout: 5 * time.Second})
			result := make(chan error)
			go func() {
				_, err := do(c, f.post("record.php", "later"))
				result <- err
			}()
			eventually(t, time.Second, "it tries to connect", func() bool { return c.Stats().Open == 1 })
			pause(50 * time.Millisecond)
			for _, conn := range raw {
				conn.Close()
			}
			if err := <-result; err != nil {
				t.Errorf("after the backlog had room again: %v", err)
			}
			if ran := f.executions(); ran["never"] != 0 || ran["later"] != 1 {
				t.Errorf("executed %v, want the later one once", ran)
			}
		})
	}
}
