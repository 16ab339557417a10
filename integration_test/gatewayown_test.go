package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serving starts a php-fpm with room for as many scripts as the gateway's
// default asks for, and a gateway with the route /ws to one of its scripts.
// The route may have more lines, as in config.
func serving(t testing.TB, global, route string) (*phpFPM, *gateway) {
	t.Helper()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4", "php_admin_value[display_errors] = off"}})
	return f, startGateway(t, f.config(global, "/ws "+route))
}

// series are the program's metrics: a name with labels, as in
// x_total{a="b"}, and its value.
type series map[string]float64

// sum adds up all series of a name.
func (s series) sum(name string) (total float64) {
	for k, v := range s {
		if k == name || strings.HasPrefix(k, name+"{") {
			total += v
		}
	}
	return total
}

// has reports whether all of want is so.
func (s series) has(want series) bool {
	for name, value := range want {
		if s[name] != value {
			return false
		}
	}
	return true
}

// metric finds a series in a line of the log.
var metric = regexp.MustCompile(`msg=metric series=(.*)$`)

// metrics asks the program for its counters. It dumps them one line each, and
// a second dump begins only when the first is complete.
func (g *gateway) metrics() series {
	g.t.Helper()
	from := len(g.log())
	dump := func() { g.signal(syscall.SIGUSR1) }
	found := func() (lines []string) {
		for _, line := range g.log()[from:] {
			if m := metric.FindStringSubmatch(line); m != nil {
				lines = append(lines, m[1])
			}
		}
		return lines
	}
	dump()
	eventually(g.t, 5*time.Second, "metrics in the log", func() bool { return len(found()) > 0 })
	first := seriesOf(g.t, found()[0])
	// All of the second one has to be there, or the next question would take its
	// end for an answer.
	again := func() bool {
		lines := found()
		for i, line := range lines {
			if i > 0 && seriesOf(g.t, line) == first {
				return len(lines) >= 2*i
			}
		}
		return false
	}
	dump()
	eventually(g.t, 5*time.Second, "a second dump of the metrics", again)
	s := series{}
	for i, line := range found() {
		if name := seriesOf(g.t, line); i > 0 && name == first {
			break
		}
		line = unquoted(g.t, line)
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			g.t.Fatalf("metric %q: %v", line, err)
		}
		s[line[:at]] = value
	}
	return s
}

func unquoted(t testing.TB, s string) string {
	t.Helper()
	s, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("metric %q: %v", s, err)
	}
	return s
}

func seriesOf(t testing.TB, line string) string {
	t.Helper()
	line = unquoted(t, line)
	return line[:strings.LastIndexByte(line, ' ')]
}

// wantMetrics waits until the given series have the given values.
func (g *gateway) wantMetrics(want series) {
	g.t.Helper()
	var got series
	for range 50 {
		got = g.metrics()
		if got.has(want) {
			return
		}
		pause(100 * time.Millisecond) // each question is a hundred lines of log
	}
	for name, value := range want {
		if got[name] != value {
			g.t.Errorf("%s = %v, want %v", name, got[name], value)
		}
	}
}

// failed is the frame that a client gets for a message that has no answer.
var failed = regexp.MustCompile(`^\{"error":"([a-z_]+)","connection":"([0-9a-f]{32})","seq":(\d+)\}$`)

// wantFailure fails t unless the next message says this word for this
// sequence number. It returns the connection's id.
func (c *client) wantFailure(t testing.TB, word string, seq int) string {
	t.Helper()
	op, data, err := c.message()
	if err != nil {
		t.Fatalf("reading a message: %v", err)
	}
	m := failed.FindStringSubmatch(string(data))
	if op != opText || m == nil || m[1] != word || m[3] != itoa(seq) {
		t.Fatalf(`got message of opcode %d %.300q; want text {"error":%q,"connection":"…","seq":%d}`, op, data, word, seq)
	}
	return m[2]
}

// ask sends a text and gives the next message.
func (c *client) ask(t testing.TB, s string) string {
	t.Helper()
	if err := c.text(s); err != nil {
		t.Fatalf("sending a text: %v", err)
	}
	op, data, err := c.message()
	if err != nil || op != opText {
		t.Fatalf("got message of opcode %d, %v; want a text", op, err)
	}
	return string(data)
}

// goodbye closes with 1000 and waits for the end.
func (c *client) goodbye(t testing.TB) {
	t.Helper()
	if err := c.close(1000, ""); err != nil {
		t.Fatal(err)
	}
	c.silent = true // the server's Close is the answer to ours
	c.wantClose(t, 1000)
}

// plain compiles the program without the race detector, whose memory is not
// the program's own.
var plain = sync.OnceValues(func() (string, error) {
	if !raced {
		return built()
	}
	path := filepath.Join(buildDir, "ws-fpm-plain")
	if out, err := exec.Command("go", "build", "-o", path, "ws-fpm").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// plainBinary is buildBinary for tests that measure memory.
func plainBinary(t testing.TB) string {
	t.Helper()
	path, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// memory reads a figure in KiB from a file of /proc about the process.
func (p *process) memory(file, key string) int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, found := strings.CutPrefix(line, key+":"); found {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				p.t.Fatal(err)
			}
			return n
		}
	}
	p.t.Fatalf("no %s in /proc/PID/%s", key, file)
	return 0
}

// TestMetrics: what the tests read of the program's counters.
func TestMetrics(t *testing.T) {
	s := series{`a{x="1"}`: 1, `a{x="2"}`: 2, `ab`: 4}
	if got := s.sum("a"); got != 3 {
		t.Errorf("sum = %v, want 3", got)
	}
	if m := metric.FindStringSubmatch(`time=x level=INFO msg=metric series="a{x=\"1\"} 5"`); m == nil || seriesOf(t, m[1]) != `a{x="1"}` {
		t.Errorf("found %q", m)
	}
}
