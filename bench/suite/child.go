//go:build linux

// Package suite starts the programs that are compared, measures them in turns,
// round after round, and ends them.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A nursery starts processes and ends all of them, whatever happens: they die
// with the thread that started them, so that thread does nothing else and
// lives as long as the program.
type nursery struct {
	dir   string // where their logs are
	start chan func()

	mu       sync.Mutex // guards what follows
	children map[*child]bool
}

// A child is one running process.
type child struct {
	*nursery
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // then: how
}

func newNursery(dir string) *nursery {
	n := &nursery{dir: dir, start: make(chan func()), children: map[*child]bool{}}
	go func() {
		runtime.LockOSThread()
		for f := range n.start {
			f()
		}
	}()
	return n
}

// run starts a process. SIGTERM, which nginx and php-fpm need to end their own
// children, also comes when this program is killed.
func (n *nursery) run(name string, argv ...string) (*child, error) {
	c := &child{nursery: n, name: name, done: make(chan struct{})}
	c.log = filepath.Join(n.dir, strings.ReplaceAll(name, " ", "-")+".log")
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = n.dir, out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	n.start <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	n.mu.Lock()
	n.children[c] = true
	n.mu.Unlock()
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// text is all that a child has printed.
func (c *child) text() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// lastWords is the end of it, for a message on one line.
func (c *child) lastWords() string {
	text := c.text()
	return strings.Join(strings.Fields(text[max(0, len(text)-300):]), " ")
}

// stop asks a child to end, and a little later makes it, with its group.
func (c *child) stop() {
	select {
	case <-c.done:
	default:
		c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.done:
		case <-time.After(3 * time.Second):
			syscall.Kill(-c.pid(), syscall.SIGKILL)
			<-c.done
		}
	}
	c.mu.Lock()
	delete(c.children, c)
	c.mu.Unlock()
}

// stopAll ends all children that are left.
func (n *nursery) stopAll() {
	n.mu.Lock()
	var left []*child
	for c := range n.children {
		left = append(left, c)
	}
	n.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range left {
		wg.Go(c.stop)
	}
	wg.Wait()
}

// ready waits until a child can be connected to.
func (c *child) ready(ctx context.Context, connects func() bool) error {
	deadline := time.After(15 * time.Second)
	for !connects() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			return fmt.Errorf("%s ended: %v: %s", c.name, c.err, c.lastWords())
		case <-deadline:
			return fmt.Errorf("%s does not listen after 15 s: %s", c.name, c.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// output runs a program to its end, in its time, and gives what it printed.
func (n *nursery) output(ctx context.Context, limit time.Duration, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	n.start <- func() { started <- cmd.Start() }
	err := <-started
	if err == nil {
		err = cmd.Wait()
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("not finished within %v", limit)
	case err != nil:
		return nil, errors.New(strings.Join(strings.Fields(strings.TrimPrefix(errs.String(), "bench: ")), " ") + " (" + err.Error() + ")")
	}
	return []byte(out.String()), nil
}
