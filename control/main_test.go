package control

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run if a test leaves a goroutine or a descriptor behind.
// With a request in its environment, the test binary is a caller instead.
func TestMain(m *testing.M) {
	if os.Getenv(callerSocket) != "" {
		os.Exit(beCaller())
	}
	before := descriptors()
	code := m.Run()
	if leak := leaks(before); leak != "" && code == 0 {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

// leaks says what is still there that was not before, giving what was told to
// end some time to do so.
func leaks(descriptorsBefore int) (leak string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		leak = ""
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		for _, g := range strings.Split(stacks, "\n\n")[1:] {
			if strings.Contains(g, "ws-fpm/") || strings.Contains(g, "net/http.") {
				leak += "goroutine left behind: " + g + "\n"
			}
		}
		if n := descriptors(); n > descriptorsBefore {
			leak += fmt.Sprintf("%d descriptors, %d before the tests\n", n, descriptorsBefore)
		}
		if leak == "" {
			return ""
		}
		<-time.After(10 * time.Millisecond)
	}
	return leak
}

// descriptors is the number of open descriptors, or 0 where nothing tells. The
// one that Go's own poller needs is made first, for it stays.
func descriptors() int {
	r, w, err := os.Pipe()
	if err != nil {
		return 0
	}
	r.Close()
	w.Close()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}
