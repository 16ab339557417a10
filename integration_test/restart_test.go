package integration_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRestartUnderLoad restarts the program on a socket that is kept open for
// it, as systemd does, while clients come: none is refused, and none waits long.
func TestRestartUnderLoad(t *testing.T) {
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	file := publicDir(t) + "/ws-fpm.conf"
	writeFile(t, file, strings.Replace(f.config("", "/ws mirror.php"), "127.0.0.1:0", "systemd", 1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	passed, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	l.Close()
	start := func() *gateway {
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve -config "$1"`, buildBinary(t), file)
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
		cmd.ExtraFiles = []*os.File{passed}
		return attachGateway(t, cmd, 1)
	}

	perSecond, restarts := scaled(100, 200), scaled(2, 5)
	var (
		mu      sync.Mutex // guards what follows
		waits   []time.Duration
		faults  []string
		clients sync.WaitGroup
	)
	visit := func(n int) {
		begun := time.Now()
		c, err := connect(handshake{address: address, path: "/ws"})
		took := time.Since(begun)
		mu.Lock()
		waits = append(waits, took)
		if err != nil {
			faults = append(faults, err.Error())
		}
		mu.Unlock()
		if err != nil {
			return
		}
		defer c.conn.Close()
		c.conn.SetDeadline(time.Now().Add(20 * time.Second))
		message := fmt.Sprintf("visit %d", n)
		c.text(message)
		// A client that the restart sends away has its 1001; before that, the
		// answer, or nothing of its message, which came too late.
		if _, got, err := c.message(); err == nil && string(got) != message || err != nil && !strings.Contains(err.Error(), "1001") {
			mu.Lock()
			faults = append(faults, fmt.Sprintf("%s: %q, %v", message, got, err))
			mu.Unlock()
		}
	}
	g := start()
	stop := make(chan struct{})
	var arriving sync.WaitGroup
	arriving.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				clients.Go(func() { visit(n) })
			}
		}
	})
	var down []time.Duration
	for range restarts {
		pause(time.Second)
		begun := time.Now()
		g.signal(syscall.SIGTERM)
		if code := g.wait(35 * time.Second); code != 0 {
			t.Errorf("exit code %d; want 0", code)
		}
		g = start()
		down = append(down, time.Since(begun).Round(time.Millisecond))
	}
	pause(500 * time.Millisecond)
	close(stop)
	arriving.Wait()
	clients.Wait()
	g.stop()
	if len(faults) > 0 {
		t.Errorf("%d of %d clients were refused or lost, such as: %s", len(faults), len(waits), faults[0])
	}
	longest := slices.Max(waits)
	if longest > 15*time.Second { // 2 s where nothing else runs
		t.Errorf("the longest wait was %v", longest)
	}
	t.Logf("%d restarts under %d new connections a second: %d came, %d refused, longest wait %v; from SIGTERM to the next start's listening %v",
		restarts, perSecond, len(waits), len(faults), longest.Round(time.Millisecond), down)
}
