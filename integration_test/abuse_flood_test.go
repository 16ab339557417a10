package integration_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAbuseReconnectStorm: all clients come back at once, as after a restart,
// and PHP is asked about each. Those who are told to come again do so, later
// each time, and soon all are in, without more requests to PHP than max_conns.
func TestAbuseReconnectStorm(t *testing.T) {
	clients, in := scaled(400, 14_000), time.Duration(scaled(1, 7))*time.Second // of 20,000 descriptors
	s := besiege(t, "31 reconnect storm", besiegeOptions{keeps: clients, routes: []string{"/connect accept.php\nevents = connect, message"}})
	s.f.write("accept.php", "<?php header('WS-Accept: yes');")
	var up, refusals, failures atomic.Int64
	var slowest atomic.Int64
	var work sync.WaitGroup
	over := make(chan struct{})
	gate := make(chan struct{}, 500) // the most at the same time
	begun := time.Now()
	for i := range clients {
		work.Go(func() {
			pause(in * time.Duration(i) / time.Duration(clients))
			for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
				gate <- struct{}{}
				c, err := connectFrom(s.g, i/1000, "/connect")
				<-gate
				if err == nil {
					up.Add(1)
					slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
					<-over
					c.conn.Close()
					return
				}
				if errors.Is(err, errRefused) {
					refusals.Add(1)
					c.conn.Close()
				} else {
					failures.Add(1)
				}
				select {
				case <-over:
					return
				case <-time.After(time.Duration(rand.Int64N(int64(wait)))):
				}
			}
		})
	}
	most := 0.0
	deadline := begun.Add(time.Duration(scaled(10, 30)) * time.Second)
	for time.Now().Before(deadline) && up.Load() < int64(clients) {
		m := s.metrics()
		most = max(most, m[`ws_fpm_pool_connections{pool="attacked",state="in_use"}`]+m[`ws_fpm_pool_connections{pool="attacked",state="idle"}`]+
			m[`ws_fpm_pool_connections{pool="attacked",state="resting"}`])
		pause(20 * time.Millisecond)
	}
	figure(t, s.name, "%d of %d up after %.1f s, the last at %.1f s; told to come again %d times, failed %d times; at most %v connections to php-fpm; RSS %d KiB",
		up.Load(), clients, time.Since(begun).Seconds(), time.Duration(slowest.Load()).Seconds(), refusals.Load(), failures.Load(), most, s.g.memory("status", "VmRSS"))
	if up.Load() < int64(clients)*95/100 {
		t.Errorf("%d of %d clients are up", up.Load(), clients)
	}
	if most > 4 {
		t.Errorf("%v connections to php-fpm, max_conns is 4", most)
	}
	close(over)
	work.Wait()
	s.over()
}

// connectFrom opens a WebSocket from a loopback address with that number.
func connectFrom(g *gateway, number int, path string) (*client, error) {
	conn, err := dialFrom(g.addresses[0], number)
	if err != nil {
		return nil, err
	}
	c := newClient(conn)
	if err := c.open(handshake{address: g.addresses[0], path: path}); err != nil {
		if !errors.Is(err, errRefused) {
			conn.Close()
		}
		return c, err
	}
	return c, nil
}

// TestAbuseOneAddress: of one client address so many connections are kept, and
// the rest is refused before PHP is asked. All of an IPv6 /64 is one address.
func TestAbuseOneAddress(t *testing.T) {
	attempts, most := scaled(500, 10_000), scaled(110, 200) // 100 at once, then 20 a second
	for _, test := range []struct {
		name    string
		address func(n int) string
	}{
		{"IPv4", func(int) string { return "192.0.2.7" }},
		{"IPv6", func(n int) string { return fmt.Sprintf("2001:db8:1:2:%x::%x", n%7, n*6%65536) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := besiege(t, "32 one address, "+test.name, besiegeOptions{
				global: fmt.Sprintf("trusted_proxies = 127.0.0.1\nconnections_per_address = %d", most), routes: []string{"/connect accept.php\nevents = connect, message"}})
			s.f.write("accept.php", "<?php header('WS-Accept: yes');")
			begun := time.Now()
			var kept []*client
			refusals, asked := 0, 0
			for n := 0; n < attempts || len(kept) < most && time.Since(begun) < 20*time.Second; n++ {
				c, err := connect(s.g.at("/connect", "X-Forwarded-For: "+test.address(n)))
				switch {
				case err == nil:
					kept = append(kept, c)
				case errors.Is(err, errRefused) && c.response.StatusCode == http.StatusServiceUnavailable && c.response.Header.Get("Retry-After") != "":
					io.Copy(io.Discard, c.response.Body)
					c.conn.Close()
					refusals++
				default:
					t.Fatalf("attempt %d: %v", n, err)
				}
			}
			m := s.metrics()
			asked = int(m[`ws_fpm_events_total{event="connect",result="answered"}`])
			figure(t, s.name, "%d attempts in %.1f s: %d kept, %d refused; PHP was asked %d times", len(kept)+refusals, time.Since(begun).Seconds(), len(kept), refusals, asked)
			if len(kept) != most || asked != most || m[`ws_fpm_handshakes_total{result="address"}`] != float64(refusals) {
				t.Errorf("%d kept, PHP asked %d times, %v counted as refused of %d; want %d kept", len(kept), asked, m[`ws_fpm_handshakes_total{result="address"}`], refusals, most)
			}
			if c, err := connect(s.g.at("/connect", "X-Forwarded-For: 198.51.100.1")); err != nil {
				t.Errorf("somebody else: %v", err)
			} else {
				c.conn.Close()
			}
			for _, c := range kept {
				c.conn.Close()
			}
			s.over()
		})
	}
}

// TestAbuseNoise: what scanners send costs an answer, or the end, and little
// processor time.
func TestAbuseNoise(t *testing.T) {
	each := scaled(200, 5000)
	s := besiege(t, "34 HTTP noise", besiegeOptions{alone: true})
	for _, test := range []struct{ name, request string }{
		{"GET /", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a scanner's path", "GET /.env HTTP/1.1\r\nHost: x\r\nUser-Agent: scanner\r\n\r\n"},
		{"a path with dots", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a POST", "POST /wp-login.php HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nlog=foo"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"},
		{"a PROXY line", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a handshake for another path", "GET /socket.io/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
	} {
		before, begun := s.g.cpu(), time.Now()
		calls := s.metrics().sum("ws_fpm_event_seconds_count")
		for i := range each {
			conn, err := dialFrom(s.g.addresses[0], i/1000)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(clientTimeout))
			conn.Write([]byte(test.request))
			if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
				t.Errorf("%s: no end after %v", test.name, clientTimeout)
			}
			conn.Close()
		}
		// The canaries are of this, too: some 250 messages a second.
		took := time.Since(begun)
		messages := s.metrics().sum("ws_fpm_event_seconds_count") - calls
		figure(t, s.name, "%s: %.0f µs of processor time each, the system's and %.1f messages of canaries included; %.0f µs of real time",
			test.name, float64((s.g.cpu()-before).Microseconds())/float64(each), messages/float64(each), float64(took.Microseconds())/float64(each))
	}
	s.counted(`ws_fpm_handshakes_total{result="not_found"}`, float64(each))
	s.counted(`ws_fpm_handshakes_total{result="unread"}`, float64(each))
	s.over()
}
