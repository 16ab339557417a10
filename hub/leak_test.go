package hub

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestMain fails the run if a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n")[1:] {
		if strings.Contains(g, "ws-fpm/hub.") && code == 0 {
			os.Stderr.WriteString("goroutine left behind: " + g + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
