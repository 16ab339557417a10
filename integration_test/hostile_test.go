package integration_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// This file is of attacks. Beside each there is a canary: a well-behaved
// client that must not notice.

// canaryPatience is the longest that a canary may wait for an answer, an
// unhurried one: the machine may be busy with other tests.
const canaryPatience = 5 * time.Second

// attacked starts a gateway with a canary, which is asked how it fared when t
// and its subtests have ended.
func attacked(t *testing.T, global string) *gateway {
	t.Helper()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	file := f.write("ws-fpm.conf", f.config(global, "/ws echo.php"))
	g := attachGateway(t, exec.Command(plainBinary(t), "serve", "-config", file), 1)
	t.Cleanup(func() {
		g.stop()
		g.wantCleanLog()
	})
	startCanary(t, g)
	return g
}

// startCanary has a client say something every 20 ms.
func startCanary(t *testing.T, g *gateway) {
	t.Helper()
	c := dial(t, g.at("/ws"))
	c.timeout = canaryPatience
	done, result := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-done:
				result <- nil
				return
			case <-tick.C:
			}
			c.text(itoa(n))
			if _, got, err := c.message(); err != nil || string(got) != itoa(n) {
				result <- fmt.Errorf("the answer to message %d is %q, %v", n, got, err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		if err := <-result; err != nil {
			t.Errorf("the canary: %v", err)
		}
	})
	startVisitor(t, g)
}

// startVisitor checks, at the end, that newcomers are still let in.
func startVisitor(t *testing.T, g *gateway) {
	t.Cleanup(func() {
		c, err := connect(g.at("/ws"))
		if err != nil {
			t.Errorf("a newcomer after the attack: %v", err)
			return
		}
		defer c.conn.Close()
		c.echo(t, "still there")
	})
}

// statusLine finds the beginning of each answer.
var statusLine = regexp.MustCompile(`HTTP/1\.[01] \d\d\d `)

// TestHostileHandshakes: what is no clean handshake gets its 4xx and the end of
// the connection, and no byte behind it is read as a request or a frame.
func TestHostileHandshakes(t *testing.T) {
	t.Parallel()
	g := attacked(t, "")
	const good = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %KEY%\r\n"
	without := func(name string) string {
		var b strings.Builder
		for line := range strings.Lines(good) {
			if !strings.HasPrefix(line, name+":") {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	get := func(fields string) string { return "GET /ws HTTP/1.1\r\n" + fields + "\r\n" }
	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"POST", "POST /ws HTTP/1.1\r\n" + good + "\r\n", 405},
		{"HTTP/1.0", "GET /ws HTTP/1.0\r\n" + good + "\r\n", 426},
		{"HTTP/2 by word of mouth", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		{"no Host", get(without("Host")), 400},
		{"two Hosts", get(good + "Host: y\r\n"), 400},
		{"a target with a host of its own", "GET http://evil.example/ws HTTP/1.1\r\n" + good + "\r\n", 400},
		{"no Upgrade", get(without("Upgrade")), 426},
		{"Upgrade to h2c as well", get(without("Upgrade") + "Upgrade: websocket, h2c\r\n"), 400},
		{"two Upgrades", get(good + "Upgrade: websocket\r\n"), 400},
		{"no Connection", get(without("Connection")), 400},
		{"version 8", get(without("Sec-WebSocket-Version") + "Sec-WebSocket-Version: 8\r\n"), 426},
		{"two keys", get(good + "Sec-WebSocket-Key: %KEY%\r\n"), 400},
		{"a key of 15 bytes", get(without("Sec-WebSocket-Key") + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n"), 400},
		{"no key", get(without("Sec-WebSocket-Key")), 400},
		{"null origin", get(good + "Origin: null\r\n"), 403},
		{"foreign origin", get(good + "Origin: http://evil.example\r\n"), 403},
		{"two origins", get(good + "Origin: http://x\r\nOrigin: http://x\r\n"), 400},
		{"a body of some length", get(good+"Content-Length: 5\r\n") + "hello", 400},
		{"a chunked body", get(good+"Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n", 400},
		{"a length and chunks", get(good+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
		{"a space before the colon", get(good + "X : y\r\n"), 400},
		{"a NUL in a value", get(good + "X: \x00\r\n"), 400},
		{"a control character in a value", get(good + "X: a\x01b\r\n"), 400},
		{"a NUL in the path", "GET /ws%00 HTTP/1.1\r\n" + good + "\r\n", 400},
		{"an encoded slash", "GET /ws%2fx HTTP/1.1\r\n" + good + "\r\n", 400},
		{"dots", "GET /ws/../etc HTTP/1.1\r\n" + good + "\r\n", 400},
		{"encoded dots", "GET /ws/%2e%2e/etc HTTP/1.1\r\n" + good + "\r\n", 400},
		{"a backslash", "GET /ws\\x HTTP/1.1\r\n" + good + "\r\n", 400},
		{"another path", "GET /wsx HTTP/1.1\r\n" + good + "\r\n", 404},
		{"a target of 9,000 bytes", "GET /ws?" + strings.Repeat("x", 9000) + " HTTP/1.1\r\n" + good + "\r\n", 414},
		{"101 fields", get(good + strings.Repeat("X: y\r\n", 101)), 431},
		{"20,000 bytes of one field", get(good + "X: " + strings.Repeat("y", 20000) + "\r\n"), 431},
		{"a megabyte of fields", get(good + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 1000)), 431},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{"a PROXY line", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(good), 400},
		{"frames without a handshake", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\r\n\r\n", 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn, err := dialRaw(g.addresses[0])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(clientTimeout))
			h := handshake{raw: []byte(test.request), after: []byte("GET /ws HTTP/1.1\r\nHost: smuggled\r\n\r\n")}
			conn.Write(h.bytes("dGhlIHNhbXBsZSBub25jZQ==")) // may fail: the answer can come before the end of the request
			all, err := io.ReadAll(conn)
			if len(all) == 0 && test.status != 0 {
				t.Fatalf("no answer: %v", err)
			}
			if n := len(statusLine.FindAll(all, -1)); n > 1 {
				t.Errorf("%d answers: %.500q", n, all)
			}
			if test.status == 0 {
				return
			}
			response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), nil)
			if err != nil || response.StatusCode != test.status || !response.Close {
				t.Errorf("got %.200q, %v; want %d and the end of the connection", all, err, test.status)
			}
		})
	}
}

// TestHostileClaims: a thousand peers that claim messages of 2^40 bytes, or
// claim as much as is allowed and send next to nothing, cost at most 10 MB.
func TestHostileClaims(t *testing.T) { // measures memory: not parallel
	for name, claim := range map[string]uint64{"2^40 bytes": 1 << 40, "2^63 - 1 bytes": 1<<63 - 1, "max_message": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			g := attacked(t, "")
			var peers []*client
			for range 1000 {
				peers = append(peers, dial(t, g.at("/ws")))
			}
			before, mapped := g.memory("status", "VmRSS"), g.memory("status", "VmData")
			for _, c := range peers {
				c.send(frame{fin: true, op: opBinary, key: testKey, claim: &claim, payload: []byte("next to nothing")})
			}
			if claim > 1<<20 {
				for _, c := range peers {
					c.wantClose(t, 1009)
				}
			} else {
				unfinished := func() bool { return g.metrics()["ws_fpm_buffered_bytes"] >= 15_000 }
				eventually(t, 10*time.Second, "all of it has been read", unfinished)
			}
			grown := g.memory("status", "VmRSS") - before
			t.Logf("1000 peers: %+d KiB", grown)
			if grown > 10<<10 {
				t.Errorf("1000 peers cost %d KiB, want at most 10 MiB", grown)
			}
			// A buffer that is not written to costs addresses only, which Go takes
			// in pieces of 64 MiB.
			if reserved := g.memory("status", "VmData") - mapped; reserved > 128<<10 {
				t.Errorf("1000 peers made the program reserve %d KiB", reserved)
			}
		})
	}
}

// TestHostileGarbage: random bytes, before and after the handshake, end their
// own connection only.
func TestHostileGarbage(t *testing.T) {
	t.Parallel()
	g := attacked(t, "")
	var work sync.WaitGroup
	for i := range 8 {
		random := rand.NewChaCha8([32]byte{byte(i)})
		work.Go(func() {
			for n := range 25 {
				junk := make([]byte, 1<<(n%12))
				random.Read(junk)
				if n%5 == 0 {
					if conn, err := dialRaw(g.addresses[0]); err == nil {
						conn.Write(junk)
						conn.Close()
					}
					continue
				}
				h := g.at("/ws")
				h.after = junk
				c, err := connect(h)
				if err != nil {
					t.Errorf("connecting: %v", err)
					continue
				}
				c.closeWrite()
				for err == nil {
					_, _, err = c.message()
				}
				if errors.Is(err, errServer) {
					t.Errorf("after %x: %v", junk, err)
				}
				c.conn.Close()
			}
		})
	}
	work.Wait()
	g.wantMetrics(series{`ws_fpm_panics_total`: 0, `ws_fpm_buffered_bytes`: 0})
}

// TestHostileSlowHandshakes: peers that say nothing, or a byte now and then,
// are let go at handshake_timeout; more than max_handshakes are not kept.
func TestHostileSlowHandshakes(t *testing.T) {
	t.Parallel()
	g := attacked(t, "handshake_timeout = 2s\nmax_handshakes = 150")
	begun := time.Now()
	var conns []net.Conn
	for range 100 {
		conn, err := dialRaw(g.addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	request := handshake{address: "x"}.bytes("dGhlIHNhbXBsZSBub25jZQ==")
	for i := range 15 { // for 1.5 s, a byte each time of every other peer
		for _, conn := range conns[:50] {
			conn.Write(request[i : i+1])
		}
		<-tick.C
	}
	var flood []net.Conn
	for range 100 { // beside those, and over max_handshakes together
		if conn, err := dialRaw(g.addresses[0]); err == nil {
			t.Cleanup(func() { conn.Close() })
			flood = append(flood, conn)
		}
	}
	for _, conn := range slices.Concat(conns, flood) {
		conn.SetReadDeadline(time.Now().Add(clientTimeout))
		io.Copy(io.Discard, conn)
	}
	if took := time.Since(begun); took < 1900*time.Millisecond || took > 6*time.Second {
		t.Errorf("the last slow peer was let go after %v", took)
	}
	for range 50 {
		if g.metrics()[`ws_fpm_handshakes_total{result="max_handshakes"}`] >= 40 {
			return
		}
		pause(50 * time.Millisecond)
	}
	t.Errorf("%v of 200 peers refused by max_handshakes = 150", g.metrics()[`ws_fpm_handshakes_total{result="max_handshakes"}`])
}

// TestHostileFrames: floods of what carries nothing.
func TestHostileFrames(t *testing.T) {
	t.Parallel()
	g := attacked(t, "")
	t.Run("empty fragments", func(t *testing.T) {
		c := dial(t, g.at("/ws"))
		c.send(fragments(opText, nil, slices.Repeat([]int{0}, 1000)...)...)
		c.wantClose(t, 1008)
	})
	t.Run("pings that nobody reads the answers of", func(t *testing.T) {
		c := dial(t, g.at("/ws"))
		c.timeout = 2 * time.Second
		wire := bytes.Repeat(frame{fin: true, op: opPing, key: testKey, payload: make([]byte, 125)}.appendTo(nil), 1000)
		for range 100 {
			if c.write(wire) != nil {
				break
			}
		}
		if kib := g.memory("status", "VmRSS"); kib > 100<<10 {
			t.Errorf("the program holds %d KiB", kib)
		}
	})
	t.Run("messages that nobody reads the answers of", func(t *testing.T) {
		c := dial(t, g.at("/ws"))
		c.timeout = 2 * time.Second
		wire := bytes.Repeat(frame{fin: true, op: opText, key: testKey, payload: bytes.Repeat([]byte("x"), 10000)}.appendTo(nil), 100)
		for range 20 {
			if c.write(wire) != nil {
				break
			}
		}
		if kib := g.memory("status", "VmRSS"); kib > 100<<10 {
			t.Errorf("the program holds %d KiB", kib)
		}
	})
	t.Run("no masks", func(t *testing.T) {
		for range 50 {
			c := dial(t, g.at("/ws"))
			c.send(frame{fin: true, op: opText, unmasked: true, payload: []byte("GET / HTTP/1.1\r\n\r\n")})
			c.wantClose(t, 1002)
		}
	})
	t.Run("data after Close", func(t *testing.T) {
		c := dial(t, g.at("/ws"))
		c.close(1000, "")
		c.silent = true
		c.wantClose(t, 1000)
		c = dial(t, g.at("/ws"))
		c.silent = true
		c.send(frame{fin: true, op: opClose, key: testKey, payload: closePayload(1000, "")}, frame{fin: true, op: opText, key: testKey, payload: []byte("late")})
		c.wantClose(t, 1000)
	})
	g.wantMetrics(series{`ws_fpm_cut_total{cause="protocol"}`: 51, `ws_fpm_panics_total`: 0})
}

// TestHostileConnections: over max_connections a newcomer gets 503, and there
// is room again when somebody has left.
func TestHostileConnections(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.config("max_connections = 20", "/ws echo.php"))
	first := dial(t, g.at("/ws"))
	for range 19 {
		dial(t, g.at("/ws"))
	}
	for range 30 {
		response, _ := refused(t, g.at("/ws"))
		if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
			t.Errorf("over max_connections: %d, Retry-After %q; want 503 with one", response.StatusCode, response.Header.Get("Retry-After"))
		}
	}
	first.goodbye(t)
	g.wantMetrics(series{`ws_fpm_connections`: 19, `ws_fpm_handshakes_total{result="max_connections"}`: 30})
	dial(t, g.at("/ws")).echo(t, "room again")
}
