package integration_test

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAbuseReaders: clients that never read what they asked for are each cut at
// their outbox or after 10 s, and all together hold no more than buffers.
func TestAbuseReaders(t *testing.T) {
	readers, buffers, size := scaled(60, 2000), scaled(16, 256), scaled(100_000, 1_000_000)
	// Not so much at once that small messages of others find no room.
	s := besiege(t, "24 readers that never read", besiegeOptions{keeps: buffers << 5,
		global: fmt.Sprintf("buffers = %dM", buffers), routes: []string{"/flood output.php\noutbox = 1M"}})
	s.canaries.noNewcomers.Store(true) // over 80 % of the buffers they are refused
	before := s.g.memory("status", "VmRSS")
	clients := make([]*client, readers)
	var work sync.WaitGroup
	var done atomic.Bool
	var refusals atomic.Int64
	for k := range 4 {
		work.Go(func() {
			for i := k; i < readers && !done.Load(); {
				c, err := connect(s.g.at("/flood"))
				if errors.Is(err, errRefused) { // while the buffers are full: somebody is about to be cut
					c.conn.Close()
					refusals.Add(1)
					pause(20 * time.Millisecond)
					continue
				}
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				c.conn.(*net.TCPConn).SetReadBuffer(4096)
				clients[i] = c
				c.text(itoa(size))
				i += 4
			}
			// More than a socket and an outbox take. Not all of it comes, for PHP
			// cannot keep up.
			for !done.Load() {
				for i := k; i < readers && clients[i] != nil; i += 4 {
					for range 1_000_000 / size {
						clients[i].text(itoa(size))
					}
				}
				pause(100 * time.Millisecond)
			}
		})
	}
	forBuffers := func(m series) float64 { // one that asks for more while they are full is cut for its message
		return m[`ws_fpm_cut_total{cause="buffers"}`] + m[`ws_fpm_cut_total{cause="buffers_message"}`]
	}
	gone := func(m series) float64 {
		return m[`ws_fpm_cut_total{cause="outbox"}`] + forBuffers(m) + m[`ws_fpm_cut_total{cause="write_timeout"}`]
	}
	peak, held := 0, 0.0
	m := s.until(time.Duration(scaled(30, 240))*time.Second, "all have been cut", func(m series) bool {
		peak, held = max(peak, s.g.memory("status", "VmRSS")), max(held, m["ws_fpm_buffered_bytes"])
		return gone(m) >= float64(readers)
	})
	done.Store(true)
	work.Wait()
	figure(t, s.name, "%d readers, told %d times to come later: %v cut for the outbox, %v for buffers, %v for the time of a write, after %.1f s; RSS %d KiB, at most %+d KiB; in queues at most %.0f KiB of %d MiB",
		readers, refusals.Load(), m[`ws_fpm_cut_total{cause="outbox"}`], forBuffers(m), m[`ws_fpm_cut_total{cause="write_timeout"}`],
		time.Since(s.begun).Seconds(), before, peak-before, held/1024, buffers)
	// What connections being shed still hold is a quarter of that at most.
	if most := float64(buffers<<20)*1.25 + 4<<20; held > most {
		t.Errorf("%.0f bytes in queues, over buffers = %dM", held, buffers)
	}
	if grown, most := peak-before, min(readers*(1024+64), buffers<<10)*2+(32<<10); grown > most { // Go collects at half as much again
		t.Errorf("%d readers cost %d KiB, want at most %d", readers, grown, most)
	}
	for _, c := range clients {
		if c != nil {
			c.conn.Close()
		}
	}
	s.canaries.noNewcomers.Store(false)
	s.over()
	s.conserved()
}

// TestAbuseTrickle: a client that reads a kilobyte a second is not kept for
// that: what waits for it is bounded, and so is the end.
func TestAbuseTrickle(t *testing.T) {
	n := scaled(10, 100)
	s := besiege(t, "25 trickling readers", besiegeOptions{keeps: n << 5, routes: []string{"/flood output.php\noutbox = 64k"}})
	begun := time.Now()
	var work sync.WaitGroup
	var over atomic.Bool
	for range n {
		work.Go(func() {
			conn, err := net.Dial("tcp", s.g.addresses[0])
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.(*net.TCPConn).SetReadBuffer(2048)
			conn.Write(handshake{address: s.g.addresses[0], path: "/flood"}.bytes("dGhlIHNhbXBsZSBub25jZQ=="))
			for range 8 {
				conn.Write(frame{fin: true, op: opText, key: testKey, payload: []byte("1000000")}.appendTo(nil))
			}
			tick := time.NewTicker(time.Second / 10)
			defer tick.Stop()
			buf := make([]byte, 102)
			for !over.Load() { // what the system has buffered lasts for long
				<-tick.C
				conn.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := conn.Read(buf); err != nil && !isTimeout(err) {
					return
				}
			}
		})
	}
	t.Cleanup(func() { over.Store(true); work.Wait() })
	m := s.until(30*time.Second, "all have been cut", func(m series) bool { return m[`ws_fpm_cut_total{cause="outbox"}`] >= float64(n) })
	cut := time.Since(begun)
	s.until(20*time.Second, "their sockets are closed", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
	figure(t, s.name, "%d readers of 1 KiB/s: %v cut for the outbox after %v, the last socket closed after %v", n,
		m[`ws_fpm_cut_total{cause="outbox"}`], cut.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	over.Store(true)
	work.Wait()
	s.over()
	s.conserved()
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
