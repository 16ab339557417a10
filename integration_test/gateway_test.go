package integration_test

import (
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gateway is the program under test, serving one configuration.
type gateway struct {
	*process
	t testing.TB
	// addresses are those it listens on, in the configuration's order, as
	// handshake.address wants them.
	addresses []string
	conf      string // the file; of a gateway that was attached to, none
}

// listening finds the address in the log line that tells of a listener.
var listening = regexp.MustCompile(`msg="?listening"?.*\baddress="?([^" ]+)"?`)

// startGateway serves a configuration and waits until every listener has
// been logged. When t ends the program gets SIGTERM; it must then exit with
// 0 and must have logged neither a panic nor a data race.
func startGateway(t testing.TB, conf string) *gateway {
	t.Helper()
	bin, file := buildBinary(t), publicDir(t)+"/ws-fpm.conf"
	writeFile(t, file, conf)
	g := attachGateway(t, exec.Command(bin, "serve", "-config", file), listenersOf(conf))
	g.conf = file
	t.Cleanup(func() {
		if !g.ended() {
			g.stop()
		}
		g.wantCleanLog()
	})
	return g
}

// wantCleanLog fails the test if the program has logged a panic or a data race.
func (g *gateway) wantCleanLog() {
	g.t.Helper()
	for _, bad := range []string{"panic while", "panic: ", "DATA RACE", "BUG:", "goroutine "} {
		if n := g.logged(0, bad); n > 0 {
			g.t.Errorf("ws-fpm logged %q %d times", bad, n)
		}
	}
}

// attachGateway starts the program by a command of the caller's, and waits as
// startGateway does. How it ends is the caller's business.
func attachGateway(t testing.TB, cmd *exec.Cmd, listeners int) *gateway {
	t.Helper()
	g := &gateway{t: t, process: startProcess(t, cmd)}
	find := func() bool {
		g.addresses = nil
		for _, line := range g.log() {
			if m := listening.FindStringSubmatch(line); m != nil {
				g.addresses = append(g.addresses, dialable(m[1]))
			}
		}
		return len(g.addresses) >= listeners || g.ended()
	}
	if !waitUntil(15*time.Second, find) || g.ended() {
		t.Fatalf("ws-fpm does not listen on %d addresses:\n%s", listeners, strings.Join(g.log(), "\n"))
	}
	for _, address := range g.addresses {
		conn, err := dialRaw(address)
		if err != nil {
			t.Fatalf("ws-fpm says that it listens: %v", err)
		}
		conn.Close()
	}
	return g
}

// listenersOf counts the listeners of a configuration: each address of a
// listen key above the first section or, without one, the default; each
// [listen] section.
func listenersOf(conf string) int {
	n, global, keys := 0, true, 0
	for line := range strings.Lines(conf) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			global = false
			if strings.HasPrefix(line, "[listen ") {
				n++
			}
		case global && strings.TrimSpace(key) == "listen":
			keys += 1 + strings.Count(value, ",")
		}
	}
	if n+keys == 0 {
		return 1
	}
	return n + keys
}

// dialable is a logged address as a client of this machine wants it.
func dialable(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix:" + address
	}
	return address
}

// at is a handshake with the first listener.
func (g *gateway) at(path string, lines ...string) handshake {
	return handshake{address: g.addresses[0], path: path, lines: lines}
}

// stop sends SIGTERM and wants exit code 0 within the time a drain takes.
func (g *gateway) stop() {
	g.t.Helper()
	g.signal(syscall.SIGTERM)
	if !waitUntil(40*time.Second, g.ended) {
		g.t.Errorf("ws-fpm has not ended 40s after SIGTERM")
	} else if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		g.t.Errorf("ws-fpm ended with %d after SIGTERM, want 0", code)
	}
}

// config is a configuration for f: a listener on a free port, then one route
// for each of the given lines, "PREFIX SCRIPT", followed by further lines of
// its section.
func (f *phpFPM) config(global string, routes ...string) string {
	var b strings.Builder
	b.WriteString("listen = 127.0.0.1:0\n" + global + "\n[fastcgi]\naddress = " + f.configAddress() + "\n")
	for _, route := range routes {
		first, rest, _ := strings.Cut(route, "\n")
		prefix, script, _ := strings.Cut(first, " ")
		b.WriteString("[route " + prefix + "]\nscript = " + f.file(script) + "\n" + rest + "\n")
	}
	return b.String()
}

// TestGatewayConfig: what the harness itself makes of configurations.
func TestGatewayConfig(t *testing.T) {
	for _, test := range []struct {
		name, conf string
		want       int
	}{
		{"nothing said", "[fastcgi]\naddress = /s\n", 1},
		{"two on a line", "listen = 127.0.0.1:0, unix:/x\n", 2},
		{"a section", "[listen tls]\naddress = 127.0.0.1:0\n", 1},
		{"both", "listen = 127.0.0.1:0\n[listen a]\naddress = /a\n[control]\nlisten = /c\n", 2},
	} {
		if got := listenersOf(test.conf); got != test.want {
			t.Errorf("%s: %d listeners, want %d", test.name, got, test.want)
		}
	}
	for line, want := range map[string]string{
		`time=x level=INFO msg=listening address=127.0.0.1:4711`:              "127.0.0.1:4711",
		`time=x level=INFO msg="listening" name=a address=unix:/tmp/s tls=no`: "unix:/tmp/s",
	} {
		if m := listening.FindStringSubmatch(line); m == nil || m[1] != want {
			t.Errorf("%s: found %q, want %s", line, m, want)
		}
	}
}
