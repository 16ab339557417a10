//go:build linux

package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"ws-fpm/bench/report"
)

// Options are what one run of the suite does.
type Options struct {
	Root   string // of the repository; ws-fpm is built there as ws-fpm
	Golang string // a directory with the peers in Go
	Only   []string
	Rounds int
	Conns  int // to php-fpm, and its children
	Log    io.Writer
}

// Quick compares ws-fpm with the best peer and the floor, at 1 KiB and 50
// connections on the stub.
func Quick(ctx context.Context, o Options) (report.Data, error) {
	return o.run(ctx, Targets(), func(r *run) error {
		return r.rounds(ctx, []turn{{
			Cell:    report.Cell{Name: "1 KiB, 50 connections, stub", Backend: "stub", Mode: "echo", Size: 1024, Conns: 50},
			targets: r.keys("ws-fpm", "gws", "floor"),
			lengths: lengths{warm: 300 * time.Millisecond, measure: 1200 * time.Millisecond},
			calls:   true,
		}}, o.Rounds)
	})
}

// run makes a run, does what is asked, and ends all that was started.
func (o Options) run(ctx context.Context, targets []Target, do func(*run) error) (report.Data, error) {
	dir, err := os.MkdirTemp("", "ws-fpm-bench-")
	if err != nil {
		return report.Data{}, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return report.Data{}, err
	}
	n := newNursery(dir)
	defer n.stopAll()
	r := &run{nursery: n, conns: o.Conns, targets: targets, only: o.Only, log: o.Log, open: map[string]*running{}, failed: map[string]int{}}
	if r.tools, err = o.find(); err != nil {
		return report.Data{}, err
	}
	r.data = report.Data{System: system(), Rounds: o.Rounds, Calls: map[string]map[string]float64{}}
	if len(o.Only) > 0 {
		var only []Target
		for _, key := range o.Only {
			t, ok := r.target(key)
			if !ok {
				return report.Data{}, fmt.Errorf("there is no target %q", key)
			}
			only = append(only, t)
		}
		r.targets = only
	}
	for _, t := range r.targets {
		r.data.Targets = append(r.data.Targets, t.Target)
	}
	err = do(r)
	return r.data, err
}

// keys are those of a cell's targets, or those that were asked for in their
// place.
func (r *run) keys(keys ...string) []string {
	if len(r.only) > 0 {
		return r.only
	}
	return keys
}

// find looks for what the targets need. Without one of them its target fails,
// and the others are measured.
func (o Options) find() (tools, error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return tools{}, err
	}
	t := tools{root: root, wsfpm: filepath.Join(root, "ws-fpm")}
	if o.Golang != "" {
		if t.golang, err = filepath.Abs(o.Golang); err != nil {
			return t, err
		}
	}
	if t.self, err = os.Executable(); err != nil {
		return t, err
	}
	if _, err := os.Stat(t.wsfpm); err != nil {
		return t, fmt.Errorf("ws-fpm is not built: %w", err)
	}
	if node, err := exec.LookPath("node"); err == nil {
		if _, err := os.Stat(filepath.Join(o.Root, "bench/peers/node/node_modules/ws")); err == nil {
			t.node = node
		}
	}
	if nginx, err := exec.LookPath("nginx"); err == nil {
		t.nginx = nginx
	} else if _, err := os.Stat("/usr/sbin/nginx"); err == nil {
		t.nginx = "/usr/sbin/nginx"
	}
	for _, pattern := range []string{"/usr/sbin/php-fpm*", "/usr/sbin/php*-fpm", "/usr/local/sbin/php-fpm*"} {
		if found, _ := filepath.Glob(pattern); t.fpm == "" && len(found) > 0 {
			t.fpm = found[0]
		}
	}
	return t, nil
}

// system says in a few words what the figures were measured on.
func system() string {
	model := ""
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kernel, _, _ := strings.Cut(string(bytes.TrimSpace(release)), "-")
	return fmt.Sprintf("%d cores (%s), Linux %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

// crowd is how many connections one process can hold here, at most 100,000.
// Beside clients, ws-fpm keeps descriptors for handshakes and a few others.
func crowd() int {
	const most, others = 100000, 1200
	limit := syscall.Rlimit{Cur: most + others, Max: most + others}
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) != nil {
		return 10000
	}
	// Children get what this process has. Only root may have more than before.
	if now.Max > limit.Max {
		limit.Max = now.Max
	}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		return most
	}
	return int(max(now.Max, others+1)) - others
}
