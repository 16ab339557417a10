package fpm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	orphansTimeout = 250 * time.Millisecond // for killed workers to be gone
	stderrTimeout  = time.Second            // for the rest of standard error
)

// child is one run of php-fpm: the master, its workers and their standard error.
type child struct {
	cmd     *exec.Cmd
	journal *journal
	stderr  *os.File
	copied  chan struct{} // closed when stderr was read to its end
}

// spawn starts the master: in the foreground (-F), logging to standard error
// though that is no terminal (-O). It must be called, and waited for, on one
// locked thread: see attributes.
func (s *Server) spawn() (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("fpm: making a pipe: %w", err)
	}
	defer w.Close()
	cmd := exec.Command(s.binary, "-F", "-O", "-y", filepath.Join(s.dir, configFile))
	cmd.Dir = "/"
	cmd.Env = environment(filepath.Join(s.dir, tmpDir))
	cmd.SysProcAttr = attributes()
	cmd.Stderr = w // a file, for Wait must not wait for workers that hold it too
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("fpm: starting php-fpm: %w", err)
	}
	c := &child{cmd, &journal{log: s.log}, r, make(chan struct{})}
	go func() {
		defer close(c.copied)
		c.journal.copy(r)
	}()
	return c, nil
}

// wait returns when the master has ended and no worker is left, with what
// there is to say about it.
func (c *child) wait() error {
	err := c.cmd.Wait()
	killGroup(c.cmd.Process.Pid)
	// A process that left the group may hold the other end for good.
	c.stderr.SetReadDeadline(time.Now().Add(stderrTimeout))
	<-c.copied
	c.stderr.Close()
	if err == nil {
		err = errEnded
	}
	if reason := c.journal.reason(); reason != "" {
		return fmt.Errorf("%w: %s", err, reason)
	}
	return err
}

func (c *child) signal(sig syscall.Signal) {
	c.cmd.Process.Signal(sig) // it may have ended by itself, which is as well
}

// killGroup kills what a master left behind. Workers outlive a master that was
// killed, go on serving its socket, and make the next one refuse to start. As
// long as one is left no other process can get the group's number; with none
// left there is nothing to hit but in the moment since the master was reaped.
func killGroup(pgid int) {
	for deadline := time.Now().Add(orphansTimeout); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if syscall.Kill(-pgid, syscall.SIGKILL) != nil {
			return // no process, or on macOS none but the dead
		}
	}
}

// environment is all that php-fpm inherits; what else is in ours may be secret.
func environment(tmp string) []string {
	env := []string{"TMPDIR=" + tmp}
	for _, name := range []string{"PATH", "HOME", "LANG"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
