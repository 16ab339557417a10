package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ws-fpm/metrics"
)

// A scriptedListener answers each Accept with the next error of its script; at
// nil, and when the script is over, it has a connection.
type scriptedListener struct {
	script []error
	closed int

	times []time.Time // of all calls of Accept
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	l.times = append(l.times, time.Now())
	if len(l.script) > 0 {
		err := l.script[0]
		l.script = l.script[1:]
		if err != nil {
			return nil, err
		}
	}
	c, _ := net.Pipe()
	return c, nil
}

func (l *scriptedListener) Close() error   { l.closed++; return nil }
func (l *scriptedListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// acceptError wraps an errno as package net does.
func acceptError(errno syscall.Errno) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", errno)}
}

func TestAcceptSurvives(t *testing.T) {
	tests := []struct {
		errno syscall.Errno
		cause string // empty: it does not survive
	}{
		{syscall.EMFILE, "descriptors"},
		{syscall.ENFILE, "descriptors"},
		{syscall.ENOBUFS, "memory"},
		{syscall.ENOMEM, "memory"},
		{syscall.ECONNABORTED, "connection"},
		{syscall.EPROTO, "connection"},
		{syscall.EHOSTUNREACH, "connection"},
		{syscall.EPERM, "firewall"},
		{syscall.EBADF, ""},
		{syscall.EINVAL, ""},
	}
	for _, test := range tests {
		t.Run(test.errno.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := new(metrics.Registry)
				err := acceptError(test.errno)
				l := patient(&scriptedListener{script: []error{err}}, slog.New(slog.DiscardHandler), newAcceptErrors(r))
				c, got := l.Accept()
				if survives := test.cause != ""; survives != (got == nil && c != nil) || !survives && got != err {
					t.Errorf("Accept() = %v, %v; want a connection: %v", c, got, survives)
				}
				var text strings.Builder
				r.WriteText(&text)
				for _, cause := range []string{"descriptors", "memory", "connection", "firewall"} {
					n := 0
					if cause == test.cause {
						n = 1
					}
					if want := fmt.Sprintf("ws_fpm_accept_errors_total{cause=%q} %d\n", cause, n); !strings.Contains(text.String(), want) {
						t.Errorf("the metrics have no %q:\n%s", want, text.String())
					}
				}
			})
		})
	}
}

func TestAcceptGivesOtherErrors(t *testing.T) {
	for _, want := range []error{net.ErrClosed, io.EOF, errors.New("accept: too many open files")} {
		l := patient(&scriptedListener{script: []error{want}}, slog.New(slog.DiscardHandler), newAcceptErrors(new(metrics.Registry)))
		if _, err := l.Accept(); err != want {
			t.Errorf("Accept() = %v; want %v", err, want)
		}
	}
}

func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := acceptError(syscall.EMFILE)
		inner := &scriptedListener{script: append(slices.Repeat([]error{full}, 10), nil, full, nil)}
		var s sink
		l := patient(inner, slog.New(plainText(&s)), newAcceptErrors(new(metrics.Registry)))
		for range 2 {
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
		}
		var delays []time.Duration
		for i, at := range inner.times[1:] {
			delays = append(delays, at.Sub(inner.times[i])/time.Millisecond)
		}
		// A success between them, after which the delay is the first again.
		want := []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 0, 5}
		if !slices.Equal(delays, want) {
			t.Errorf("calls of Accept are %d ms apart; want %d", delays, want)
		}
		wantLog := `level=WARN msg="cannot accept for now" address=127.0.0.1:80 error="accept tcp: accept4: too many open files" errors=1 again_in=5ms
level=WARN msg="cannot accept for now" address=127.0.0.1:80 error="accept tcp: accept4: too many open files" errors=8 again_in=1s
level=WARN msg="cannot accept for now" address=127.0.0.1:80 error="accept tcp: accept4: too many open files" errors=1 again_in=1s
level=WARN msg="cannot accept for now" address=127.0.0.1:80 error="accept tcp: accept4: too many open files" errors=1 again_in=5ms
`
		if got := s.String(); got != wantLog {
			t.Errorf("log\n%s\nwant\n%s", got, wantLog)
		}
	})
}

func TestAcceptLogsAtMostOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var script []error // each error is followed by a connection, so none waits long
		for range 1000 {
			script = append(script, acceptError(syscall.ECONNABORTED), nil)
		}
		var s sink
		l := patient(&scriptedListener{script: script}, slog.New(plainText(&s)), newAcceptErrors(new(metrics.Registry)))
		start := time.Now()
		for range 1000 {
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("1000 errors between connections took %v; want 5s", took)
		}
		if lines := strings.Count(s.String(), "\n"); lines != 5 {
			t.Errorf("%d log lines in 5 s; want 5", lines)
		}
	})
}

func TestAcceptEndsAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &scriptedListener{script: slices.Repeat([]error{acceptError(syscall.EMFILE)}, 100)}
		l := patient(inner, slog.New(slog.DiscardHandler), newAcceptErrors(new(metrics.Registry)))
		ended := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		start := time.Now()
		for range 2 {
			if err := l.Close(); err != nil {
				t.Errorf("Close() = %v; want nil", err)
			}
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept() = %v; want net.ErrClosed", err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("Accept returned %v after Close; want at once", waited)
		}
		if inner.closed != 1 {
			t.Errorf("the listener was closed %d times; want once", inner.closed)
		}
	})
}

func TestAcceptOfARealListenerEndsAtClose(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := patient(inner, slog.New(slog.DiscardHandler), newAcceptErrors(new(metrics.Registry)))
	var accepting sync.WaitGroup
	accepting.Go(func() {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept() = %v; want net.ErrClosed", err)
		}
	})
	l.Close()
	accepting.Wait()
}

// TestAcceptWithoutDescriptors has a process of its own run out of descriptors:
// the limit is one of the process.
func TestAcceptWithoutDescriptors(t *testing.T) {
	if isChild(t) {
		acceptWithoutDescriptors(t)
		return
	}
	if out, err := asChild(t, "").Output(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("a process with few descriptors: %v\n%s", err, out)
	}
}

func acceptWithoutDescriptors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counters := newAcceptErrors(new(metrics.Registry))
	var s sink
	l := patient(inner, slog.New(plainText(&s)), counters)
	defer l.Close()
	const clients = 5
	for range clients { // they wait in the listen queue
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var others []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, f)
	}
	accepted := make(chan error)
	go func() {
		for range clients {
			c, err := l.Accept()
			if err == nil {
				defer c.Close()
			}
			accepted <- err
		}
	}()
	start := time.Now()
	for counters["descriptors"].Value() < 3 {
		select {
		case err := <-accepted:
			t.Fatalf("Accept() = %v without a descriptor", err)
		case <-time.After(time.Millisecond):
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("Accept has not failed for want of a descriptor")
		}
	}
	for _, f := range others {
		f.Close()
	}
	freed := time.Now()
	for range clients {
		if err := <-accepted; err != nil {
			t.Errorf("Accept() = %v; want the clients that have waited", err)
		}
	}
	if took := time.Since(freed); took > maxAcceptDelay+500*time.Millisecond {
		t.Errorf("accepting again took %v; want at most 1.5s", took)
	}
	if lines := strings.Count(s.String(), "\n"); lines < 1 || lines > 1+int(time.Since(start)/acceptLogInterval) {
		t.Errorf("%d log lines; want one a second:\n%s", lines, s.String())
	}
}
