package integration_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// names is Chromium's flag by which every name under test is nginx: on http's
// and https's own ports, and on that of the other server.
func (n *nginx) names() string {
	other, port, _ := net.SplitHostPort(n.other)
	return fmt.Sprintf("--host-resolver-rules=MAP *.test:80 %s, MAP *.test:443 %s, MAP *.test:%s %s", n.plain, n.secure, port, other)
}

// speak opens a WebSocket in the page, sends hello and gives the answer, or
// "closed" and the code.
func (b *browser) speak(address string) (answer string) {
	b.t.Helper()
	b.eval(`new Promise(done => {
		const socket = new WebSocket(`+quote(address)+`);
		socket.onopen = () => socket.send("hello");
		socket.onmessage = e => { done(e.data); socket.close(); };
		socket.onclose = e => done("closed " + e.code);
	})`, &answer)
	return answer
}

// TestNginxBrowser: a page in a real browser talks to a real php-fpm, through
// nginx without TLS and with it, and with TLS at ws-fpm itself.
func TestNginxBrowser(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	direct := freeAddress(t)
	writeCertificate(t, f.dir)
	g := startGateway(t, f.behind("origin.php", "origins = same, https://site.test",
		"[listen tls]\naddress = "+direct+"\ntls_cert = "+f.file("cert.pem")+"\ntls_key = "+f.file("key.pem")+"\n"))
	n := startNginx(t, snippet(t, g.addresses[0]), "")
	b := startBrowser(t, n.names(), "--ignore-certificate-errors")
	for i, address := range g.addresses { // sections may come before the global listener
		if address == direct {
			g.addresses = append(g.addresses[:i:i], g.addresses[i+1:]...)
			break
		}
	}
	_, behind, _ := net.SplitHostPort(g.addresses[0])
	host, port, _ := net.SplitHostPort(direct)
	for _, test := range []struct {
		name, page, socket string
		want               map[string]string
	}{
		{"nginx", "http://site.test/", "ws://site.test/ws", map[string]string{"REQUEST_SCHEME": "http", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": behind,
			"SERVER_NAME": "site.test", "HTTP_HOST": "site.test", "HTTP_ORIGIN": "http://site.test", "HTTP_COOKIE": "visitor=1"}},
		{"nginx with TLS", "https://site.test/", "wss://site.test/ws", map[string]string{"REQUEST_SCHEME": "https", "HTTPS": "on", "SERVER_ADDR": "127.0.0.1",
			"SERVER_PORT": behind, "SERVER_NAME": "site.test", "HTTP_HOST": "site.test", "HTTP_ORIGIN": "https://site.test", "HTTP_COOKIE": "visitor=1"}},
		{"TLS at ws-fpm", "https://site.test/", "wss://" + direct + "/ws", map[string]string{"REQUEST_SCHEME": "https", "HTTPS": "on", "SERVER_ADDR": host,
			"SERVER_PORT": port, "SERVER_NAME": host, "HTTP_HOST": direct, "HTTP_ORIGIN": "https://site.test"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.navigate(test.page)
			b.eval(`document.cookie = "visitor=1"`, nil)
			answer := b.speak(test.socket)
			var got map[string]string
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatalf("the answer is %.300q: %v; the page said %.600q", answer, err, b.console())
			}
			test.want["said"], test.want["REMOTE_ADDR"] = "hello", "127.0.0.1"
			for _, name := range []string{"said", "HTTPS", "REQUEST_SCHEME", "REMOTE_ADDR", "SERVER_NAME", "SERVER_ADDR", "SERVER_PORT", "HTTP_HOST", "HTTP_ORIGIN", "HTTP_COOKIE"} {
				if got[name] != test.want[name] {
					t.Errorf("%s = %q, want %q", name, got[name], test.want[name])
				}
			}
		})
	}
}

// TestForeignPages: a page of anybody else's, in a real browser that has the
// visitor's cookies, gets 403, and PHP is not asked.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.behind("origin.php", "events = connect, message", ""))
	n := startNginx(t, snippet(t, g.addresses[0]), "")
	writeFile(t, filepath.Join(n.dir, "site", "frame.html"), `<!DOCTYPE html><iframe sandbox="allow-scripts" srcdoc="<script>
		const socket = new WebSocket('wss://site.test/ws');
		socket.onopen = () => parent.postMessage('let in', '*');
		socket.onclose = e => parent.postMessage('closed ' + e.code, '*');
	</script>"></iframe><script>onmessage = e => document.title = e.origin + ' ' + e.data</script>`)
	b := startBrowser(t, n.names(), "--ignore-certificate-errors", "--allow-file-access-from-files")
	_, port, _ := net.SplitHostPort(n.other)

	b.navigate("http://site.test/")
	if answer := b.speak("ws://site.test/ws"); !strings.Contains(answer, `"said":"hello"`) {
		t.Fatalf("the site's own page is not let in: %s; the page said %.600q", answer, b.console())
	}
	b.navigate("https://site.test/")
	if answer := b.speak("wss://site.test/ws"); !strings.Contains(answer, `"said":"hello"`) {
		t.Fatalf("the site's own page is not let in over TLS: %s", answer)
	}
	g.wantMetrics(series{`ws_fpm_connections`: 0})
	before := f.executions()
	if before["connect http://site.test"] != 1 || before["connect https://site.test"] != 1 {
		t.Fatalf("PHP saw %v", before)
	}
	refused := 0
	for _, test := range []struct{ name, page, socket string }{
		{"another site", "http://evil.test:" + port + "/", "ws://site.test/ws"},
		{"another site over TLS", "https://evil.site.test/", "wss://site.test/ws"},
		{"a subdomain", "http://sub.site.test/", "ws://site.test/ws"},
		{"another port", "http://site.test:" + port + "/", "ws://site.test/ws"},
		{"the site without TLS, to the one with it", "http://site.test/", "wss://site.test/ws"},
		{"a file", "file://" + filepath.Join(n.dir, "site", "index.html"), "wss://site.test/ws"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.navigate(test.page)
			said := len(b.console())
			if answer := b.speak(test.socket); answer != "closed 1006" {
				t.Errorf("the page is told %q", answer)
			}
			eventually(t, browserTimeout, "the browser says why", func() bool {
				return strings.Contains(strings.Join(b.console()[said:], "\n"), "Unexpected response code: 403")
			})
		})
		refused++
	}
	t.Run("a sandboxed frame of the site's own page", func(t *testing.T) {
		b.navigate("https://site.test/frame.html")
		b.waitFor(`document.title === "null closed 1006"`)
	})
	refused++
	g.wantMetrics(series{`ws_fpm_handshakes_total{result="origin"}`: float64(refused)})
	if after := f.executions(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("PHP was asked: %v, before it were %v", after, before)
	}
}
