package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// asChild gives a command that runs the test t alone, in a process of its own in
// which isChild is true, with files passed to it as a service manager does.
func asChild(t *testing.T, names string, files ...*os.File) *exec.Cmd {
	run := []string{os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=60s"}
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`}, run...)...)
	cmd.Env = append(os.Environ(), "WS_FPM_TEST_CHILD="+t.Name(), "GORACE=atexit_sleep_ms=0", fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	return cmd
}

func isChild(t *testing.T) bool { return os.Getenv("WS_FPM_TEST_CHILD") == t.Name() }

// TestReceiveSockets has sockets passed to a process of its own, which names the
// one that each client has come to.
func TestReceiveSockets(t *testing.T) {
	if isChild(t) {
		serveNames(t)
		return
	}
	path := filepath.Join(t.TempDir(), "b.sock")
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	unix.SetUnlinkOnClose(false)
	tcpFile, unixFile := file(t, tcp), file(t, unix)
	tcp.Close()
	unix.Close()

	cmd := asChild(t, "web:b", tcpFile, unixFile)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ network, address, name string }{
		{"tcp", tcp.Addr().String(), "web"}, {"unix", path, "b"},
	} {
		if got := ask(t, want.network, want.address); got != want.name {
			t.Errorf("%s %s answers %q; want %q", want.network, want.address, got, want.name)
		}
	}
	all, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || !strings.Contains(string(all), "--- PASS") {
		t.Errorf("the process that got the sockets: %v\n%s", err, all)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the unix socket is gone (%v); want it to stay for the next process", err)
	}
}

// file gives the descriptor of a listener, to be passed.
func file(t *testing.T, l net.Listener) *os.File {
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// ask reads what a listener says to a client.
func ask(t *testing.T, network, address string) string {
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// serveNames answers one client of each socket with the socket's name.
func serveNames(t *testing.T) {
	sockets, err := receiveSockets()
	if err != nil {
		t.Fatal(err)
	}
	defer closeSockets(sockets)
	taken, rest, err := assignSockets(sockets, []string{"web", "b"})
	if err != nil || len(rest) > 0 {
		t.Fatalf("assignSockets() leaves %d, %v; want all to be taken", len(rest), err)
	}
	for _, v := range passedVariables {
		if value, is := os.LookupEnv(v); is {
			t.Errorf("%s=%q; want it to be unset", v, value)
		}
	}
	if list, err := exec.Command("ls", "-l", "/proc/self/fd").Output(); err == nil && strings.Contains(string(list), "socket:") {
		t.Errorf("a child has sockets:\n%s", list)
	}
	for _, name := range []string{"web", "b"} {
		c, err := taken[name][0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, name)
		c.Close()
	}
	if again, err := receiveSockets(); again != nil || err != nil {
		t.Errorf("receiveSockets() once more = %v, %v; want nothing", again, err)
	}
}

func TestReceiveSocketsRefusesOthers(t *testing.T) {
	if isChild(t) {
		sockets, err := receiveSockets()
		const want = `systemd: descriptor 4, named "b": getsockopt: socket operation on non-socket`
		if sockets != nil || message(err) != want {
			t.Errorf("receiveSockets() = %v, %v; want %q", sockets, err, want)
		}
		open, _ := filepath.Glob("/proc/self/fd/[3-9]*")
		for _, name := range open {
			if to, _ := os.Readlink(name); strings.HasPrefix(to, "socket:") {
				t.Errorf("%s is %s; want no socket to be left open", name, to)
			}
		}
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if out, err := asChild(t, "a:b", file(t, l), null).Output(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("the process that got a file: %v\n%s", err, out)
	}
}

// TestReceiveSocketsOfSystemd has systemd's own tool pass the socket.
func TestReceiveSocketsOfSystemd(t *testing.T) {
	if isChild(t) {
		serveNames(t)
		return
	}
	tool := systemdTool(t, "systemd-socket-activate")
	dir := t.TempDir()
	web, b := filepath.Join(dir, "web"), filepath.Join(dir, "b")
	cmd := exec.CommandContext(t.Context(), tool, "-l", web, "-l", b, "--fdname=web:b", "-E", "WS_FPM_TEST_CHILD="+t.Name(), "-E", "GORACE=atexit_sleep_ms=0",
		os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	for n := 0; n < 2 && lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if strings.HasPrefix(lines.Text(), "Listening on ") {
			n++
		}
	}
	for _, path := range []string{web, b} {
		if got, want := ask(t, "unix", path), filepath.Base(path); got != want {
			t.Errorf("%s answers %q; want %q", path, got, want)
		}
	}
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process that systemd-socket-activate started: %v\n%s", err, said.String())
	}
}

// systemdTool finds a program of systemd. Without it t is skipped, or fails with
// WS_FPM_REQUIRE=1.
func systemdTool(t *testing.T, name string) (path string) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("WS_FPM_REQUIRE") == "1" {
		t.Fatalf("WS_FPM_REQUIRE=1, and %v: it is in the package systemd", err)
	}
	t.Skip(err)
	return ""
}

// TestRestartRefusesNobody has process after process serve one passed socket,
// with clients all the time: those that come between two wait for the second.
func TestRestartRefusesNobody(t *testing.T) {
	if isChild(t) {
		serveUntilTold(t)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	passed := file(t, l)
	l.Close()
	stop := make(chan struct{})
	answers := map[string]int{}
	var longest time.Duration
	var client sync.WaitGroup
	client.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			start := time.Now()
			answers[ask(t, "tcp", l.Addr().String())]++
			longest = max(longest, time.Since(start))
		}
	})
	for range 4 {
		cmd := asChild(t, "web", passed)
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
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "served 100"; {
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("a process that served: %v", err)
		}
	}
	// The last clients are still to be answered.
	last, err := net.FileListener(passed)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := last.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "last")
			c.Close()
		}
	})
	close(stop)
	client.Wait()
	last.Close()
	serving.Wait()
	if answers[""] > 0 || len(answers) < 4 || longest > 5*time.Second {
		t.Errorf("answers %v, the longest after %v; want each of 4 processes to answer, and nobody without one", answers, longest)
	}
}

// serveUntilTold answers clients with its process id until stdin ends, and those
// it has accepted by then.
func serveUntilTold(t *testing.T) {
	sockets, err := receiveSockets()
	if err != nil {
		t.Fatal(err)
	}
	taken, _, err := assignSockets(sockets, []string{""})
	if err != nil {
		t.Fatal(err)
	}
	l := taken[""][0]
	var closing sync.WaitGroup
	closing.Go(func() {
		io.Copy(io.Discard, os.Stdin)
		l.Close()
	})
	for n := 1; ; n++ {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, os.Getpid())
		c.Close()
		if n == 100 {
			fmt.Println("served 100")
		}
	}
	closing.Wait()
}
