package integration_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// nginx is a real one in front of ws-fpm, with what deploy/ ships.
type nginx struct {
	*process
	dir string // with nginx.conf, and site/, the pages that it serves
	// plain and secure serve the same site, without TLS and with it. Other is of
	// the same pages, and has no WebSockets.
	plain, secure, other string
}

// snippet is the location that ships, for a ws-fpm at an address. Changes are
// pairs of old and new text, each of which must be found.
func snippet(t testing.TB, address string, changes ...string) string {
	t.Helper()
	b, err := os.ReadFile("../deploy/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i, changes := 0, append([]string{"127.0.0.1:8080", address}, changes...); i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("deploy/nginx.conf has no %q", changes[i])
		}
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	return text
}

// nginxAddress is the one that nginx connects to ws-fpm from, so that it can be
// told from clients on this machine, who come from 127.0.0.1.
const nginxAddress = "127.0.0.2"

// startNginx serves a location and pages, and ends with t. Http is more of the
// http section.
func startNginx(t testing.TB, location, http string) *nginx {
	t.Helper()
	path := requireProgram(t, "nginx", "nginx")
	if runtime.GOOS != "linux" {
		missing(t, "%s is no address of this system", nginxAddress)
	}
	n := &nginx{dir: publicDir(t), plain: freeAddress(t), secure: freeAddress(t), other: freeAddress(t)}
	if err := os.Mkdir(filepath.Join(n.dir, "site"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(n.dir, "site", "index.html"), "<!DOCTYPE html><title>a page</title>")
	writeFile(t, filepath.Join(n.dir, "ws-fpm.conf"), location)
	writeCertificate(t, n.dir)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // the directory is ours
	}
	conf := filepath.Join(n.dir, "nginx.conf")
	writeFile(t, conf, strings.NewReplacer("DIR", n.dir, "PLAIN", n.plain, "SECURE", n.secure, "OTHER", n.other).Replace(
		"daemon off;\nworker_processes 2;\npid DIR/pid;\nerror_log stderr notice;\n"+user+`
events { worker_connections 512; }
http {
    access_log DIR/access.log;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    types { text/html html; }
    proxy_bind `+nginxAddress+`;
    root DIR/site;
    ssl_certificate DIR/cert.pem;
    ssl_certificate_key DIR/key.pem;
`+http+`
    server {
        listen PLAIN;
        listen SECURE ssl http2;
        include DIR/ws-fpm.conf;
    }
    server { listen OTHER; }
}
`))
	if out, err := exec.Command(path, "-t", "-q", "-p", n.dir, "-c", conf, "-e", "stderr").CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	n.process = startProcess(t, exec.Command(path, "-p", n.dir, "-c", conf, "-e", "stderr"))
	eventually(t, 10*time.Second, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", n.other)
		if err == nil {
			conn.Close()
		}
		return err == nil || n.ended()
	})
	t.Cleanup(func() {
		for _, line := range n.log() {
			if strings.Contains(line, "[alert]") || strings.Contains(line, "[emerg]") || strings.Contains(line, "[warn]") {
				t.Errorf("nginx says: %s", line)
			}
		}
	})
	return n
}

// writeCertificate writes cert.pem and key.pem of a certificate that nobody signed.
func writeCertificate(t testing.TB, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"site.test"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		var b bytes.Buffer
		pem.Encode(&b, block) // a Buffer takes all
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// behind is a configuration that believes nginx on this machine, with one
// route, /ws. Listen is where ws-fpm listens besides.
func (f *phpFPM) behind(script, route, listen string) string {
	return f.config("trusted_proxies = "+nginxAddress, "/ws "+script+"\n"+route) + listen
}

// TestNginx: through a real nginx with the location that ships PHP sees the
// client as if nginx were not there, and what a client made up does not pass.
func TestNginx(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.behind("params.php", "", ""))
	n := startNginx(t, snippet(t, g.addresses[0]), "")
	h := handshake{address: n.plain, path: "/ws/room?a=1", host: "site.test:8080", lines: []string{
		"Origin: http://site.test:8080", "Cookie: a=1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Real-IP: 192.0.2.1",
		"Forwarded: for=192.0.2.1;proto=https", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "X-Forwarded-User: root",
	}}
	p := dial(t, h).server(t)
	for name, want := range map[string]string{
		"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "site.test:8080", "SERVER_NAME": "site.test", "REQUEST_SCHEME": "http", "HTTP_COOKIE": "a=1",
		"HTTP_ORIGIN": "http://site.test:8080", "REQUEST_URI": "/ws/room?a=1", "HTTP_X_REAL_IP": "127.0.0.1", "HTTP_X_FORWARDED_PROTO": "http",
		"HTTP_X_FORWARDED_FOR": "192.0.2.1, 127.0.0.1",
	} {
		if p[name] != want {
			t.Errorf("%s = %q, want %q", name, p[name], want)
		}
	}
	for _, name := range []string{"HTTPS", "HTTP_FORWARDED", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_USER"} {
		if value, there := p[name]; there {
			t.Errorf("PHP sees %s = %q, which the client made up", name, value)
		}
	}
	c := dial(t, h)
	for range 100 {
		c.ask(t, "x")
	}
	c.goodbye(t)
	if response, _ := refused(t, handshake{address: n.plain, host: "site.test", lines: []string{"Origin: http://evil.test"}}); response.StatusCode != 403 {
		t.Errorf("a foreign origin through nginx: %d, want 403", response.StatusCode)
	}
}

// TestNginxIdle: ws-fpm's pings keep an idle connection open through nginx, and
// nothing else does.
func TestNginxIdle(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	timeout, ping, idle := "6s", "500ms", 13*time.Second // with clocks that are read once a second
	if long() {
		timeout, ping, idle = "75s", "25s", 200*time.Second
	}
	for name, every := range map[string]string{"with pings": ping, "without": "1h"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, f.config("trusted_proxies = "+nginxAddress+"\nping = "+every, "/ws echo.php"))
			n := startNginx(t, snippet(t, g.addresses[0], "_timeout 75s", "_timeout "+timeout), "")
			c := dial(t, handshake{address: n.plain})
			c.timeout = idle
			c.echo(t, "before")
			if every == ping {
				begun := time.Now()
				for time.Since(begun) < idle { // answers the pings
					c.conn.SetReadDeadline(begun.Add(idle))
					if _, err := c.frame(); err != nil && time.Since(begun) < idle {
						t.Fatalf("after %v: %v", time.Since(begun), err)
					}
				}
				c.timeout = clientTimeout
				c.echo(t, "after")
			} else if _, _, err := c.message(); err == nil || os.IsTimeout(err) {
				t.Errorf("without pings nginx has not ended the connection after %v: %v", idle, err)
			}
		})
	}
}
