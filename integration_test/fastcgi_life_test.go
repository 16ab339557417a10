package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// TestFastCGITerminateTimeout: php-fpm's clock runs on while a kept
// connection is idle, which must cost no message.
func TestFastCGITerminateTimeout(t *testing.T) {
	t.Parallel() // it waits
	f := startFPM(t, fpmOptions{pool: []string{"request_terminate_timeout = 3s"}})
	work := func(c *fastcgi.Client, what string) error {
		_, err := do(c, f.post("slow.php", what))
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // the default of 1 s idle, then a script of 2 s
		c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 1, KeepAlive: time.Second})
		for _, idle := range []time.Duration{0, 2 * time.Second} {
			pause(idle)
			if err := work(c, "2000000 short"+idle.String()); err != nil {
				t.Errorf("a script of 2s after %v idle: %v", idle, err)
			}
		}
	})
	wg.Go(func() {
		c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 1})
		began := time.Now()
		err := work(c, "20000000 long")
		wantError(t, err, fastcgi.KindClosed, fastcgi.Unknown)
		if d := time.Since(began); d < 2500*time.Millisecond || d > 6*time.Second {
			t.Errorf("the worker was killed after %v, want 3 to 4s", d)
		}
	})
}

// TestFastCGIIdleConnectionKilled: php-fpm kills workers whose connection is
// idle for longer than request_terminate_timeout; the next message must not
// notice.
func TestFastCGIIdleConnectionKilled(t *testing.T) {
	t.Parallel() // it waits
	f := startFPM(t, fpmOptions{pool: []string{"request_terminate_timeout = 1s"}})
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: 30 * time.Second})
	want(t, c, f.post("echo.php", "one"), "one")
	eventually(t, 5*time.Second, "php-fpm has dropped the idle connection", func() bool { return c.Stats().Open == 0 })
	want(t, c, f.post("echo.php", "two"), "two")
}

// mayBeLost is how many messages a php-fpm that ends can cost, all of them with
// an unknown outcome and none of them executed twice.
//
// Each worker that is killed takes the one message that it had in hand. And
// when the listener closes, the kernel resets the connections it had accepted
// for it and that no worker took: at most one for each connection that a client
// may have, since later ones are refused. That such a message did not run
// nobody can tell it: a worker that dies gives the same ECONNRESET. A reload
// keeps the listener, so its backlog is served by the new workers.
func mayBeLost(workersKilled, backlogReset int) int { return workersKilled + backlogReset }

// reconcileLost is reconcile after the end of a php-fpm: nothing but unknown
// outcomes, of which there are at most so many.
func (l *load) reconcileLost(t *testing.T, f *phpFPM, most int) {
	t.Helper()
	errs := l.reconcile(t, f)
	t.Logf("%d messages, %d lost of at most %d\n%s", len(l.result), len(errs), most, summary(errs))
	for _, err := range errs {
		if e, ok := errors.AsType[*fastcgi.Error](err); ok && e.Outcome != fastcgi.Unknown {
			t.Errorf("a message that did not run was lost: %v", err)
		}
	}
	if len(errs) > most {
		t.Errorf("%d of %d lost, want at most %d", len(errs), len(l.result), most)
	}
}

// TestFastCGIReload: a reload or a graceful stop doubles nothing, and with
// time to finish a reload costs nothing.
func TestFastCGIReload(t *testing.T) {
	const workers, conns = 4, 4
	for _, patience := range []string{"0", "5s"} {
		for _, signal := range []syscall.Signal{syscall.SIGUSR2, syscall.SIGQUIT} {
			t.Run(fmt.Sprintf("%v under load, process_control_timeout %s", signal, patience), func(t *testing.T) {
				f := startFPM(t, fpmOptions{
					global: []string{"process_control_timeout = " + patience},
					pool:   []string{"pm.max_children = " + itoa(workers)}})
				c := f.fastcgiClient(t, fastcgi.Options{MaxConns: conns, KeepAlive: time.Second, ConnectTimeout: 10 * time.Second, QueueTimeout: 10 * time.Second})
				var over atomic.Bool
				l := &load{clients: 8, messages: 1 << 30, think: 5 * time.Millisecond, until: over.Load}
				done := make(chan struct{})
				go func() { defer close(done); l.run(f, c) }()
				defer func() { over.Store(true); <-done }()
				eventually(t, 5*time.Second, "the load runs", func() bool { return c.Stats().Completed > 50 })
				if signal == syscall.SIGQUIT {
					f.stop(signal)
					f.start()
				} else {
					f.reload()
				}
				after := c.Stats().Completed
				eventually(t, 10*time.Second, "the load goes on", func() bool { return c.Stats().Completed > after+50 })
				over.Store(true)
				<-done
				killed, reset := 0, 0
				if patience == "0" {
					killed = workers
				}
				if signal == syscall.SIGQUIT {
					reset = conns
				}
				l.reconcileLost(t, f, mayBeLost(killed, reset))
			})
		}
	}

	t.Run("with idle connections and process_control_timeout 5s", func(t *testing.T) {
		f := startFPM(t, fpmOptions{global: []string{"process_control_timeout = 5s"}})
		c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 2, KeepAlive: time.Second})
		l := &load{clients: 2, messages: 20}
		l.run(f, c)
		l.reconcile(t, f)
		began := time.Now()
		f.reload()
		if d := time.Since(began); d > 2500*time.Millisecond {
			t.Errorf("the reload took %v; want little more than the 1s an idle connection stays", d)
		}
		want(t, c, f.post("echo.php", "after"), "after")
	})
}

// TestFastCGIRestart: php-fpm that is stopped and comes back two seconds
// later loses only what it was working on.
func TestFastCGIRestart(t *testing.T) {
	const workers, conns = 2, 2
	for _, tcp := range []bool{false, true} {
		t.Run(map[bool]string{false: "unix", true: "tcp"}[tcp], func(t *testing.T) {
			f := startFPM(t, fpmOptions{tcp: tcp, pool: []string{"pm.max_children = " + itoa(workers)}})
			c := f.fastcgiClient(t, fastcgi.Options{MaxConns: conns, KeepAlive: time.Second, ConnectTimeout: 10 * time.Second, QueueTimeout: 10 * time.Second})
			var over atomic.Bool
			l := &load{clients: 6, messages: 1 << 30, think: time.Millisecond, until: over.Load}
			done := make(chan struct{})
			go func() { defer close(done); l.run(f, c) }()
			defer func() { over.Store(true); <-done }()
			eventually(t, 5*time.Second, "the load runs", func() bool { return c.Stats().Completed > 50 })
			f.stop(syscall.SIGTERM)
			pause(2 * time.Second)
			f.start()
			after := c.Stats().Completed
			eventually(t, 10*time.Second, "the load goes on", func() bool { return c.Stats().Completed > after+50 })
			over.Store(true)
			<-done
			l.reconcileLost(t, f, mayBeLost(workers, conns))
		})
	}
}

// TestFastCGIFinishRequest: work after the reply delays neither the reply nor,
// where another worker is free, the next message.
func TestFastCGIFinishRequest(t *testing.T) {
	for _, keep := range []time.Duration{0, 5 * time.Second} {
		t.Run(fmt.Sprintf("keep-alive %v", keep), func(t *testing.T) {
			f := startFPM(t, fpmOptions{})
			c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 2, KeepAlive: keep})
			began := time.Now()
			want(t, c, f.post("finish.php", "1000000"), "done")
			want(t, c, f.post("echo.php", "next"), "next")
			if d := time.Since(began); d > 600*time.Millisecond {
				t.Errorf("two replies took %v though the work comes after the first", d)
			}
			eventually(t, 3*time.Second, "the work is done", func() bool { return f.executions()["finished"] == 1 })
			want(t, c, f.post("echo.php", "last"), "last")
		})
	}
}

// TestFastCGITCPLatency: a kept TCP connection does not wait for delayed
// acknowledgements.
func TestFastCGITCPLatency(t *testing.T) {
	f := startFPM(t, fpmOptions{tcp: true})
	for _, test := range []struct{ name, body string }{
		{"8 KB", "8000"}, {"9 KB", "9000"}, {"three flushes", "3000 1000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second})
			var times []time.Duration
			for range 51 {
				began := time.Now()
				if _, err := do(c, f.post("output.php", test.body)); err != nil {
					t.Fatal(err)
				}
				times = append(times, time.Since(began))
				// Before php-fpm has said that it keeps the connection, another is opened.
				eventually(t, time.Second, "the connection is kept, or not", func() bool { return c.Stats().InUse == 0 })
			}
			slices.Sort(times)
			if p50 := times[len(times)/2]; p50 > 5*time.Millisecond {
				t.Errorf("p50 = %v, want less than 5ms", p50)
			}
			if s := c.Stats(); s.Reused < 40 {
				t.Errorf("%d of 51 on a kept connection, want nearly all", s.Reused)
			}
		})
	}
}

// TestFastCGICancel: a caller who leaves gets its error at once, and what it
// leaves behind is cleaned up.
func TestFastCGICancel(t *testing.T) {
	t.Run("a plain request runs on and its worker is free afterwards", func(t *testing.T) {
		f := startFPM(t, fpmOptions{})
		c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 1, KeepAlive: time.Second})
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go func() {
			waitUntil(5*time.Second, func() bool { return f.executions()["left"] == 1 })
			stop()
		}()
		began := time.Now()
		_, err := c.Do(ctx, f.post("slow.php", "700000 left"))
		wantError(t, err, fastcgi.KindCanceled, fastcgi.Unknown)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v does not wrap %v", err, context.Canceled)
		}
		if d := time.Since(began); d > 500*time.Millisecond {
			t.Errorf("the caller waited for %v", d)
		}
		if s := c.Stats(); s.Open != 1 || s.InUse != 1 {
			t.Errorf("%d open, %d in use; want the connection still busy", s.Open, s.InUse)
		}
		want(t, c, f.post("echo.php", "next"), "next")
		eventually(t, 3*time.Second, "the workers are free", f.drained)
	})

	t.Run("a request in the queue was not executed", func(t *testing.T) {
		f := startFPM(t, fpmOptions{})
		c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 1})
		done := make(chan error)
		go func() {
			_, err := do(c, f.post("slow.php", "500000 first"))
			done <- err
		}()
		eventually(t, 5*time.Second, "the connection is busy", func() bool { return f.executions()["first"] == 1 })
		ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer stop()
		_, err := c.Do(ctx, f.post("record.php", "second"))
		wantError(t, err, fastcgi.KindCanceled, fastcgi.NotExecuted)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := f.executions()["second"]; n != 0 {
			t.Errorf("executed %d times", n)
		}
	})

	t.Run("a streamed reply that is closed ends PHP at its next write", func(t *testing.T) {
		f := startFPM(t, fpmOptions{})
		c := f.fastcgiClient(t, fastcgi.Options{MaxConns: 2, MaxStreams: 1, Timeout: time.Second, KeepAlive: time.Second})
		resp, err := c.Do(context.Background(), f.post("endless.php", "s"))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Stream(); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for len(got) < len("tick\ntick\ntick\n") {
			p := make([]byte, 100)
			n, err := resp.Read(p)
			if err != nil {
				t.Fatalf("after %q: %v", got, err)
			}
			got = append(got, p[:n]...)
		}
		second, err := c.Do(context.Background(), f.post("endless.php", "t"))
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := errors.AsType[*fastcgi.Error](second.Stream()); !ok || e.Kind != fastcgi.KindBusy {
			t.Errorf("a second stream: %v; want it refused", e)
		}
		second.Close()
		resp.Close()
		eventually(t, 3*time.Second, "PHP has noticed", func() bool { return f.executions()["s ended"] == 1 })
		eventually(t, 3*time.Second, "no stream is counted", func() bool { return c.Stats().Streams == 0 })
	})
}
