package integration_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestAbuseDescriptors: with 256 descriptors and 1,000 clients at the door, who
// is connected is answered by PHP, the log stays quiet, and there is room soon
// after some have left.
func TestAbuseDescriptors(t *testing.T) {
	s := besiege(t, "63 few descriptors", besiegeOptions{
		start: func(conf, bin string) *gateway {
			return attachGateway(t, exec.Command("sh", "-c", "ulimit -n 256 && exec "+bin+" serve -config "+conf), 1)
		},
	})
	// Newcomers, canaries too, have to wait for what is full.
	s.canaries.noNewcomers.Store(true)
	silent := scaled(500, 1000)
	var conns []net.Conn
	var kept []*client
	for i := range silent {
		conn, err := dialRaw(s.g.addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		if i%5 > 0 {
			continue
		}
		if c, err := connect(s.g.at("/ws")); err == nil {
			c.echo(t, "one of many")
			kept = append(kept, c)
		} else if c != nil {
			c.conn.Close()
		}
	}
	pause(time.Duration(scaled(500, 10_000)) * time.Millisecond)
	m := s.metrics()
	lines, lasted := len(s.g.log())-s.lines, time.Since(s.begun)
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.g.cmd.Process.Pid))
	figure(t, s.name, "%d silent and %d connected; %d descriptors in use; refused %v by max_handshakes, %v by max_connections; %v errors of accept; %d lines of log in %.1f s",
		silent, len(kept), len(open), m[`ws_fpm_handshakes_total{result="max_handshakes"}`], m[`ws_fpm_handshakes_total{result="max_connections"}`],
		m.sum("ws_fpm_accept_errors_total"), lines, lasted.Seconds())
	if float64(lines) > lasted.Seconds()+3 {
		t.Errorf("%d lines of log in %v", lines, lasted)
	}
	if m[`ws_fpm_handshakes_total{result="max_handshakes"}`] == 0 {
		t.Error("nothing was refused")
	}
	for _, c := range kept {
		c.echo(t, "still served")
	}
	closeAll(conns)
	freed := time.Now()
	eventually(t, 10*time.Second, "a newcomer is served", func() bool {
		c, err := connect(s.g.at("/ws"))
		if c != nil {
			defer c.conn.Close()
		}
		return err == nil && c.text("x") == nil
	})
	took := time.Since(freed)
	figure(t, s.name, "a newcomer was served %v after there was room", took.Round(time.Millisecond))
	if took > slack(1500*time.Millisecond) {
		t.Errorf("a newcomer was served after %v, want 1.5 s", took)
	}
	for _, c := range kept {
		c.conn.Close()
	}
	if m := s.metrics(); m["ws_fpm_pool_events_total{event=\"dial_error\",pool=\"default\"}"] > 0 {
		t.Errorf("%v connects to php-fpm failed", m["ws_fpm_pool_events_total{event=\"dial_error\",pool=\"default\"}"])
	}
	s.canaries.noNewcomers.Store(false)
	s.over()
}
