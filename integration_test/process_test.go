package integration_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a child in a process group of its own, whose standard error is
// kept line by line.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it was reaped and its output read

	mu    sync.Mutex // guards what follows
	lines []string
}

// startProcess runs a program until t ends at the latest.
func startProcess(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: cmd.Path, cmd: cmd, done: make(chan struct{})}
	// A pipe of our own: exec's would make Wait wait for grandchildren too.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.keep(r) })
	go func() {
		defer close(p.done)
		cmd.Wait()
		// What the group leaves behind would hold the pipe open.
		r.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		reading.Wait()
		r.Close()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			lines := p.log()
			t.Logf("the end of what %s said:\n%s", p.name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return p
}

// keep collects lines until the pipe ends.
func (p *process) keep(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			p.mu.Lock()
			p.lines = append(p.lines, strings.TrimSuffix(line, "\n"))
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// log gives the lines so far.
func (p *process) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[:len(p.lines):len(p.lines)]
}

// logged counts the lines from the given one on that contain s.
func (p *process) logged(from int, s string) (count int) {
	for _, line := range p.log()[from:] {
		if strings.Contains(line, s) {
			count++
		}
	}
	return count
}

// ended reports whether the process has been reaped.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends one to the process alone.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("sending %v to %s: %v", s, p.name, err)
	}
}

// wait fails the test unless the process ends in time, and gives its exit
// code: -1 if a signal ended it.
func (p *process) wait(patience time.Duration) int {
	p.t.Helper()
	eventually(p.t, patience, p.name+" ends", p.ended)
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the whole group at once and waits until it was reaped.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // a group lives on after its leader
	<-p.done
}
