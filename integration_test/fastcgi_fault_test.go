package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// TestFastCGIFaults: whatever goes wrong inside PHP is a whole reply, and the
// connection carries the next request.
func TestFastCGIFaults(t *testing.T) {
	f := startFPM(t, fpmOptions{pool: []string{
		"pm.max_children = 1", "php_admin_flag[log_errors] = on", "php_admin_flag[display_errors] = off",
		"php_admin_value[output_buffering] = 4096"}})
	f.write("plain.txt", "not a script")
	if err := os.Mkdir(f.file("folder.php"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: 10 * time.Second, MaxConns: 1})
	for _, test := range []struct {
		script, body string
		status       int
		want, stderr string
	}{
		{"fault.php", "nothing", 200, "fine", ""},
		{"fault.php", "fatal", 500, "", "undefined_function"},
		{"fault.php", "fatal after flush", 200, "partial", "undefined_function"},
		{"fault.php", "stderr around", 200, "output", "before"},
		{"fault.php", "stderr around", 200, "output", "between"},
		{"fault.php", "stderr around", 200, "output", "after"},
		{"fault.php", "exit 3", 200, "bye", ""},
		{"fault.php", "memory", 500, "", "Allowed memory size"},
		{"fault.php", "time", 500, "", "Maximum execution time"},
		{"fault.php", "exception", 500, "", "thrown"},
		{"parse_error.php", "", 500, "", "syntax error"},
		{"absent.php", "", 404, "File not found.\n", "Primary script unknown"},
		{"folder.php", "", 404, "No input file specified.\n", "Unable to open primary script"},
		{"../escape.php", "", 404, "File not found.\n", "Primary script unknown"},
		{"plain.txt", "", 403, "Access denied.\n", "Access to the script"},
	} {
		t.Run(test.script+" "+test.body, func(t *testing.T) {
			r, err := do(c, f.post(test.script, test.body))
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != test.status || r.body != test.want {
				t.Errorf("got %d %q, want %d %q", r.Status, r.body, test.status, test.want)
			}
			if !strings.Contains(r.stderr, test.stderr) || test.stderr == "" && r.stderr != "" {
				t.Errorf("stderr %q, want %q in it", r.stderr, test.stderr)
			}
			want(t, c, f.post("echo.php", "next"), "next")
		})
	}
	if s := c.Stats(); s.Dials != 1 || s.ProtocolErrors != 0 {
		t.Errorf("%d connections, %d protocol errors; want one connection for all", s.Dials, s.ProtocolErrors)
	}
}

// TestFastCGIStderrIsBounded: a script that only complains costs no memory.
func TestFastCGIStderrIsBounded(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	f.write("complain.php", "<?php for ($i = 0; $i < 100; $i++) error_log(str_repeat('e', 900)); echo 'done';")
	c := f.fastcgiClient(t, fastcgi.Options{MaxStderr: 1000})
	r := want(t, c, f.post("complain.php", ""), "done")
	text, dropped := r.Stderr()
	if len(text) != 1000 || dropped < 80000 || c.Stats().StderrDropped != uint64(dropped) {
		t.Errorf("kept %d bytes, dropped %d, counted %d; want 1000 kept", len(text), dropped, c.Stats().StderrDropped)
	}
}

// TestFastCGIWorkerDies: a worker that dies inside a script leaves an unknown
// outcome and one execution, whatever it had said, and the next message works.
func TestFastCGIWorkerDies(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := startFPM(t, fpmOptions{tcp: tcp})
		c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second})
		for _, signal := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGKILL, syscall.SIGTERM} {
			for _, when := range []string{"silent", "flushed", "heard"} {
				id := fmt.Sprintf("%v %s", signal, when)
				want(t, c, f.post("echo.php", "before"), "before") // so that it dies on a kept connection
				resp, err := c.Do(context.Background(), f.post("die.php", fmt.Sprintf("%d %s %s", signal, when, id)))
				// Only one that waits until its flushed head was heard has to get
				// it through: else the end is there before Do looks.
				if err != nil && when == "heard" {
					t.Errorf("%s: no head: %v", id, err)
				}
				if err == nil {
					f.write("var/heard", id)
					var body []byte
					if body, err = resp.AppendBody(nil, replyLimit); err == nil {
						t.Errorf("%s: a reply that was cut short passes as %q", id, body)
					}
					resp.Close()
				}
				wantError(t, err, fastcgi.KindClosed, fastcgi.Unknown)
				if n := f.executions()[id]; n != 1 {
					t.Errorf("%s: executed %d times", id, n)
				}
				want(t, c, f.post("echo.php", "after"), "after")
			}
		}
	}
}

// TestFastCGIDeadWorkerWithChild: a program PHP has started holds the
// connection open after its worker's death, so only the timeout tells.
func TestFastCGIDeadWorkerWithChild(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	c := f.fastcgiClient(t, fastcgi.Options{Timeout: 500 * time.Millisecond})
	began := time.Now()
	_, err := do(c, f.post("die.php", "9 child orphan"))
	wantError(t, err, fastcgi.KindTimeout, fastcgi.Unknown)
	if d := time.Since(began); d < 400*time.Millisecond || d > 1500*time.Millisecond {
		t.Errorf("the error came after %v, want 500ms", d)
	}
	if n := f.executions()["orphan"]; n != 1 {
		t.Errorf("executed %d times", n)
	}
	want(t, c, f.post("echo.php", "after"), "after")
}

// TestFastCGIDeadlineInBacklog: a request that timed out before any worker
// took it still runs, so its outcome must be called unknown.
func TestFastCGIDeadlineInBacklog(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := startFPM(t, fpmOptions{tcp: tcp, pool: []string{"pm.max_children = 1"}})
		busy := make(chan error)
		f.write("busy.php", "<?php require 'record.inc.php'; record('busy'); usleep(1000000);")
		go func() {
			_, err := bareGet(f.network, f.address, f.file("busy.php"), "")
			busy <- err
		}()
		eventually(t, 5*time.Second, "the worker is busy", func() bool { return f.executions()["busy"] == 1 })
		c := f.fastcgiClient(t, fastcgi.Options{Timeout: 300 * time.Millisecond})
		_, err := do(c, f.post("record.php", "late"))
		wantError(t, err, fastcgi.KindTimeout, fastcgi.Unknown)
		if n := f.executions()["late"]; n != 0 {
			t.Errorf("it ran %d times before the worker was free", n)
		}
		if err := <-busy; err != nil {
			t.Error(err)
		}
		eventually(t, 5*time.Second, "php-fpm runs it all the same", func() bool { return f.executions()["late"] == 1 })
	}
}

// TestFastCGINotAllowed: php-fpm that refuses our address is an error at
// once, and no storm of attempts.
func TestFastCGINotAllowed(t *testing.T) {
	f := startFPM(t, fpmOptions{tcp: true, pool: []string{"listen.allowed_clients = 127.255.255.254"}})
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second, Timeout: 2 * time.Second})
	if _, err := do(c, f.post("record.php", "id")); err == nil {
		t.Error("a refused client got a reply")
	}
	if s := c.Stats(); s.Dials > 3 {
		t.Errorf("%d attempts to connect, want at most 3", s.Dials)
	}
}

// TestFastCGIUnreachable: errors of the address are told apart from those of
// a request, at once where waiting cannot help.
func TestFastCGIUnreachable(t *testing.T) {
	dir := publicDir(t)
	if err := os.WriteFile(dir+"/file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, network, address string
		least, most            time.Duration
	}{
		{"no such socket", "unix", dir + "/absent", 200 * time.Millisecond, 2 * time.Second},
		{"not a socket", "unix", dir + "/file", 0, 2 * time.Second},
		{"a path over 107 bytes", "unix", dir + "/" + strings.Repeat("p", 108), 0, 200 * time.Millisecond},
		{"nobody listens", "tcp", freeAddress(t), 200 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &phpFPM{t: t, network: test.network, address: test.address, dir: dir}
			c := f.fastcgiClient(t, fastcgi.Options{ConnectTimeout: 300 * time.Millisecond})
			began := time.Now()
			_, err := do(c, f.post("echo.php", ""))
			wantError(t, err, fastcgi.KindConnect, fastcgi.NotExecuted)
			if d := time.Since(began); d < test.least || d > test.most {
				t.Errorf("the error came after %v, want %v to %v", d, test.least, test.most)
			}
			if n := c.Stats().Dials; n == 0 || n > 20 {
				t.Errorf("%d attempts to connect, want 1 to 20", n)
			}
			var e *fastcgi.Error
			if errors.As(err, &e) && e.Err == nil {
				t.Error("the error has no cause")
			}
		})
	}
}
