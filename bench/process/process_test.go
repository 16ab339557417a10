//go:build linux

package process

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	if got, err := parseParent("1 (a b) c) S 77 1 1"); got != 77 || err != nil {
		t.Errorf("parseParent = %d, %v; want 77", got, err)
	}
	if _, err := parseParent("1 (a) S"); err == nil {
		t.Error("parseParent took a short line")
	}
	if got, err := parseSchedstat("3000000000 5 6\n"); got != 3*time.Second || err != nil {
		t.Errorf("parseSchedstat = %v, %v; want 3s", got, err)
	}
	got, err := parseRollup(strings.NewReader("0-1 ---p 0 0:0 0 [rollup]\nRss: 9 kB\nPss: 4 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: 2 kB\n"))
	if want := (Memory{4 << 10, 3 << 10}); got != want || err != nil {
		t.Errorf("parseRollup = %v, %v; want %v", got, err, want)
	}
}

func TestSince(t *testing.T) {
	before, after := Usage{1: 10, 2: 20}, Usage{1: 15, 3: 7}
	if got := after.Since(before); got != 12 {
		t.Errorf("Since = %d, want 12: 5 of thread 1, 7 of the new thread 3", got)
	}
}

func TestTree(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	tree, err := Tree(os.Getpid())
	if err != nil || tree[0] != os.Getpid() || !slices.Contains(tree, child.Process.Pid) {
		t.Errorf("Tree = %v, %v; want this process first, and %d", tree, err, child.Process.Pid)
	}
	if _, err := Tree(1 << 30); err == nil {
		t.Error("Tree found a process that cannot be")
	}
	if u, err := CPU(os.Getpid()); err != nil || u.Since(nil) <= 0 {
		t.Errorf("CPU = %v, %v", u, err)
	}
	if m, err := MemoryOf(os.Getpid()); err != nil || m.PSS <= 0 || m.Private <= 0 {
		t.Errorf("MemoryOf = %v, %v", m, err)
	}
}
