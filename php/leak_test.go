package php

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run if a test leaves a goroutine or a descriptor behind.
func TestMain(m *testing.M) {
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
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		leak = ""
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, g := range strings.Split(string(stacks), "\n\n")[1:] {
			if strings.Contains(g, "ws-fpm") {
				leak += "goroutine left behind: " + g + "\n"
			}
		}
		if n := descriptors(); n > descriptorsBefore {
			leak += fmt.Sprintf("%d descriptors, %d before the tests\n", n, descriptorsBefore)
		}
		if leak == "" {
			return ""
		}
	}
	return leak
}

// descriptors is the number of open descriptors, or 0 where nothing tells. A
// pipe first, so that those of Go's own poller count from the start.
func descriptors() int {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}
