package integration_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is a running `ws-fpm demo`.
type demo struct {
	*process
	t       testing.TB
	address string // host:port it listens on
	temp    string // its directory for temporary files
	stdout  string // the file it prints to
}

// demoOpen finds the address in the line that says what to open.
var demoOpen = regexp.MustCompile(`Open http://(\S+)/ in a browser`)

// launchDemo starts a demo on a free port, with arguments behind the flag that
// says so.
func launchDemo(t testing.TB, args ...string) *demo {
	t.Helper()
	requirePHPFPM(t)
	d := &demo{t: t, temp: publicDir(t)}
	d.stdout = filepath.Join(t.TempDir(), "stdout")
	out, err := os.Create(d.stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(buildBinary(t), append([]string{"demo", "-listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+d.temp)
	cmd.Stdout = out
	d.process = startProcess(t, cmd)
	return d
}

// startDemo is launchDemo for one that stays. It ends with t.
func startDemo(t testing.TB, args ...string) *demo {
	t.Helper()
	d := launchDemo(t, args...)
	eventually(t, 20*time.Second, "the demo is ready", func() bool {
		if m := demoOpen.FindStringSubmatch(strings.Join(d.log(), "\n")); m != nil {
			d.address = m[1]
		}
		return d.address != "" || d.ended()
	})
	if d.ended() {
		t.Fatalf("the demo ended:\n%s", strings.Join(d.log(), "\n"))
	}
	return d
}

// printed is what it has printed so far.
func (d *demo) printed() string {
	d.t.Helper()
	b, err := os.ReadFile(d.stdout)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// wantNothingLeft fails t if the demo left a file or a process.
func (d *demo) wantNothingLeft() {
	d.t.Helper()
	entries, err := os.ReadDir(d.temp)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		d.t.Errorf("left behind: %s", filepath.Join(d.temp, e.Name()))
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		if b, _ := os.ReadFile(p); strings.Contains(string(b), d.temp) {
			d.t.Errorf("left behind: %s: %s", p, b)
		}
	}
}

// wantArticle fails t unless s is the JSON of the demo's first script for the
// demo's message.
func wantArticle(t testing.TB, s string) {
	t.Helper()
	var answer struct {
		Status  string
		Payload [2]map[string]any
	}
	if err := json.Unmarshal([]byte(s), &answer); err != nil {
		t.Fatalf("%v in %.300s", err, s)
	}
	_, carried := answer.Payload[0]["Test_message_4444"]
	if answer.Status != "ok" || !carried || answer.Payload[1]["WS_EVENT"] != "message" {
		t.Errorf("PHP's answer is %.300s", s)
	}
}

// TestDemoOnce: one command, no set-up, prints PHP's JSON and leaves nothing.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	d := launchDemo(t, "-once")
	if code := d.wait(20 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantArticle(t, d.printed())
	d.wantNothingLeft()
}

// TestDemoEnds: Ctrl-C ends the demo at once, with clients connected and a
// script running.
func TestDemoEnds(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	wantArticle(t, d.printed())
	idle, busy := dial(t, handshake{address: d.address, path: "/echo"}), dial(t, handshake{address: d.address, path: "/slow"})
	idle.echo(t, "here")
	busy.text("10")
	busy.ping("")
	busy.wantPong(t, "")
	begun := time.Now()
	d.signal(syscall.SIGINT)
	idle.wantClose(t, 1001)
	if code := d.wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the demo took %v to end", took)
	}
	d.wantNothingLeft()
}

// TestDemoDirectory: with a directory, its ws.php answers.
func TestDemoDirectory(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	writeFile(t, filepath.Join(dir, "ws.php"), `<?php echo "mine: ", file_get_contents('php://input');`)
	d := launchDemo(t, "-once", dir)
	if code := d.wait(20 * time.Second); code != 0 || d.printed() != "mine: Test message 4444\n" {
		t.Errorf("exit code %d, printed %q", code, d.printed())
	}
	d = launchDemo(t, "-once", t.TempDir())
	if code := d.wait(20 * time.Second); code != 2 {
		t.Errorf("a directory without ws.php: exit code %d, want 2", code)
	}
}

// TestDemoHosts: only requests that name this machine are answered. A page of
// another site whose name was made to point here sends that name.
func TestDemoHosts(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	_, port, _ := strings.Cut(d.address, ":")
	for _, test := range []struct {
		host string
		ok   bool
	}{
		{"127.0.0.1:" + port, true},
		{"localhost:" + port, true},
		{"[::1]:" + port, true},
		{"evil.example:" + port, false},
		{"evil.example", false},
		{"localhost.evil.example:" + port, false},
		{"127.0.0.1.evil.example:" + port, false},
	} {
		request, _ := http.NewRequest("GET", "http://"+d.address+"/", nil)
		request.Host, request.Close = test.host, true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if want := map[bool]int{true: 200, false: 403}[test.ok]; response.StatusCode != want {
			t.Errorf("Host %s: the page gives %d, want %d", test.host, response.StatusCode, want)
		}
		if strings.Contains(string(body), "ws-fpm") != test.ok {
			t.Errorf("Host %s: the body is %.60q", test.host, body)
		}
		h := handshake{address: d.address, path: "/echo", host: test.host, lines: []string{"Origin: http://" + test.host}}
		if test.ok {
			dial(t, h).echo(t, "hello")
		} else if response, _ := refused(t, h); response.StatusCode != 403 {
			t.Errorf("Host %s: a handshake gives %d, want 403", test.host, response.StatusCode)
		}
	}
	response, _ := refused(t, handshake{address: d.address, path: "/echo", lines: []string{"Origin: http://evil.example"}})
	if response.StatusCode != 403 {
		t.Errorf("a foreign page's handshake gives %d, want 403", response.StatusCode)
	}
}

// TestDemoPortTaken: a port that somebody has is said in one line.
func TestDemoPortTaken(t *testing.T) {
	t.Parallel()
	first := startDemo(t)
	cmd := exec.Command(buildBinary(t), "demo", "-once", "-listen", first.address)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "address already in use") {
		t.Errorf("%v: %s", err, out)
	}
}
