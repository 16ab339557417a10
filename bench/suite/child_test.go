//go:build linux

package suite

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNurseryEndsAll(t *testing.T) {
	n := newNursery(t.TempDir())
	polite, err := n.run("polite", "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	// One that has children and does not end at SIGTERM.
	ready := filepath.Join(n.dir, "ready")
	stubborn, err := n.run("stubborn", "sh", "-c", `trap "" TERM; sleep 60 & echo $! >pid; mv pid ready; while :; do wait; done`)
	if err != nil {
		t.Fatal(err)
	}
	err = stubborn.ready(t.Context(), func() bool { _, err := os.Stat(ready); return err == nil })
	if err != nil {
		t.Fatal(err)
	}
	n.stopAll()
	for _, c := range []*child{polite, stubborn} {
		select {
		case <-c.done:
		default:
			t.Errorf("%s is still there", c.name)
		}
		if syscall.Kill(c.pid(), 0) == nil {
			t.Errorf("%s is still there, as process %d", c.name, c.pid())
		}
	}
	if len(n.children) > 0 {
		t.Errorf("%d children are left", len(n.children))
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	n := newNursery(t.TempDir())
	c, err := n.run("broken", "sh", "-c", "echo no such module >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = c.ready(t.Context(), func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "broken ended: exit status 3: no such module") {
		t.Errorf("ready = %v", err)
	}
	c.stop()
	if _, err := n.run("nothing", filepath.Join(n.dir, "none")); err == nil {
		t.Error("run started what is not there")
	}
}

func TestOutput(t *testing.T) {
	n := newNursery(t.TempDir())
	if out, err := n.output(t.Context(), time.Minute, "echo", "a"); string(out) != "a\n" || err != nil {
		t.Errorf("output = %q, %v", out, err)
	}
	if _, err := n.output(t.Context(), time.Minute, "sh", "-c", "echo bench: oh >&2; exit 1"); err == nil || err.Error() != "oh (exit status 1)" {
		t.Errorf("output = %v, want what the program said", err)
	}
	if _, err := n.output(t.Context(), time.Millisecond, "sleep", "60"); err == nil || err.Error() != "not finished within 1ms" {
		t.Errorf("output = %v, want its time to be over", err)
	}
}

// Every cell names targets that there are, and no two cells are the same.
func TestTurns(t *testing.T) {
	r := &run{targets: Targets()}
	seen := map[string]bool{}
	for _, turn := range append(r.echoes(), r.handshakes(), r.rarely(), r.long()) {
		if seen[turn.Name] {
			t.Errorf("two cells are called %q", turn.Name)
		}
		seen[turn.Name] = true
		for _, key := range turn.targets {
			if _, ok := r.target(key); !ok {
				t.Errorf("%s: there is no target %q", turn.Name, key)
			}
		}
	}
	r.only = []string{"gws"}
	for _, turn := range r.echoes() {
		if len(turn.targets) != 1 || turn.targets[0] != "gws" {
			t.Errorf("%s: measures %q, want the one that was asked for", turn.Name, turn.targets)
		}
	}
}
