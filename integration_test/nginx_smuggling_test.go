package integration_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNginxSmuggling: what follows a refused upgrade through nginx, as a body or
// as a request of its own, reaches no route that nginx does not let through, and
// everybody gets the answer to their own request. So it is with nginx as it
// ships and with one that keeps its connections to ws-fpm.
func TestNginxSmuggling(t *testing.T) {
	t.Parallel()
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	const smuggled = "GET /private?smuggled HTTP/1.1\r\nHost: site.test\r\n" + upgrade + "\r\n"
	const last = "GET /last HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n" // so that nginx ends the connection
	get := func(fields string) string { return "GET /ws?attacker HTTP/1.1\r\nHost: site.test\r\n" + fields }
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)
	attacks := map[string]string{
		"refused for its origin":  get(upgrade+"Origin: http://evil.test\r\n\r\n") + smuggled,
		"refused by PHP":          get(upgrade+"\r\n") + smuggled,
		"an unknown version":      get(strings.Replace(upgrade, "13", "777", 1)+"\r\n") + smuggled,
		"no key":                  get("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n") + smuggled,
		"an upgrade to h2c":       get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n") + smuggled,
		"no upgrade":              get("\r\n") + smuggled,
		"a body":                  get(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", upgrade, len(smuggled))) + smuggled,
		"a chunked body":          get(upgrade+"Transfer-Encoding: chunked\r\n\r\n") + chunked,
		"a length and chunks":     get(fmt.Sprintf("%sContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n", upgrade, len(chunked))) + chunked,
		"POST and a body":         strings.Replace(get(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", upgrade, len(smuggled))), "GET", "POST", 1) + smuggled,
		"frames before an answer": get(upgrade+"\r\n") + "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" + smuggled,
	}
	for _, kept := range []bool{false, true} {
		t.Run(map[bool]string{false: "as it ships", true: "with connections that are kept"}[kept], func(t *testing.T) {
			t.Parallel()
			f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
			g := startGateway(t, f.config("trusted_proxies = "+nginxAddress, "/ws refuse.php\nevents = connect, message", "/private refuse.php\nevents = connect, message"))
			location, http := snippet(t, g.addresses[0]), "keepalive_requests 1000;"
			if kept {
				location = snippet(t, "kept")
				http += "upstream kept { server " + g.addresses[0] + "; keepalive 8; }"
			}
			n := startNginx(t, location, http)

			// The others: each asks for something of its own, again and again.
			var others sync.WaitGroup
			var stop atomic.Bool
			var served atomic.Int64
			for v := range 4 {
				others.Go(func() {
					for i := 0; !stop.Load(); i++ {
						own := fmt.Sprintf("visitor=%d-%d", v, i)
						c, err := connect(handshake{address: n.plain, path: "/ws?" + own, host: "site.test"})
						if c == nil {
							t.Errorf("%s: %v", own, err)
							return
						}
						c.conn.SetReadDeadline(time.Now().Add(clientTimeout))
						body, err := io.ReadAll(c.response.Body)
						if c.response.StatusCode != 409 || string(body) != own {
							t.Errorf("%s got %s %.200q, %v", own, c.response.Status, body, err)
						}
						c.conn.Close()
						served.Add(1)
					}
				})
			}
			answers := 0
			for range scaled(5, 500) {
				for name, attack := range attacks {
					conn, err := dialRaw(n.plain)
					if err != nil {
						t.Fatal(err)
					}
					conn.SetDeadline(time.Now().Add(clientTimeout))
					io.WriteString(conn, attack+last) // may fail: the answer can come first
					all, _ := io.ReadAll(conn)        // a reset may come behind the answer
					conn.Close()
					if strings.Contains(string(all), "smuggled") || strings.Contains(string(all), "visitor") {
						t.Errorf("%s: the attacker got %.500q", name, all)
					}
					if !strings.HasPrefix(string(all), "HTTP/1.1 4") {
						t.Errorf("%s: the answer is %.200q; want one of 4xx", name, all)
					}
					answers++
				}
			}
			stop.Store(true)
			others.Wait()
			figure(t, "90 smuggling through nginx", "%d attacks, %d answers to others", answers, served.Load())
			for what, times := range f.executions() {
				if strings.HasPrefix(what, "connect /private") || strings.Contains(what, "smuggled") {
					t.Errorf("PHP was asked %d times: %s", times, what)
				}
			}
		})
	}
}
