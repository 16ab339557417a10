package integration_test

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
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run is TestMain with its defers done.
func run(m *testing.M) int {
	var err error
	if buildDir, err = os.MkdirTemp("", "ws-fpm-built"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildDir)
	code := m.Run()
	if leak := leaked(5 * time.Second); leak != "" && code == 0 {
		fmt.Fprintln(os.Stderr, leak)
		return 1
	}
	return code
}

// leaked waits until this process is as a finished test run leaves it: no
// goroutine of ours, no child. It says what stayed.
func leaked(patience time.Duration) string {
	var leak string
	waitUntil(patience, func() bool {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var ours []string
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, "ws-fpm/") && !strings.Contains(g, "TestMain") {
				ours = append(ours, g)
			}
		}
		leak = ""
		if len(ours) > 0 {
			leak = "goroutines left behind:\n" + strings.Join(ours, "\n\n")
		} else if pids := children(os.Getpid()); len(pids) > 0 {
			leak = fmt.Sprintf("processes left behind: %v", pids)
		}
		return leak == ""
	})
	return leak
}

// waitUntil asks ok every millisecond, and says whether it came true in time.
func waitUntil(patience time.Duration, ok func() bool) bool {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ok()
		case <-tick.C:
		}
	}
	return true
}

// eventually fails t unless ok comes true within patience.
func eventually(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	if !waitUntil(patience, ok) {
		t.Fatalf("after %v still not: %s", patience, what)
	}
}

// pause waits for d where time itself is the subject: an idle connection, a
// reload in progress.
func pause(d time.Duration) { <-time.After(d) }

// long says that WS_FPM_LONG=1 asks for full counts.
func long() bool { return os.Getenv("WS_FPM_LONG") == "1" }

// scaled is few, or many if WS_FPM_LONG=1.
func scaled(few, many int) int {
	if long() {
		return many
	}
	return few
}

// missing skips t, or fails it if WS_FPM_REQUIRE=1.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("WS_FPM_REQUIRE") == "1" {
		t.Fatalf("WS_FPM_REQUIRE=1, and "+format, args...)
	}
	t.Skipf(format, args...)
}

// requireProgram returns the first of names that is installed, or skips t
// with the Debian package to install.
func requireProgram(t testing.TB, debian string, names ...string) string {
	t.Helper()
	for _, name := range names {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
			found, _ := filepath.Glob(filepath.Join(dir, name))
			for i := len(found) - 1; i >= 0; i-- { // the highest version first
				if path, err := exec.LookPath(found[i]); err == nil {
					return path
				}
			}
		}
	}
	missing(t, "%s is not installed: apt-get install %s", names[0], debian)
	return ""
}

// requirePHPFPM returns the path of php-fpm, or skips t.
func requirePHPFPM(t testing.TB) string {
	t.Helper()
	return requireProgram(t, "php-fpm", "php-fpm", "php-fpm[0-9]*", "php[0-9]*-fpm")
}

// buildDir holds the program under test and is made by TestMain.
var buildDir string

// built compiles the program under test, once per run.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "ws-fpm")
	args := []string{"build", "-o", path}
	if raced {
		args = append(args, "-race")
	}
	args = append(args, "ws-fpm")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return path, nil
})

// buildBinary returns the program under test, compiled with the race detector
// if this test is.
func buildBinary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// publicDir makes a short-named directory that a php-fpm worker of another
// user can enter: t.TempDir's parents are closed, and its path would be too
// long for a socket in a test with a long name.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wsf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeFile makes a file that everybody can read, whatever the umask.
func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// children gives the pids of a process's children.
func children(pid int) []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(b)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b[strings.LastIndexByte(string(b), ')'):]), " Z ")
}
