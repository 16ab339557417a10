package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// notifyTimeout is how long a service manager may take to accept a
	// notification; it must not keep us from our work.
	notifyTimeout = time.Second

	// maxStatus is the longest status text, in bytes. The manager ignores a
	// notification of more than 4096.
	maxStatus = 1024

	// maxWatchdog is beyond what anybody means, and within what can be computed.
	maxWatchdog = 365 * 24 * time.Hour
)

// A notifier tells the service manager how we are (sd_notify(3)). Without one
// that wants to know, all its methods do nothing.
type notifier struct {
	socket   string        // a path, or @ and an abstract name; empty: there is no manager
	watchdog time.Duration // how often we must say that we live; zero: never
}

// newNotifier takes what the manager wants to know from the environment, where
// no child is to find it.
func newNotifier() (*notifier, error) {
	n, err := parseNotifier(os.Getenv, os.Getpid())
	for _, v := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(v)
	}
	return n, err
}

func parseNotifier(getenv func(string) string, pid int) (*notifier, error) {
	n := &notifier{socket: getenv("NOTIFY_SOCKET")}
	if n.socket == "" {
		return n, nil
	}
	if n.socket[0] != '/' && n.socket[0] != '@' {
		return nil, fmt.Errorf("systemd: NOTIFY_SOCKET=%q: want an absolute path, or @ and a name", n.socket)
	}
	usec := getenv("WATCHDOG_USEC")
	if owner := getenv("WATCHDOG_PID"); usec == "" || owner != "" && owner != strconv.Itoa(pid) {
		return n, nil
	}
	us, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || us <= 0 || us > maxWatchdog.Microseconds() {
		return nil, fmt.Errorf("systemd: WATCHDOG_USEC=%q: want a number of microseconds, at most a year", usec)
	}
	n.watchdog = time.Duration(us) * time.Microsecond
	return n, nil
}

// ready says that we serve.
func (n *notifier) ready(status string) error {
	return n.send("READY=1", statusField(status))
}

// reloading says that we take over another configuration; ready has to follow.
func (n *notifier) reloading() error {
	fields := []string{"RELOADING=1"}
	if field, ok := monotonic(); ok {
		fields = append(fields, field)
	}
	return n.send(fields...)
}

// stopping says that we end, and that it may take as long as within, even if the
// unit's TimeoutStopSec is shorter.
func (n *notifier) stopping(status string, within time.Duration) error {
	return n.send("STOPPING=1", statusField(status), "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(within.Microseconds(), 10))
}

// watch says that we live, twice in the time that the manager sets, until ctx
// ends. It says nothing while alive does not return true: that is how the
// manager learns that we hang. Without a watchdog it returns at once.
func (n *notifier) watch(ctx context.Context, log *slog.Logger, alive func() bool) {
	if n.watchdog == 0 {
		return
	}
	ticker := time.NewTicker(max(n.watchdog/2, time.Millisecond))
	defer ticker.Stop()
	for {
		if alive() {
			if err := n.send("WATCHDOG=1"); err != nil {
				log.Warn("the service manager does not hear that this process lives", "error", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// send sends one notification, a field per line.
func (n *notifier) send(fields ...string) error {
	if n.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: n.socket})
	if err != nil {
		return fmt.Errorf("systemd: notifying: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(notifyTimeout))
	if _, err := c.Write([]byte(strings.Join(fields, "\n"))); err != nil {
		return fmt.Errorf("systemd: notifying: %w", err)
	}
	return nil
}

// statusField makes a field of text, whatever is in it: one line of valid UTF-8.
func statusField(text string) string {
	if len(text) > maxStatus {
		text = text[:maxStatus]
	}
	text = strings.ToValidUTF8(text, "")
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
