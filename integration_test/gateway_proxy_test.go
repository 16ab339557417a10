package integration_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// server asks params.php, which answers with all that PHP knows.
func (c *client) server(t testing.TB) (params map[string]string) {
	t.Helper()
	var all map[string]any
	answer := c.ask(t, "x")
	if err := json.Unmarshal([]byte(answer), &all); err != nil {
		t.Fatalf("%v in %.300s", err, answer)
	}
	params = map[string]string{}
	for name, value := range all {
		if s, ok := value.(string); ok {
			params[name] = s
		}
	}
	return params
}

// TestGatewayTrustedProxies: the word of a trusted proxy counts, and nobody
// else's does.
func TestGatewayTrustedProxies(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	const distrusts, trusts, trustsUnix = "", "trusted_proxies = 127.0.0.0/8, 10.0.0.0/8", "trusted_proxies = unix"
	gateways := map[string]*gateway{}
	for _, trust := range []string{distrusts, trusts} {
		gateways[trust] = startGateway(t, f.config(trust, "/ws params.php"))
	}
	conf := f.config(trustsUnix, "/ws params.php")
	gateways[trustsUnix] = startGateway(t, strings.Replace(conf, "listen = 127.0.0.1:0", "listen = unix:"+f.file("web"), 1))
	for _, test := range []struct {
		name, trust string
		lines       []string
		addr, https string
	}{
		{"nobody is trusted", distrusts, []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1"}, "127.0.0.1", ""},
		{"a trusted proxy", trusts, []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"}, "192.0.2.1", "on"},
		{"a client that made up the left", trusts, []string{"X-Forwarded-For: 198.51.100.9, 192.0.2.1"}, "192.0.2.1", ""},
		{"two proxies", trusts, []string{"X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.1.2.3"}, "192.0.2.1", ""},
		{"two header lines", trusts, []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.1.2.3"}, "192.0.2.1", ""},
		{"no address", trusts, []string{"X-Forwarded-For: 192.0.2.1, unknown"}, "127.0.0.1", ""},
		{"IPv6", trusts, []string{"X-Forwarded-For: [2001:db8::1]:443", "X-Forwarded-Proto: http"}, "2001:db8::1", ""},
		{"a proxy on a unix socket", trustsUnix, []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"}, "192.0.2.1", "on"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := dial(t, gateways[test.trust].at("/ws", test.lines...)).server(t)
			if p["REMOTE_ADDR"] != test.addr || p["HTTPS"] != test.https {
				t.Errorf("REMOTE_ADDR %q, HTTPS %q; want %q, %q", p["REMOTE_ADDR"], p["HTTPS"], test.addr, test.https)
			}
			for name := range p {
				forwarded := strings.HasPrefix(name, "HTTP_X_FORWARDED") || name == "HTTP_FORWARDED" || name == "HTTP_X_REAL_IP"
				if forwarded && test.trust == distrusts {
					t.Errorf("PHP sees %s from somebody who is not trusted", name)
				}
			}
		})
	}
}

// TestGatewayEnvironment: PHP sees the handshake as it was with every message,
// and nothing of it where a web server's own words stand.
func TestGatewayEnvironment(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.config("", "/ws params.php\nsubprotocols = chat"))
	h := g.at("/ws/room%201?a=1&b=%2F", "Cookie: a=1", "Cookie: b=2", "X-Twice: 1", "X-Twice: 2", "Proxy: evil", "Script-Filename: /etc/passwd",
		"X_Under: no", "Ws-User: 1", "Php-Value: auto_prepend_file=x", "Content-Type: evil", "Sec-WebSocket-Protocol: other, chat", "Remote-User: root")
	c := dial(t, h)
	if got := c.response.Header.Get("Sec-WebSocket-Protocol"); got != "chat" {
		t.Errorf("agreed on %q, want chat", got)
	}
	host, port, _ := strings.Cut(g.addresses[0], ":")
	for seq := 1; seq <= 2; seq++ {
		p := c.server(t)
		for name, want := range map[string]string{
			"REQUEST_URI": "/ws/room%201?a=1&b=%2F", "QUERY_STRING": "a=1&b=%2F", "REQUEST_METHOD": "POST", "HTTP_COOKIE": "a=1; b=2",
			"HTTP_X_TWICE": "1, 2", "SCRIPT_FILENAME": f.file("params.php"), "SCRIPT_NAME": "/params.php", "DOCUMENT_ROOT": f.dir,
			"HTTP_SCRIPT_FILENAME": "/etc/passwd", "HTTP_WS_USER": "1", "HTTP_REMOTE_USER": "root", "WS_SUBPROTOCOL": "chat",
			"CONTENT_TYPE": "text/plain; charset=utf-8", "CONTENT_LENGTH": "1", "SERVER_NAME": host, "SERVER_PORT": port, "REQUEST_SCHEME": "http",
			"WS_EVENT": "message", "WS_EVENTS": "message", "WS_EVENT_SEQ": itoa(seq), "WS_OPCODE": "text", "WS_ROUTE": "/ws",
		} {
			if p[name] != want {
				t.Errorf("message %d: %s = %q, want %q", seq, name, p[name], want)
			}
		}
		for _, name := range []string{"HTTP_PROXY", "HTTP_X_UNDER", "WS_USER", "PHP_VALUE", "REMOTE_USER", "HTTP_CONTENT_TYPE", "HTTPS",
			"HTTP_SEC_WEBSOCKET_KEY", "HTTP_UPGRADE", "HTTP_CONNECTION", "AUTO_PREPEND_FILE"} {
			if value, there := p[name]; there {
				t.Errorf("message %d: PHP sees %s = %q", seq, name, value)
			}
		}
	}
}
