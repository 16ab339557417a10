package integration_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// controlToken is that of the control API in these tests.
const controlToken = "0123456789abcdef0123456789abcdef"

// tokenFile writes it where only its owner can read it.
func tokenFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(publicDir(t), "token")
	if err := os.WriteFile(file, []byte(controlToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// httpGet sends one plain request and gives the answer's status and body. Lines
// are of the header, Host among them.
func httpGet(t testing.TB, conn net.Conn, path string, lines ...string) (status int, body string) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(clientTimeout))
	io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nConnection: close\r\n"+strings.Join(lines, "\r\n")+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return response.StatusCode, string(b)
}

// TestNoDebugPages: no listener, whatever its kind, has a page that tells of the
// program's inside, and none but the private ones has metrics.
func TestNoDebugPages(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	writeCertificate(t, f.dir)
	secure, web, control, metrics := freeAddress(t), f.file("web"), freeAddress(t), freeAddress(t)
	plain := freeAddress(t)
	conf := strings.Replace(f.config("", "/ws echo.php", "/ echo.php"), "127.0.0.1:0", plain+", unix:"+web, 1)
	startGateway(t, conf+"[listen tls]\naddress = "+secure+"\ntls_cert = "+f.file("cert.pem")+"\ntls_key = "+f.file("key.pem")+
		"\n[control]\nlisten = "+control+"\ntoken_file = "+tokenFile(t)+"\nmetrics = "+metrics+"\n")
	auth := "Authorization: Bearer " + controlToken
	for _, listener := range []struct{ name, address string }{
		{"clients", plain}, {"clients, unix", "unix:" + web}, {"clients, TLS", secure}, {"control", control}, {"metrics", metrics},
	} {
		private := listener.address == control || listener.address == metrics
		get := func(path string) (int, string) {
			conn, err := dialRaw(listener.address)
			if err != nil {
				t.Fatal(err)
			}
			if listener.address == secure {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			return httpGet(t, conn, path, "Host: localhost", auth)
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/heap", "/debug/vars",
			"/debug/requests", "/debug", "/server-status", "/status", "/metrics/", "/.git/config"} {
			status, body := get(path)
			if status != 404 && (private || status != 426) || len(body) > 200 {
				t.Errorf("%s: GET %s = %d %.300s; want 404 or, on a client's path, 426", listener.name, path, status, body)
			}
		}
		for _, path := range []string{"/metrics", "/readyz"} {
			status, body := get(path)
			if private != (status == 200) || !private && strings.Contains(body, "ws_fpm_") {
				t.Errorf("%s: GET %s = %d %.100s", listener.name, path, status, body)
			}
		}
	}
}

// TestControlTokens: a token of any wrong length, none, and the right one where it
// does not belong are all refused with the same answer, counted one by one, and
// told of once a second.
func TestControlTokens(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	control := freeAddress(t)
	g := startGateway(t, f.config("", "/ws echo.php")+"[control]\nlisten = "+control+"\ntoken_file = "+tokenFile(t)+"\n")
	get := func(path string, lines ...string) (status int, body string) {
		conn, err := dialRaw(control)
		if err != nil {
			t.Fatal(err)
		}
		return httpGet(t, conn, path, append(lines, "Host: localhost")...)
	}
	if status, _ := get("/metrics", "Authorization: Bearer "+controlToken); status != 200 {
		t.Fatalf("with the token: %d", status)
	}
	_, want := get("/metrics")
	tries := [][]string{{"/metrics", "Cookie: token=" + controlToken}, {"/metrics?token=" + controlToken, "X: y"}, {"/metrics?access_token=" + controlToken, "X: y"},
		{"/metrics", "Authorization: Basic " + controlToken}, {"/metrics", "Authorization: " + controlToken}, {"/metrics", "X-Token: " + controlToken}}
	for length := range 2 * len(controlToken) {
		if guess := strings.Repeat(controlToken, 2)[:length]; guess != controlToken {
			tries = append(tries, []string{"/metrics", "Authorization: Bearer " + guess})
		}
	}
	begun, from := time.Now(), len(g.log())
	for _, try := range tries {
		if status, body := get(try[0], try[1]); status != 401 || body != want {
			t.Errorf("%q: %d %s; want 401 %s", try, status, body, want)
		}
	}
	lines, most := g.logged(from, "cause=token"), 2+int(time.Since(begun)/time.Second)
	if lines > most || g.logged(0, controlToken[:16]) > 0 {
		t.Errorf("%d lines of log for %d failures, want at most %d, and none with a token", lines, len(tries), most)
	}
	g.wantMetrics(series{`ws_fpm_control_refused_total{cause="token"}`: float64(len(tries) + 1)})
}

// TestControlSocket: the control socket has its mode from the first moment and
// after every start, and a user that is not on the list is refused.
func TestControlSocket(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	socket := f.file("control")
	file := f.write("ws-fpm.conf", f.config("", "/ws echo.php")+"[control]\nlisten = "+socket+"\nallow_users = "+itoa(os.Getuid()+4321)+"\n")
	for n := range 3 {
		g := attachGateway(t, exec.Command(buildBinary(t), "serve", "-config", file), 1)
		info, err := os.Stat(socket)
		if err != nil || info.Mode() != os.ModeSocket|0o660 {
			t.Fatalf("start %d: the control socket is %v, %v; want mode 0660", n, info, err)
		}
		conn, err := dialRaw("unix:" + socket)
		if err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
		// Root may do all in any case.
		status, body := httpGet(t, conn, "/metrics", "Host: localhost")
		if root := os.Getuid() == 0; root != (status == 200) || !root && status != 403 {
			t.Errorf("start %d: uid %d gets %d %.100s", n, os.Getuid(), status, body)
		}
		if n == 1 {
			g.kill() // its socket stays behind
			if _, err := os.Stat(socket); err != nil {
				t.Fatal(err)
			}
			continue
		}
		g.stop()
		g.wantCleanLog()
	}
}

// TestForgedClient: whatever somebody who is no trusted proxy claims to be, PHP
// sees the address of the socket's other end, and nothing of the claim under a
// name that means an address.
func TestForgedClient(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.config("trusted_proxies = 10.0.0.0/8, unix", "/ws params.php"))
	for _, claim := range []string{
		"X-Forwarded-For: 10.1.2.3", "x-forwarded-for: 10.1.2.3", "X-FORWARDED-FOR: 10.1.2.3, 10.9.9.9", "X_Forwarded_For: 10.1.2.3", "X.Forwarded.For: 10.1.2.3",
		"X-Forwarded_For: 10.1.2.3", "X-Forwarded-For: [2001:db8::1]:443", "X-Forwarded-For: fe80::1%eth0", "X-Forwarded-For: ::ffff:10.1.2.3",
		"X-Forwarded-For: 10.1.2.3, unix:", "X-Real-IP: 10.1.2.3", "X_Real_IP: 10.1.2.3", "Forwarded: for=10.1.2.3;proto=https", "X-Forwarded-Proto: https",
		"Remote-Addr: 10.1.2.3", "Remote_Addr: 10.1.2.3", "X-Forwarded: for=10.1.2.3",
	} {
		p := dial(t, g.at("/ws", claim)).server(t)
		if p["REMOTE_ADDR"] != "127.0.0.1" || p["HTTPS"] != "" || p["REQUEST_SCHEME"] != "http" {
			t.Errorf("%s: REMOTE_ADDR %q, HTTPS %q, REQUEST_SCHEME %q", claim, p["REMOTE_ADDR"], p["HTTPS"], p["REQUEST_SCHEME"])
		}
		for name := range p {
			if strings.HasPrefix(name, "HTTP_X_FORWARDED_") || name == "HTTP_FORWARDED" || name == "HTTP_X_REAL_IP" {
				t.Errorf("%s: PHP sees %s = %q", claim, name, p[name])
			}
		}
	}
}
