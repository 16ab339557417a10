package integration_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests in abuse_*_test.go attack the program in their short form a little,
// and with WS_FPM_LONG=1 in earnest. Each is a siege: canaries beside the
// attack, and the program's own figures before and after it.

// A siege is a program under attack.
type siege struct {
	t        testing.TB
	name     string
	f        *phpFPM
	g        *gateway
	canaries *canaries
	peers    *canaries    // of another program, not attacked; nil in the short form
	control  *http.Client // of its control API
	before   usage
	keeps    int
	lines    int // of the log, when the attack began
	begun    time.Time
}

// usage is what the program takes of the system.
type usage struct{ rssKiB, goroutines, descriptors int }

// besiegeOptions say how a siege differs from the plain one: /ws is an echo,
// and all canaries come to it.
type besiegeOptions struct {
	children int      // of php-fpm; zero: 10, which is enough for two pools
	canaries int      // zero: canaryClients
	keeps    int      // KiB that Go does not give back: 1 for each goroutine there was at one time, a 32nd of the largest heap
	alone    bool     // not beside other tests, in the short form either
	global   string   // lines of the configuration above the first section
	pool     string   // lines of [fastcgi]
	more     string   // further sections
	routes   []string // besides /ws, as phpFPM.config wants them
	start    func(conf, bin string) *gateway
	open     func(g *gateway) (*client, error) // a canary
}

// besiege starts php-fpm, the program and canaries, and measures peace.
func besiege(t *testing.T, name string, o besiegeOptions) *siege {
	t.Helper()
	if !long() && !o.alone {
		t.Parallel() // figures are for the long form
	}
	s := &siege{t: t, name: name, keeps: o.keeps}
	s.f = startFPM(t, fpmOptions{pool: []string{"pm.max_children = " + itoa(cmp.Or(o.children, 10)), "php_admin_value[display_errors] = off"}})
	socket := s.f.file("control")
	for i, route := range o.routes {
		if !strings.Contains(route, "fastcgi = ") {
			o.routes[i] = route + "\nfastcgi = attacked"
		}
	}
	o.more += "\n[fastcgi attacked]\naddress = " + s.f.configAddress() + "\n"
	conf := strings.Replace(s.f.config(o.global, append([]string{"/ws echo.php"}, o.routes...)...), "[fastcgi]\n", "[fastcgi]\n"+o.pool+"\n", 1) +
		o.more + "\n[control]\nlisten = unix:" + socket + "\n"
	if o.start == nil {
		o.start = func(conf, bin string) *gateway {
			return attachGateway(t, exec.Command(bin, "serve", "-config", conf), listenersOf(readFile(t, conf)))
		}
	}
	s.g = o.start(s.f.write("ws-fpm.conf", conf), plainBinary(t)) // measures memory: without the race detector
	t.Cleanup(func() {
		if !s.g.ended() {
			s.g.stop()
		}
		s.g.wantCleanLog()
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	s.control = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	if o.open == nil {
		o.open = func(g *gateway) (*client, error) { return connect(g.at("/ws")) }
	}
	s.canaries = startCanaries(t, cmp.Or(o.canaries, canaryClients), func() (*client, error) { return o.open(s.g) })
	if long() {
		f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 5"}})
		other := startGateway(t, f.config("", "/ws echo.php"))
		s.peers = startCanaries(t, canaryClients, func() (*client, error) { return connect(other.at("/ws")) })
	}
	pause(time.Duration(scaled(1000, 10_000)) * time.Millisecond)
	s.before = s.usage()
	s.enter("during")
	s.lines, s.begun = len(s.g.log()), time.Now()
	return s
}

// enter begins a phase for all canaries.
func (s *siege) enter(phase string) {
	s.canaries.enter(phase)
	if s.peers != nil {
		s.peers.enter(phase)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// usage asks the system and the program.
func (s *siege) usage() usage {
	s.t.Helper()
	u := s.footprint()
	u.goroutines = int(s.metrics()["go_goroutines"])
	return u
}

// footprint asks the system alone, and so leaves the program in peace: its
// answers cost memory, and asked for them all the time it would never have less.
func (s *siege) footprint() usage {
	s.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.g.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return usage{rssKiB: s.g.memory("status", "VmRSS"), descriptors: len(open)}
}

// metrics asks the control API.
func (s *siege) metrics() series {
	s.t.Helper()
	r, err := s.control.Get("http://control/metrics")
	if err != nil {
		s.t.Fatalf("asking for the metrics: %v", err)
	}
	defer r.Body.Close()
	m := series{}
	for in := bufio.NewScanner(r.Body); in.Scan(); {
		line := in.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			s.t.Fatalf("metric %q: %v", line, err)
		}
		m[line[:at]] = value
	}
	return m
}

// until waits until the metrics are as ok wants them.
func (s *siege) until(patience time.Duration, what string, ok func(series) bool) series {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		m := s.metrics()
		if ok(m) {
			return m
		}
		if time.Now().After(deadline) {
			maps.DeleteFunc(m, func(name string, n float64) bool { return n == 0 || strings.HasPrefix(name, "ws_fpm_event_seconds") })
			s.t.Fatalf("after %v still not: %s; the metrics are %v", patience, what, m)
		}
		pause(20 * time.Millisecond)
	}
}

// counted fails the test unless a series, or all of a name, came to at least n.
func (s *siege) counted(name string, n float64) {
	s.t.Helper()
	m := s.metrics()
	got, ok := m[name]
	if !ok {
		got = m.sum(name)
	}
	figure(s.t, s.name, "%s = %v", name, got)
	if got < n {
		s.t.Errorf("%s = %v, want at least %v", name, got, n)
	}
}

// over is called when the attack has ended and its connections are closed. The
// program has to be as it was soon, and nobody else may have noticed.
func (s *siege) over() {
	s.t.Helper()
	lasted := time.Since(s.begun)
	lines := len(s.g.log()) - s.lines
	s.enter("after")
	if s.g.ended() {
		s.t.Fatalf("the program has ended with %d", s.g.cmd.ProcessState.ExitCode())
	}
	if lines > 100*int(lasted/time.Second+1) {
		s.t.Errorf("%d lines of log in %v", lines, lasted)
	}
	begun, now := time.Now(), s.usage()
	for !now.near(s.before, s.keeps) && time.Since(begun) < recovery {
		pause(100 * time.Millisecond)
		if s.footprint().near(s.before, s.keeps) {
			now = s.usage()
		}
	}
	if time.Since(begun) >= recovery {
		now = s.usage()
	}
	figure(s.t, s.name, "attack %.1f s; before %v, %.1f s after %v; %d lines of log", lasted.Seconds(), s.before, time.Since(begun).Seconds(), now, lines)
	if !now.near(s.before, s.keeps) {
		s.t.Errorf("%v after the attack: %v; before it: %v", recovery, now, s.before)
	}
	if least := time.Duration(scaled(1000, 5000)) * time.Millisecond; time.Since(begun) < least {
		pause(least - time.Since(begun)) // for the canaries to say how they are
	}
	s.canaries.check(s.name, s.peers)
}

// recovery is how long the program has to be as it was before an attack.
const recovery = 10 * time.Second

// near says that u is about as low as before: 10 % over it, or a few more, and
// what Go keeps for the next time, in KiB.
func (u usage) near(before usage, keeps int) bool {
	within := func(now, before, slack int) bool { return now <= before+max(before/10, slack) }
	return within(u.rssKiB-keeps, before.rssKiB, 5<<10) && within(u.goroutines, before.goroutines, 10) &&
		within(u.descriptors, before.descriptors, 5)
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MiB, %d goroutines, %d descriptors", float64(u.rssKiB)/1024, u.goroutines, u.descriptors)
}

// cpu is the processor time that the program has used.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	stat := readFile(p.t, fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // from the third, the state, on
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

// closeAll ends connections.
func closeAll[T interface{ Close() error }](conns []T) {
	for _, c := range conns {
		c.Close()
	}
}

// ownCPU is the processor time that this process has taken so far.
func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// dialMany makes so many plain connections, a few at a time. Linux has some
// 28,000 ports for one pair of addresses, so each thousand has an address of
// its own; a unix socket needs none.
func dialMany(t testing.TB, address string, n int) (conns []net.Conn) {
	t.Helper()
	for i := range n {
		conn, err := dialFrom(address, i/1000)
		if err != nil {
			closeAll(conns)
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, conn)
	}
	t.Cleanup(func() { closeAll(conns) })
	return conns
}

// dialFrom connects from a loopback address with that number.
func dialFrom(address string, number int) (net.Conn, error) {
	d := net.Dialer{Timeout: clientTimeout}
	if strings.HasPrefix(address, "127.") {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(number))}
	}
	return d.Dial("tcp", address)
}

// newClient is a client on a connection of the caller's, before its handshake.
func newClient(conn net.Conn) *client {
	return &client{conn: conn, r: bufio.NewReaderSize(conn, 512), timeout: clientTimeout}
}

// endings waits until the server has ended each connection, and gives the times
// since begun, the shortest first.
func endings(t testing.TB, conns []net.Conn, begun time.Time, patience time.Duration) (took []time.Duration) {
	t.Helper()
	results := make(chan time.Duration, len(conns))
	for _, conn := range conns {
		go func() {
			conn.SetReadDeadline(begun.Add(patience))
			buf := make([]byte, 512)
			for {
				if _, err := conn.Read(buf); os.IsTimeout(err) {
					results <- -1
					return
				} else if err != nil {
					results <- time.Since(begun)
					return
				}
			}
		}()
	}
	still := 0
	for range conns {
		if d := <-results; d < 0 {
			still++
		} else {
			took = append(took, d)
		}
	}
	if still > 0 {
		t.Errorf("%d of %d connections are still there after %v", still, len(conns), patience)
	}
	slices.Sort(took)
	return took
}
