package integration_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAbusePings: clients that send pings as fast as they can are not read for
// a while: nobody is closed, each has its pongs at the rate there is, and the
// work ends with the flood.
func TestAbusePings(t *testing.T) {
	clients, lasts := scaled(50, 1000), time.Duration(scaled(2, 20))*time.Second
	s := besiege(t, "29 floods of pings", besiegeOptions{})
	flood := bytes.Repeat(frame{fin: true, op: opPing, key: testKey, payload: []byte("x")}.appendTo(nil), 100)
	var work sync.WaitGroup
	var sent, pongs, closed, busiest atomic.Int64
	conns := make([]net.Conn, clients)
	for i := range clients {
		c, err := connectFrom(s.g, i/1000, "/ws")
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		defer c.conn.Close()
		conns[i] = c.conn
		c.conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	cpu, begun := s.g.cpu(), time.Now()
	end := begun.Add(lasts)
	for _, conn := range conns {
		conn.SetDeadline(end)
		work.Go(func() {
			for {
				n, err := conn.Write(flood)
				sent.Add(int64(n) / 7)
				if err != nil {
					if !isTimeout(err) {
						closed.Add(1)
					}
					return
				}
			}
		})
		work.Go(func() {
			n, _ := io.Copy(io.Discard, conn)
			pongs.Add(n / 3)
			busiest.Store(max(busiest.Load(), n/3))
		})
	}
	work.Wait()
	lasted := time.Since(begun)
	during := s.g.cpu() - cpu
	figure(t, s.name, "%d clients: %d pings written in %.1f s, %d pongs, at most %d for one; %d closed; %.0f %% of a core",
		clients, sent.Load(), lasted.Seconds(), pongs.Load(), busiest.Load(), closed.Load(), 100*during.Seconds()/lasted.Seconds())
	if closed.Load() > 0 {
		t.Errorf("%d clients were closed", closed.Load())
	}
	if most := 10*lasted.Seconds() + 50 + 10; float64(busiest.Load()) > most {
		t.Errorf("a client had %d pongs in %v, want at most %.0f", busiest.Load(), lasted, most)
	}
	s.counted(`ws_fpm_reading_paused_total{cause="control_rate"}`, float64(clients))
	closeAll(conns)
	left := time.Now()
	s.until(20*time.Second, "all have gone", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
	figure(t, s.name, "all gone %v after they had left", time.Since(left).Round(time.Millisecond))
	s.over()
}

// TestAbuseEmptyMessages: one client's flood of empty messages reaches PHP at
// message_rate, and costs no memory.
func TestAbuseEmptyMessages(t *testing.T) {
	lasts := time.Duration(scaled(2, 60)) * time.Second
	const rate = 200
	s := besiege(t, "30 flood of empty messages", besiegeOptions{
		routes: []string{fmt.Sprintf("/echo echo.php\nmessage_rate = %d", rate)}})
	c, err := connect(s.g.at("/echo"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	c.conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
	flood := []byte(strings.Repeat(string(frame{fin: true, op: opText, key: testKey}.appendTo(nil)), 1000))
	messages := func(m series) float64 { return m["ws_fpm_messages_received_total"] }
	sent, begun := 0, time.Now()
	c.conn.SetWriteDeadline(begun.Add(lasts))
	for sent < 1_000_000 {
		n, err := c.conn.Write(flood)
		sent += n / 6
		if isTimeout(err) {
			break
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", sent, err)
		}
	}
	m, lasted, rss := s.metrics(), time.Since(begun), s.g.memory("status", "VmRSS")
	s.canaries.mu.Lock()
	own := 0 // of the canaries, and one for each that is on its way
	for _, times := range s.canaries.phases {
		own += len(times.answers)
	}
	s.canaries.mu.Unlock()
	reached := messages(m) - float64(own)
	figure(t, s.name, "%d messages written in %.1f s, %.0f taken; RSS %+d KiB", sent, lasted.Seconds(), reached, rss-s.before.rssKiB)
	if most := rate*lasted.Seconds() + 2*rate + 2*canaryClients; reached > most {
		t.Errorf("%.0f messages were taken in %v, want at most %.0f", reached, lasted, most)
	}
	if reached < rate*lasted.Seconds()/4 {
		t.Errorf("%.0f messages were taken in %v: it is hardly read at all", reached, lasted)
	}
	if grown := rss - s.before.rssKiB; grown > 10<<10 {
		t.Errorf("it cost %d KiB", grown)
	}
	s.counted(`ws_fpm_reading_paused_total{cause="message_rate"}`, 1)
	c.conn.Close()
	s.until(20*time.Second, "it has gone", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
	s.over()
	s.conserved()
}
