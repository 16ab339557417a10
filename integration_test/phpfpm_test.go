package integration_test

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fpmOptions says how a test's php-fpm differs from the plain one: a static
// pool of two on a unix socket.
type fpmOptions struct {
	// tcp listens on a loopback address instead of a unix socket.
	tcp bool
	// global and pool are directives, "key = value". One the plain pool has
	// too takes that one's place; one without a value takes it away.
	global, pool []string
	// env is added to the master's environment.
	env []string
}

// phpFPM is a php-fpm of one test.
type phpFPM struct {
	*process
	t testing.TB
	// dir is readable for the workers; they may write to dir/var.
	dir string
	// network and address are where it listens, as for net.Dial.
	network, address string
	statusPath       string // a unix socket with a pool of its own
	binary           string
	conf             string
	env              []string
}

// startFPM starts a php-fpm whose directory holds all of testdata's scripts,
// and ends it with t.
func startFPM(t testing.TB, o fpmOptions) *phpFPM {
	t.Helper()
	f := &phpFPM{t: t, binary: requirePHPFPM(t), dir: publicDir(t), env: o.env}
	f.network, f.address = "unix", filepath.Join(f.dir, "s")
	if o.tcp {
		f.network, f.address = "tcp", freeAddress(t)
	}
	f.statusPath = filepath.Join(f.dir, "status")
	if err := os.Mkdir(f.file("var"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.file("var"), 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	scripts, _ := filepath.Glob("testdata/*.php")
	for _, script := range scripts {
		b, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		f.write(filepath.Base(script), string(b))
	}
	global := []string{"error_log = /dev/null", "daemonize = no"}
	pool := []string{
		"listen = " + f.address, "listen.mode = 0666", "pm = static", "pm.max_children = 2",
		"pm.status_path = /status", "pm.status_listen = " + f.statusPath, "ping.path = /ping",
		"catch_workers_output = yes", "decorate_workers_output = no", "chdir = " + f.file("var"),
		"php_admin_value[opcache.enable] = 0", // a script may be rewritten within a second
	}
	if os.Getuid() == 0 {
		pool = append(pool, "user = "+workerUser(t))
	}
	f.conf = f.file("fpm.conf")
	f.write("fpm.conf", "[global]\n"+directives(global, o.global)+"[test]\n"+directives(pool, o.pool))
	f.start()
	return f
}

// directives lists base, changed by changes.
func directives(base, changes []string) string {
	key := func(line string) string {
		k, _, _ := strings.Cut(line, "=")
		return strings.TrimSpace(k)
	}
	lines := slices.Clone(base)
	for _, change := range changes {
		lines = slices.DeleteFunc(lines, func(line string) bool { return key(line) == key(change) })
		if _, value, _ := strings.Cut(change, "="); strings.TrimSpace(value) != "" {
			lines = append(lines, change)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// workerUser is an unprivileged user of this system.
func workerUser(t testing.TB) string {
	for _, name := range []string{"www-data", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			group, err := user.LookupGroupId(u.Gid)
			if err == nil {
				return name + "\ngroup = " + group.Name
			}
		}
	}
	t.Fatal("neither www-data nor nobody exists, and php-fpm does not run scripts as root")
	return ""
}

// freeAddress is a host:port nobody listens on. The host is a loopback
// address of this call's own, so nobody can take the port in between; a
// system with but one loopback address gets a port only.
func freeAddress(t testing.TB) string {
	t.Helper()
	var b [3]byte
	rand.Read(b[:])
	host := fmt.Sprintf("127.%d.%d.%d:0", b[0], b[1], 2+b[2]%250)
	l, err := net.Listen("tcp", host)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// file is a path below the directory.
func (f *phpFPM) file(name string) string { return filepath.Join(f.dir, name) }

// write makes a file the workers can read, and returns its path.
func (f *phpFPM) write(name, content string) string {
	f.t.Helper()
	path := f.file(name)
	writeFile(f.t, path, content)
	return path
}

// start runs the master and waits until it says that it is ready.
func (f *phpFPM) start() {
	f.t.Helper()
	cmd := exec.Command(f.binary, "-F", "-O", "-y", f.conf)
	cmd.Env = append(os.Environ(), f.env...)
	f.process = startProcess(f.t, cmd)
	f.ready(0)
}

// ready waits for the line that says so, from the given line of the log on.
func (f *phpFPM) ready(from int) {
	f.t.Helper()
	ok := func() bool { return f.ended() || f.logged(from, "ready to handle connections") > 0 }
	if !waitUntil(10*time.Second, ok) || f.ended() {
		f.t.Fatalf("php-fpm is not ready:\n%s", strings.Join(f.log(), "\n"))
	}
}

// stop asks it to end and waits: SIGQUIT lets requests in flight finish, as
// far as process_control_timeout allows; SIGTERM does not.
func (f *phpFPM) stop(s os.Signal) {
	f.t.Helper()
	f.signal(s)
	f.wait(15 * time.Second)
}

// reload sends SIGUSR2 and waits until it is ready again.
func (f *phpFPM) reload() {
	f.t.Helper()
	from := len(f.log())
	f.signal(syscall.SIGUSR2)
	f.ready(from)
}

// workers gives the pids of the children that run scripts.
func (f *phpFPM) workers() []int {
	return slices.DeleteFunc(children(f.cmd.Process.Pid), func(pid int) bool {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return strings.Contains(string(title), "_status") // the status page's own
	})
}

// poolStatus is what the status page says, as far as tests ask.
type poolStatus struct {
	Idle      int            `json:"idle processes"`
	Active    int            `json:"active processes"`
	Total     int            `json:"total processes"`
	Queue     int            `json:"listen queue"`
	Accepted  int            `json:"accepted conn"`
	Reached   int            `json:"max children reached"`
	Processes []workerStatus `json:"processes"`
}

// workerStatus is one worker on the status page.
type workerStatus struct {
	PID      int    `json:"pid"`
	State    string `json:"state"`
	Requests int    `json:"requests"`
	// Duration is in microseconds; of an idle worker, since its last request ended.
	Duration int `json:"request duration"`
}

// status asks the status page, which has a worker of its own and so answers
// while all others are busy.
func (f *phpFPM) status() poolStatus {
	f.t.Helper()
	body, err := bareGet("unix", f.statusPath, "/status", "json&full")
	var s poolStatus
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		f.t.Fatalf("status page: %v in %q", err, body)
	}
	return s
}

// drained reports whether every worker waits for a new connection.
func (f *phpFPM) drained() bool {
	s := f.status()
	return s.Active == 0 && s.Idle == s.Total && s.Total > 0
}

// executions gives how often each id was recorded by the scripts.
func (f *phpFPM) executions() map[string]int {
	f.t.Helper()
	b, err := os.ReadFile(f.file("var/ids"))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	count := map[string]int{}
	for id := range strings.Lines(string(b)) {
		count[strings.TrimSuffix(id, "\n")]++
	}
	return count
}

// configAddress is the address as ws-fpm's configuration writes it.
func (f *phpFPM) configAddress() string {
	if f.network == "unix" {
		return "unix:" + f.address
	}
	return f.address
}

// bareGet runs one request on a connection of its own and returns the body,
// with none of ws-fpm's code: the second opinion, and the competitor for
// workers. A script of "" means the status or ping page at uri.
func bareGet(network, address, uri, query string, more ...string) ([]byte, error) {
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	params := append([]string{
		"SCRIPT_NAME", uri, "SCRIPT_FILENAME", uri, "REQUEST_METHOD", "GET", "QUERY_STRING", query,
	}, more...)
	var pairs []byte
	for pair := range slices.Chunk(params, 2) {
		for _, s := range pair {
			if len(s) > 127 {
				pairs = append(pairs, 0x80, 0, byte(len(s)>>8), byte(len(s)))
			} else {
				pairs = append(pairs, byte(len(s)))
			}
		}
		pairs = append(pairs, pair[0]+pair[1]...)
	}
	if _, err := conn.Write(slices.Concat(
		[]byte{1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0},                   // BEGIN_REQUEST, responder
		[]byte{1, 4, 0, 1, byte(len(pairs) >> 8), byte(len(pairs)), 0, 0}, pairs, // PARAMS
		[]byte{1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0})); err != nil { // the ends of PARAMS and STDIN
		return nil, err
	}
	return readBare(conn)
}

// readBare reads one response up to END_REQUEST.
func readBare(conn net.Conn) ([]byte, error) {
	var out []byte
	for {
		var h [8]byte
		if _, err := io.ReadFull(conn, h[:]); err != nil {
			return nil, err
		}
		content := make([]byte, int(h[4])<<8+int(h[5])+int(h[6]))
		if _, err := io.ReadFull(conn, content); err != nil {
			return nil, err
		}
		switch h[1] {
		case 6: // STDOUT
			out = append(out, content[:len(content)-int(h[6])]...)
		case 3: // END_REQUEST
			head, body, ok := strings.Cut(string(out), "\r\n\r\n")
			if !ok || strings.HasPrefix(head, "Status: ") {
				return nil, fmt.Errorf("refused: %q", cmp.Or(head, "no head"))
			}
			return []byte(body), nil
		}
	}
}

// itoa is the decimal form that params and bodies want.
func itoa(n int) string { return strconv.Itoa(n) }
