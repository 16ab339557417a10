package fastcgi

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain runs all tests twice, with Do and with Start, for which the same
// holds. It fails the package if goroutines or descriptors are left behind.
func TestMain(m *testing.M) {
	// The runtime's poller opens descriptors of its own with the first socket.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	before := descriptors()
	code := m.Run()
	viaStart = true
	before++ // package testing opens its log for each round, and closes it for one
	code = max(code, m.Run())
	var left string
	deadline := time.After(3 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	for {
		if left = leaks(before); left == "" || code != 0 {
			os.Exit(code)
		}
		select {
		case <-tick.C:
		case <-deadline:
			fmt.Fprintln(os.Stderr, "left behind:", left)
			os.Exit(1)
		}
	}
}

func leaks(before int) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "ws-fpm/fastcgi") && !strings.Contains(g, "TestMain") {
			return g
		}
	}
	if now := descriptors(); now > before {
		return fmt.Sprintf("%d descriptors, %d before", now, before)
	}
	return ""
}

// descriptors counts what this process has open, where that can be counted.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
