package integration_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestReloadRefuses: whatever is wrong with the file, the old configuration
// stays and serves, and the log and check say the same of it.
func TestReloadRefuses(t *testing.T) {
	t.Parallel()
	f, g := serving(t, "log_level = info", "mirror.php")
	good, err := os.ReadFile(g.conf)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, g.at("/ws"))
	secret := f.file("secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	text := func(s string) func() { return func() { writeFile(t, g.conf, s) } }
	refusals := 0
	for _, test := range []struct {
		name   string
		change func()
		said   string // by the log, and by check but for what it does not open
		check  bool
	}{
		{"a bad key", text(string(good) + "scrip = /x\n"), g.conf + `:8: [route /ws] scrip = "/x": unknown key: did you mean script?`, true},
		{"a bad value", text("drain = soon\n" + string(good)), g.conf + `:1: drain = "soon": want a time`, true},
		{"an empty file", text(""), g.conf + ": no route", true},
		{"a folder", func() { os.Remove(g.conf); os.Mkdir(g.conf, 0o755) }, "is a directory, want a file", true},
		{"a file of 1 GiB", func() { os.Remove(g.conf); text("")(); os.Truncate(g.conf, 1<<30) }, "want at most 1 MiB", true},
		{"no file", func() { os.Remove(g.conf) }, "no such file", true},
		{"a link to what is no file", func() { os.Symlink("/dev/zero", g.conf) }, "is not a regular file", true},
		{"a pipe", func() { os.Remove(g.conf); syscall.Mkfifo(g.conf, 0o600) }, "is not a regular file", true},
		{"a pool with no socket to speak of", func() {
			os.Remove(g.conf)
			text(strings.Replace(string(good), "address = ", "address = relative/", 1))()
		}, g.conf + ":4: [fastcgi] address", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.change()
			refusals++
			from := len(g.log())
			if g.hangUp() {
				t.Fatal("taken over")
			}
			if n := g.logged(from, strings.ReplaceAll(test.said, `"`, `\"`)); n != 1 {
				t.Errorf("the log says %q %d times:\n%s", test.said, n, strings.Join(g.log()[from:], "\n"))
			}
			out, err := exec.Command(buildBinary(t), "check", "-config", g.conf).CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), test.said) {
				t.Errorf("check: %v, %s; want exit code 2 and the same text", err, out)
			}
			c.echo(t, "still here")
			dial(t, g.at("/ws")).echo(t, "and here")
		})
	}
	os.Remove(g.conf)
	g.wantMetrics(series{`ws_fpm_reloads_total{result="configuration"}`: float64(refusals), `ws_fpm_reloads_total{result="applied"}`: 0})
	if !g.reload(string(good)) {
		t.Error("the good file is refused")
	}
	c.echo(t, "still here")
}

// TestReloadRefusesWhatAFileNames: a certificate or a token that cannot be used
// refuses the whole; so does a user that there is not.
func TestReloadRefusesWhatAFileNames(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	cert, key := makeCertificate(t, f.dir, 1, time.Hour)
	token, loose := f.file("token"), f.file("loose")
	for file, mode := range map[string]os.FileMode{token: 0o600, loose: 0o644} {
		if err := os.WriteFile(file, []byte(strings.Repeat("s", 32)), mode); err != nil {
			t.Fatal(err)
		}
	}
	conf := f.config("", "/ws mirror.php") + "[control]\nlisten = " + f.file("control") + "\ntoken_file = " + token +
		"\n[listen tls]\naddress = 127.0.0.1:0\ntls_cert = " + cert + "\ntls_key = " + key + "\n"
	g := startGateway(t, conf)
	for _, test := range []struct{ name, from, to, said, result string }{
		{"a certificate that is not there", cert, cert + ".none", ":13: [listen tls] tls_cert: certificate " + cert + ".none", "certificate"},
		{"a key that is none", key, token, ":13: [listen tls] tls_cert: certificate " + cert, "certificate"},
		{"a token that others can read", token, loose, ":10: [control] token_file: control: token file " + loose, "control"},
		{"a user that there is not", "token_file", "allow_users = no-such-user-here\ntoken_file", ":10: [control] allow_users: user: unknown user no-such-user-here", "control"},
		{"and with it nothing else changes", "mirror.php\n", "none.php\n[listen b]\naddress = 127.0.0.1:0\n[fastcgi b]\naddress = bad\n", "[fastcgi b] address", "configuration"},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, before := len(g.log()), g.metrics()
			if g.reload(strings.Replace(conf, test.from, test.to, 1)) {
				t.Fatal("taken over")
			}
			if n := g.logged(from, test.said); n != 1 {
				t.Errorf("the log says %q %d times:\n%s", test.said, n, strings.Join(g.log()[from:], "\n"))
			}
			if test.result != "configuration" {
				out, err := exec.Command(buildBinary(t), "check", "-config", g.conf).CombinedOutput()
				if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), test.said) {
					t.Errorf("check: %v, %s; want exit code 2 and the same text", err, out)
				}
			}
			dial(t, g.at("/ws")).echo(t, "as ever")
			name := `ws_fpm_reloads_total{result="` + test.result + `"}`
			if after := g.metrics(); after[name] != before[name]+1 {
				t.Errorf("%s is %v after %v", name, after[name], before[name])
			}
		})
	}
}

// TestReloadUnderLoad: SIGHUP after SIGHUP, with other settings of pools and
// routes each time, while clients speak and others come: no connection is
// dropped, no message fails, nothing is left behind.
func TestReloadUnderLoad(t *testing.T) {
	f, g := serving(t, "", "record.php")
	conf := func(n int) string {
		return strings.Replace(f.config(fmt.Sprintf("ping = %dm", 20+n%7), "/ws record.php\nwaiting = "+itoa(10+n%5)),
			"[route", fmt.Sprintf("keep_alive = %dms\n[route", 500+n%3), 1)
	}
	clients, hups := scaled(20, 200), scaled(30, 1000)
	load := startCrowd(t, g, clients, func(client, n int) string { return itoa(client) + "-" + itoa(n) })
	idle := dial(t, g.at("/ws"))
	load.more(clients)
	goroutines, files := g.metrics()["go_goroutines"], openFiles(g.cmd.Process.Pid)
	newcomers := 0
	begun := time.Now()
	for n := range hups {
		if !g.reload(conf(n)) {
			t.Fatal("refused")
		}
		if n%10 == 0 {
			c := dial(t, g.at("/ws"))
			c.echo(t, fmt.Sprintf("new-%d", n))
			c.goodbye(t)
			newcomers++
		}
		load.more(1)
	}
	took := time.Since(begun)
	load.more(clients)
	idle.echo(t, "idle")
	answered, lost := load.stop()
	if len(lost) > 0 {
		t.Errorf("%d messages failed, such as %s", len(lost), lost[0])
	}
	ran := f.executions()
	for n := 0; n < hups; n += 10 {
		delete(ran, fmt.Sprintf("new-%d", n))
	}
	delete(ran, "idle")
	wantOnce(t, ran, answered, nil)
	g.wantMetrics(series{
		`ws_fpm_reloads_total{result="applied"}`:                 float64(hups),
		`ws_fpm_closes_total{code="1000"}`:                       float64(newcomers),
		`ws_fpm_events_total{event="message",result="answered"}`: float64(len(answered) + newcomers + 1),
	})
	// A counter goes on when its pool has another client.
	s := g.metrics()
	if done := s[`ws_fpm_pool_requests_total{pool="default",result="completed"}`]; done != float64(len(answered)+newcomers+1) {
		t.Errorf("the pool has completed %v requests; want %d", done, len(answered)+newcomers+1)
	}
	// Besides the connections that the crowd has closed, all is as it was.
	eventually(t, 10*time.Second, "goroutines and descriptors are as before", func() bool {
		return g.metrics()["go_goroutines"] <= goroutines+10 && openFiles(g.cmd.Process.Pid) <= files+10
	})
	t.Logf("%d SIGHUPs in %v, %d clients, %d messages, %d newcomers: 0 dropped, 0 failed; goroutines %v before and %v after, descriptors %d and %d",
		hups, took.Round(time.Millisecond), clients, len(answered), newcomers, goroutines, g.metrics()["go_goroutines"], files, openFiles(g.cmd.Process.Pid))
}

// openFiles counts the descriptors of a process.
func openFiles(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(list)
}

// TestReloadCertificates: new pair after new pair under handshakes, of which
// none fails; a bad one changes nothing and raises its alarm.
func TestReloadCertificates(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	dir := publicDir(t)
	cert, key := makeCertificate(t, dir, 1, time.Hour)
	g := startGateway(t, f.config("", "/ws mirror.php")+"[listen tls]\naddress = 127.0.0.1:0\ntls_cert = "+cert+"\ntls_key = "+key+"\n")
	shake := func() (serial int64, leaf *x509.Certificate, err error) {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
		c, err := d.DialContext(t.Context(), "tcp", g.addresses[1])
		if err != nil {
			return 0, nil, err
		}
		defer c.Close()
		leaf = c.(*tls.Conn).ConnectionState().PeerCertificates[0]
		return leaf.SerialNumber.Int64(), leaf, nil
	}
	stop, count := make(chan struct{}), atomic.Int64{}
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := shake(); err != nil {
					t.Errorf("a handshake failed: %v", err)
					return
				}
				count.Add(1)
			}
		})
	}
	rounds := scaled(20, 100)
	for n := range rounds {
		makeCertificate(t, dir, int64(n+2), time.Hour)
		if !g.hangUp() { // between the two renames a pair may not match: not here
			t.Fatal("a good pair is refused")
		}
		if serial, _, err := shake(); err != nil || serial != int64(n+2) {
			t.Errorf("certificate %d, %v; want %d", serial, err, n+2)
		}
	}
	close(stop)
	clients.Wait()
	t.Logf("%d pairs, %d handshakes, none failed", rounds, count.Load())
	_, leaf, _ := shake()
	expiry := `ws_fpm_tls_certificate_expiry_seconds{listener="tls"}`
	g.wantMetrics(series{expiry: float64(leaf.NotAfter.Unix())})

	_, otherKey := makeCertificate(t, f.dir, 1000, time.Hour)
	copyFile(t, otherKey, key)
	if g.hangUp() {
		t.Error("a pair that does not match is taken over")
	}
	if serial, _, err := shake(); err != nil || serial != int64(rounds+1) {
		t.Errorf("certificate %d, %v after a bad pair; want %d", serial, err, rounds+1)
	}
	g.wantMetrics(series{expiry: float64(leaf.NotAfter.Unix()), `ws_fpm_reloads_total{result="certificate"}`: 1})
	makeCertificate(t, dir, 2000, -time.Hour)
	from := len(g.log())
	if !g.hangUp() || g.logged(from, "certificate has expired") != 1 {
		t.Error("an expired pair: want it to be taken, with a warning")
	}
	if serial, _, err := shake(); err != nil || serial != 2000 {
		t.Errorf("certificate %d, %v; want the expired one, 2000", serial, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
