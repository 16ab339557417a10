package integration_test

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAbuseBroadcast: clients that listen to a channel of 1 MiB a second and
// never read are each cut at their outbox or after 10 s; those who read hear all
// of it, in order and in time.
func TestAbuseBroadcast(t *testing.T) {
	deaf, listening, outbox := scaled(60, 2000), scaled(5, 50), scaled(256, 1024)
	const size, perSecond = 64 << 10, 16
	s := besiege(t, "24 broadcast", besiegeOptions{routes: []string{
		fmt.Sprintf("/feed feed.php\nevents = connect, message\noutbox = %dk", outbox)}})
	s.f.write("feed.php", "<?php header('WS-Accept: yes'); header('WS-Subscribe: feed');")
	before, tcpBefore := s.g.memory("status", "VmRSS"), tcpMemory(t)

	var stuck, listeners []net.Conn
	for i := range deaf {
		c, err := connectFrom(s.g, i/1000, "/feed")
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		defer c.conn.Close()
		c.conn.(*net.TCPConn).SetReadBuffer(4096)
		stuck = append(stuck, c.conn)
	}
	var work sync.WaitGroup
	var heard sync.Mutex // guards what follows
	var late []time.Duration
	gaps := 0
	over := make(chan struct{})
	for range listening {
		c, err := connectFrom(s.g, 9, "/feed")
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		listeners = append(listeners, c.conn)
		work.Go(func() {
			for next := 0; ; next++ {
				_, got, err := c.message()
				var n int
				var at int64
				if err == nil {
					_, err = fmt.Sscan(string(got[:min(len(got), 60)]), &n, &at)
				}
				heard.Lock()
				if err == nil && n == next && len(got) == size {
					late = append(late, time.Since(time.Unix(0, at)))
				} else if err == nil || !closed(over) {
					gaps++
				}
				heard.Unlock()
				if err != nil || n != next {
					return
				}
			}
		})
	}
	gone := func(m series) float64 {
		return m[`ws_fpm_cut_total{cause="outbox"}`] + m[`ws_fpm_cut_total{cause="write_timeout"}`] + m[`ws_fpm_cut_total{cause="buffers"}`]
	}
	api := controlAt(t, s.f.file("control"))
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	peak, tcpPeak, held, slowest, pushes := 0, 0, 0.0, time.Duration(0), 0
	begun, allGone := time.Now(), time.Duration(0)
	lasts := time.Duration(scaled(2, 20)) * time.Second
	for ; allGone == 0 || time.Since(begun) < lasts; pushes++ {
		<-tick.C
		head := fmt.Sprintf("%d %d ", pushes, time.Now().UnixNano())
		called := time.Now()
		if status, answer := api.call("POST", "/channels/feed", head+strings.Repeat("x", size-len(head))); status != 200 {
			t.Fatalf("push %d: %d %s", pushes, status, answer)
		}
		slowest = max(slowest, time.Since(called))
		if pushes%4 > 0 {
			continue
		}
		m := s.metrics()
		peak, tcpPeak, held = max(peak, s.g.memory("status", "VmRSS")), max(tcpPeak, tcpMemory(t)), max(held, m["ws_fpm_buffered_bytes"])
		if allGone == 0 && gone(m) >= float64(deaf) {
			allGone = time.Since(begun)
		}
		if time.Since(begun) > 40*time.Second {
			t.Errorf("%v of %d deaf clients are cut after %v", gone(m), deaf, time.Since(begun))
			break
		}
	}
	m := s.metrics()
	eventually(t, 10*time.Second, "who reads has heard all", func() bool {
		heard.Lock()
		defer heard.Unlock()
		return len(late) >= pushes*listening || gaps > 0
	})
	close(over)
	closeAll(stuck)
	heard.Lock()
	figure(t, s.name, "%d deaf clients cut after %v (%v for the outbox, %v for the time of a write, %v for buffers); %d pushes of 64 KiB, the slowest took %v; RSS %+d KiB at most, %.0f KiB in queues, TCP memory of this system %+d KiB",
		deaf, allGone.Round(10*time.Millisecond), m[`ws_fpm_cut_total{cause="outbox"}`], m[`ws_fpm_cut_total{cause="write_timeout"}`], m[`ws_fpm_cut_total{cause="buffers"}`],
		pushes, slowest.Round(10*time.Microsecond), peak-before, held/1024, tcpPeak-tcpBefore)
	p99 := quantile(late, 0.99)
	figure(t, s.name, "%d listeners: %d messages heard, %d gaps, p50 %v, p99 %v, slowest %v", listening, len(late), gaps, quantile(late, 0.5), p99, quantile(late, 1))
	if gaps > 0 || len(late) != pushes*listening {
		t.Errorf("%d of %d messages were heard, %d gaps", len(late), pushes*listening, gaps)
	}
	heard.Unlock()
	if most := 1.25*256*1024 + 4096; held/1024 > most {
		t.Errorf("%.0f KiB in queues, over buffers", held/1024)
	}
	if most := min(deaf*(outbox+64), 256<<10)*2 + (32 << 10); long() && peak-before > most {
		t.Errorf("it cost %d KiB, want at most %d", peak-before, most)
	}
	closeAll(listeners)
	work.Wait()
	s.over()
	if long() && p99 > max(100*time.Millisecond, 3*s.peers.p99("during")) { // what the machine itself does
		t.Errorf("p99 of delivery is %v", p99)
	}
	s.conserved()
}

// closed reports whether done is.
func closed(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// tcpMemory is what the system has in buffers of all its TCP sockets, in KiB.
func tcpMemory(t testing.TB) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^TCP: .* mem (\d+)$`).FindStringSubmatch(readFile(t, "/proc/net/sockstat"))
	if m == nil {
		t.Fatal("no TCP memory in /proc/net/sockstat")
	}
	pages, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * 4
}
