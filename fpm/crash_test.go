package fpm

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The workers of a killed master go on serving its socket and would make the
// next one refuse to start.
func TestMasterKilled(t *testing.T) {
	for _, listen := range []string{"", "127.0.0.1:0"} {
		s := start(t, Options{Children: 3, Listen: listen})
		for restarts := 1; restarts <= 2; restarts++ {
			old := s.Pid()
			workers := group(t, old)
			if len(workers) != 4 {
				t.Fatalf("%d processes, want a master and 3 workers", len(workers))
			}
			if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if !soon(func() bool { return s.Pid() != 0 && s.Pid() != old && s.Restarts() == restarts }) {
				t.Fatalf("Pid = %d, Restarts = %d after the master %d was killed", s.Pid(), s.Restarts(), old)
			}
			if left := group(t, old); len(left) != 0 {
				t.Errorf("orphans %v beside the new master", left)
			}
			network, address := s.Addr()
			if err := ready(t.Context(), network, address); err != nil {
				t.Errorf("the new master does not answer: %v", err)
			}
		}
	}
}

// Ends of the master other than by a crash: it is started again as well.
func TestMasterEnds(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT} {
		s := start(t, Options{})
		old := s.Pid()
		if err := syscall.Kill(old, sig); err != nil {
			t.Fatal(err)
		}
		if !soon(func() bool { return s.Restarts() == 1 && s.Pid() != 0 }) {
			t.Errorf("after %v: Pid = %d, Restarts = %d", sig, s.Pid(), s.Restarts())
		}
	}
}

// php-fpm replaces a worker itself; the supervisor has nothing to do with it.
func TestWorkerKilled(t *testing.T) {
	s := start(t, Options{Children: 2})
	master := s.Pid()
	workers := slices.DeleteFunc(group(t, master), func(pid int) bool { return pid == master })
	if err := syscall.Kill(workers[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !soon(func() bool { now := group(t, master); return len(now) == 3 && !slices.Contains(now, workers[0]) }) {
		t.Errorf("processes %v after worker %d was killed", group(t, master), workers[0])
	}
	if s.Restarts() != 0 || s.Pid() != master {
		t.Errorf("Restarts = %d, Pid = %d; want the same master", s.Restarts(), s.Pid())
	}
}

func TestStopWhileWaitingToRestart(t *testing.T) {
	s := start(t, Options{})
	for restarts := range 3 { // so that the wait is 800 ms
		old := s.Pid()
		syscall.Kill(old, syscall.SIGKILL)
		if !soon(func() bool { return s.Restarts() == restarts+1 && s.Pid() != 0 && s.Pid() != old }) {
			t.Fatal("not started again")
		}
	}
	syscall.Kill(s.Pid(), syscall.SIGKILL)
	if !soon(func() bool { return s.Pid() == 0 }) {
		t.Fatal("the master is still there")
	}
	begin := time.Now()
	stopNow(t, s)
	if d := time.Since(begin); d > 400*time.Millisecond {
		t.Errorf("Stop took %v while nothing ran", d)
	}
}

// A process that a script started in a session of its own holds our pipe.
func TestEscapedProcessDoesNotHoldUpStop(t *testing.T) {
	s := start(t, Options{})
	escape(t, s)
	begin := time.Now()
	stopNow(t, s)
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("Stop took %v", d)
	}
}

// Such a process holds the listening socket as well; php-fpm would take it
// for another php-fpm that listens there, and refuse to start again.
func TestEscapedProcessDoesNotHoldUpRestart(t *testing.T) {
	s := start(t, Options{})
	escape(t, s)
	old := s.Pid()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !soon(func() bool { pid := s.Pid(); return pid != 0 && pid != old }) {
		t.Fatal("not started again")
	}
	network, address := s.Addr()
	if err := ready(t.Context(), network, address); err != nil {
		t.Error(err)
	}
	if got := run(t, s, `<?php echo "here";`); !strings.Contains(got, "here") || s.Restarts() != 1 {
		t.Errorf("after %d restarts the server answers %q", s.Restarts(), got)
	}
}

// escape has a script leave a process behind in a session of its own.
func escape(t *testing.T, s *Server) {
	t.Helper()
	require(t, "setsid", "util-linux")
	pidFile := filepath.Join(publicDir(t), "pid")
	run(t, s, `<?php exec('setsid sh -c "echo \$\$ > `+pidFile+`; exec sleep 60" >/dev/null &');`)
	var escaped int
	if !soon(func() bool {
		b, _ := os.ReadFile(pidFile)
		escaped, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return escaped != 0
	}) {
		t.Fatal("the process did not start")
	}
	t.Cleanup(func() { syscall.Kill(escaped, syscall.SIGKILL) })
}

// Should this process be killed, the kernel tells php-fpm to end.
func TestParentKilled(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "freebsd" {
		t.Skip("php-fpm outlives a killed parent on this system")
	}
	requireFPM(t)
	p := startParent(t, nil, "")
	if n := len(group(t, p.master)); n != 3 {
		t.Fatalf("%d processes, want a master and 2 workers", n)
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	if !soon(func() bool { return len(group(t, p.master)) == 0 }) {
		t.Errorf("processes %v outlive their parent", group(t, p.master))
	}
	if _, err := os.Stat(filepath.Join(p.dir, socketFile)); !os.IsNotExist(err) {
		t.Errorf("the socket outlives the parent: %v", err)
	}
}

func TestAsAnOrdinaryUser(t *testing.T) {
	requireFPM(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root to become nobody; all other tests ran as an ordinary user")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	file := script(t, `<?php session_start(); echo "user ", posix_geteuid();`)
	p := startParent(t, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, file)
	var answer strings.Builder
	for !strings.Contains(answer.String(), "user "+nobody.Uid) {
		line, err := p.out.ReadString('\n')
		answer.WriteString(line)
		if err != nil {
			t.Fatalf("the script printed %q, want user %s", answer.String(), nobody.Uid)
		}
	}
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left := group(t, p.master); len(left) != 0 {
		t.Errorf("processes %v after Stop", left)
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("%s is there after Stop: %v", p.dir, err)
	}
}

// parentProcess is this test binary in the role of a parent, see parent.
type parentProcess struct {
	cmd    *exec.Cmd
	in     io.Closer
	out    *bufio.Reader
	master int
	dir    string
}

func startParent(t *testing.T, as *syscall.Credential, file string) parentProcess {
	t.Helper()
	dir := publicDir(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, "parent") // for the original's directory may be closed to others
	if err := os.WriteFile(public, code, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(public)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), roleVariable+"=parent", "WS_FPM_TEST_SCRIPT="+file, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait() // a second time, where the test itself has waited
	})
	p := parentProcess{cmd: cmd, in: in, out: bufio.NewReader(out)}
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &p.master, &p.dir); err != nil {
		t.Fatalf("the parent says %q", line)
	}
	return p
}
