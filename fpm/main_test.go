package fpm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes this test binary a parent of php-fpm that is to be killed.
const roleVariable = "WS_FPM_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "parent" {
		os.Exit(parent())
	}
	before, descriptors := runtime.NumGoroutine(), openDescriptors()
	code := m.Run()
	if err := leaks(before, descriptors); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaks waits a little for the goroutines and descriptors of the tests to go.
func leaks(goroutines, descriptors int) error {
	const slack = 1 // a descriptor that the runtime opens once, for its poller's events
	var err error
	soon(func() bool {
		err = nil
		if n := runtime.NumGoroutine(); n > goroutines {
			err = fmt.Errorf("%d goroutines at the end, %d at the start", n, goroutines)
		}
		if n := openDescriptors(); n > descriptors+2+slack {
			err = fmt.Errorf("%d descriptors at the end, %d at the start", n, descriptors)
		}
		return err == nil
	})
	if err != nil {
		stacks := make([]byte, 1<<20)
		err = fmt.Errorf("%w\n%s", err, stacks[:runtime.Stack(stacks, true)])
	}
	return err
}

func openDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd") // none elsewhere than on Linux
	return len(entries)
}

// soon reports whether ok becomes true within ten seconds.
func soon(ok func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// requireFPM gives a php-fpm, or skips the test; where nothing may be skipped
// it fails it.
func requireFPM(t *testing.T) string {
	t.Helper()
	path, _, err := Find(t.Context())
	if err == nil {
		return path
	}
	if os.Getenv("WS_FPM_REQUIRE") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

// require does the same for another program.
func require(t *testing.T, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("WS_FPM_REQUIRE") == "1" {
		t.Fatalf("no %s: apt-get install %s", program, debianPackage)
	}
	t.Skipf("no %s: apt-get install %s", program, debianPackage)
}

// start runs a php-fpm for a test, which must have ended when the test does.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	requireFPM(t)
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(t, s) })
	return s
}

// stopNow stops a server without grace and checks that nothing is left.
func stopNow(t *testing.T, s *Server) {
	t.Helper()
	pid := s.Pid()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Stop(ctx)
	checkNothingLeft(t, s, pid)
}

func checkNothingLeft(t *testing.T, s *Server, pid int) {
	t.Helper()
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("%s is there after Stop: %v", s.Dir(), err)
	}
	if network, address := s.Addr(); network == "unix" {
		if _, err := os.Stat(address); !os.IsNotExist(err) {
			t.Errorf("%s is there after Stop: %v", address, err)
		}
	}
	if pid != 0 && !soon(func() bool { return len(group(t, pid)) == 0 }) {
		t.Errorf("processes %v are there after Stop", group(t, pid))
	}
	if s.Pid() != 0 {
		t.Errorf("Pid = %d after Stop", s.Pid())
	}
}

// group gives the living processes of a process group.
func group(t *testing.T, pgid int) (pids []int) {
	t.Helper()
	require(t, "ps", "procps")
	out, err := exec.Command("ps", "-A", "-o", "pid=,pgid=,stat=").Output()
	if err != nil {
		t.Fatalf("ps: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[1] == strconv.Itoa(pgid) && !strings.HasPrefix(f[2], "Z") {
			pid, _ := strconv.Atoi(f[0])
			pids = append(pids, pid)
		}
	}
	return pids
}

// publicDir makes a directory that every user can read, and write.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ws-fpm-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// script writes a PHP script that every user can read.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(publicDir(t), "test.php")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// syncBuffer is a log's end that a test reads while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// parent runs a php-fpm until it is told to end by the end of its standard
// input, or killed. It prints the master's process id and the directory, then
// what a script answered.
func parent() int {
	signal.Ignore(syscall.SIGPIPE)
	ctx := context.Background()
	s, err := Start(ctx, Options{Children: 2})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(s.Pid(), s.Dir())
	if file := os.Getenv("WS_FPM_TEST_SCRIPT"); file != "" {
		network, address := s.Addr()
		fmt.Println(call(network, address, file))
	}
	io.Copy(io.Discard, os.Stdin)
	s.Stop(ctx)
	return 0
}
