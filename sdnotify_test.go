package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestParseNotifier(t *testing.T) {
	const pid = 42
	year := strconv.FormatInt(maxWatchdog.Microseconds(), 10)
	overYear := strconv.FormatInt(maxWatchdog.Microseconds()+1, 10)
	tests := []struct {
		name                 string
		socket, usec, usecOf string
		want                 notifier
		err                  string
	}{
		{"nobody wants to know", "", "", "", notifier{}, ""},
		{"nobody wants to know, whatever the watchdog", "", "x", "42", notifier{}, ""},
		{"a path", "/run/systemd/notify", "", "", notifier{socket: "/run/systemd/notify"}, ""},
		{"an abstract name", "@notify", "", "", notifier{socket: "@notify"}, ""},
		{"a relative path", "notify", "", "", notifier{}, `systemd: NOTIFY_SOCKET="notify": want an absolute path, or @ and a name`},
		{"another kind of socket", "vsock:2:1", "", "", notifier{}, `systemd: NOTIFY_SOCKET="vsock:2:1": want an absolute path, or @ and a name`},
		{"a watchdog for all", "/n", "30000000", "", notifier{"/n", 30 * time.Second}, ""},
		{"a watchdog for us", "/n", "30000000", "42", notifier{"/n", 30 * time.Second}, ""},
		{"a watchdog for another", "/n", "30000000", "41", notifier{socket: "/n"}, ""},
		{"the shortest watchdog", "/n", "1", "", notifier{"/n", time.Microsecond}, ""},
		{"the longest watchdog", "/n", year, "", notifier{"/n", maxWatchdog}, ""},
		{"a longer one", "/n", overYear, "", notifier{}, `systemd: WATCHDOG_USEC="` + overYear + `": want a number of microseconds, at most a year`},
		{"no time", "/n", "0", "", notifier{}, `systemd: WATCHDOG_USEC="0": want a number of microseconds, at most a year`},
		{"a negative time", "/n", "-1", "", notifier{}, `systemd: WATCHDOG_USEC="-1": want a number of microseconds, at most a year`},
		{"no number", "/n", "30s", "42", notifier{}, `systemd: WATCHDOG_USEC="30s": want a number of microseconds, at most a year`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"NOTIFY_SOCKET": test.socket, "WATCHDOG_USEC": test.usec, "WATCHDOG_PID": test.usecOf}
			got, err := parseNotifier(func(name string) string { return env[name] }, pid)
			if message(err) != test.err || err == nil && *got != test.want {
				t.Errorf("parseNotifier() = %+v, %v; want %+v, %q", got, err, test.want, test.err)
			}
		})
	}
}

func TestNewNotifierLeavesNothingForChildren(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/n")
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	n, err := newNotifier()
	if want := (notifier{"/n", time.Second}); err != nil || *n != want {
		t.Errorf("newNotifier() = %+v, %v; want %+v", n, err, want)
	}
	for _, v := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if _, is := os.LookupEnv(v); is {
			t.Errorf("%s is still set", v)
		}
	}
}

// manager listens as a service manager does.
func manager(t *testing.T, address string) *net.UnixConn {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// received reads the notifications that have come.
func received(t *testing.T, c *net.UnixConn) (list []string) {
	b := make([]byte, 4096)
	for {
		// A deadline that has passed would not let what is there be read.
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b[:n]))
	}
}

func TestNotifications(t *testing.T) {
	tests := []struct {
		name string
		send func(n *notifier) error
		want string
	}{
		{"ready", func(n *notifier) error { return n.ready("serving") }, "READY=1\nSTATUS=serving"},
		{"stopping", func(n *notifier) error { return n.stopping("draining 5 connections", 30*time.Second) },
			"STOPPING=1\nSTATUS=draining 5 connections\nEXTEND_TIMEOUT_USEC=30000000"},
		{"a status", func(n *notifier) error { return n.send(statusField("5 connections")) }, "STATUS=5 connections"},
		{"no status", func(n *notifier) error { return n.send(statusField("")) }, "STATUS="},
		{"a status adds no field", func(n *notifier) error { return n.send(statusField("a\nMAINPID=1\r\x00\x7f")) }, "STATUS=a MAINPID=1   "},
		{"a status is UTF-8", func(n *notifier) error { return n.send(statusField("a\xff\xc3ä…")) }, "STATUS=aä…"},
		{"a status as long as can be", func(n *notifier) error { return n.send(statusField(strings.Repeat("a", maxStatus))) },
			"STATUS=" + strings.Repeat("a", maxStatus)},
		{"a status that is too long is cut", func(n *notifier) error { return n.send(statusField(strings.Repeat("a", maxStatus+1))) },
			"STATUS=" + strings.Repeat("a", maxStatus)},
		{"and not in a character", func(n *notifier) error { return n.send(statusField(strings.Repeat("a", maxStatus-1) + "ä")) },
			"STATUS=" + strings.Repeat("a", maxStatus-1)},
	}
	addresses := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		addresses = append(addresses, "@ws-fpm-test-"+strconv.Itoa(os.Getpid()))
	}
	for _, address := range addresses {
		c := manager(t, address)
		for _, test := range tests {
			t.Run(test.name+", to "+address[:1], func(t *testing.T) {
				if err := test.send(&notifier{socket: address}); err != nil {
					t.Fatal(err)
				}
				if got := received(t, c); len(got) != 1 || got[0] != test.want || !utf8.ValidString(got[0]) {
					t.Errorf("received %q; want %q", got, test.want)
				}
			})
		}
	}
}

func TestNotifierWithoutAManager(t *testing.T) {
	n := new(notifier)
	for name, err := range map[string]error{
		"ready": n.ready("a"), "stopping": n.stopping("a", time.Second), "status": n.send(statusField("a")),
	} {
		if err != nil {
			t.Errorf("%s() = %v; want nil", name, err)
		}
	}
	n.watch(t.Context(), slog.New(slog.DiscardHandler), func() bool {
		t.Error("asked whether all is well; want nothing to happen without a watchdog")
		return true
	})
}

func TestNotifierErrors(t *testing.T) {
	n := &notifier{socket: filepath.Join(t.TempDir(), "nobody")}
	if err := n.ready("a"); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "systemd: notifying: ") {
		t.Errorf("ready() = %v; want that the socket does not exist", err)
	}
}

// A manager that reads nothing must not stop us.
func TestNotifierDoesNotWaitForLong(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	manager(t, address)
	n := &notifier{socket: address}
	for range 10000 {
		start := time.Now()
		err := n.send(statusField("a"))
		if err == nil {
			continue
		}
		if took := time.Since(start); took > notifyTimeout+5*time.Second {
			t.Errorf("status() took %v; want %v", took, notifyTimeout)
		}
		// Systems other than Linux say at once that there is no room.
		if runtime.GOOS == "linux" && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("status() = %v; want a timeout", err)
		}
		return
	}
	t.Error("10000 notifications were taken that nobody reads")
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address := filepath.Join(t.TempDir(), "notify")
		c := manager(t, address)
		ctx, cancel := context.WithCancel(t.Context())
		var alive atomic.Bool
		alive.Store(true)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n := &notifier{socket: address, watchdog: 30 * time.Second}
			n.watch(ctx, slog.New(slog.DiscardHandler), alive.Load)
		}()
		check := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			got := received(t, c)
			for _, s := range got {
				if s != "WATCHDOG=1" {
					t.Errorf("%s: received %q; want WATCHDOG=1", when, s)
				}
			}
			if len(got) != want {
				t.Errorf("%s: %d notifications; want %d", when, len(got), want)
			}
		}
		start := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(start.Add(d))) }
		check("at the start", 1)
		at(15*time.Second - 1)
		check("before half the time", 0)
		at(15 * time.Second)
		check("after half the time", 1)
		at(59 * time.Second)
		check("after nearly a minute", 2)
		alive.Store(false)
		at(5 * time.Minute)
		check("while we hang", 0)
		alive.Store(true)
		at(5*time.Minute + 15*time.Second)
		check("when we are back", 1)
		cancel()
		<-ended
		at(time.Hour)
		check("after the end", 0)
	})
}

func TestWatchLogsThatNobodyHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notifier{socket: filepath.Join(t.TempDir(), "nobody"), watchdog: 10 * time.Second}
		var s sink
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		n.watch(ctx, slog.New(plainText(&s)), func() bool { return true })
		if lines := strings.Count(s.String(), "the service manager does not hear"); lines != 3 {
			t.Errorf("%d lines in the log, want 3:\n%s", lines, s.String())
		}
	})
}
