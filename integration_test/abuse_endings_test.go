package integration_test

import (
	"net"
	"slices"
	"testing"
	"time"
)

// TestAbuseNoCloseAnswer: who does not answer a close frame is cut after 5 s.
func TestAbuseNoCloseAnswer(t *testing.T) {
	n := scaled(20, 1000)
	s := besiege(t, "27 close not answered", besiegeOptions{routes: []string{"/close close.php"}})
	s.f.write("close.php", "<?php header('WS-Close: 4001 go');")
	var conns []net.Conn
	for i := range n {
		c, err := connect(s.g.at("/close"))
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		t.Cleanup(func() { c.conn.Close() })
		conns = append(conns, c.conn)
	}
	begun := time.Now()
	for _, conn := range conns {
		conn.Write(frame{fin: true, op: opText, key: testKey, payload: []byte("x")}.appendTo(nil))
	}
	took := endings(t, conns, begun, 15*time.Second) // each reads the close frame, and says nothing
	figure(t, s.name, "%d clients cut %v to %v after they were told to close", n, took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	if took[0] < 4900*time.Millisecond || took[len(took)-1] > slack(7*time.Second) { // the sweeper comes once a second
		t.Errorf("cut after %v to %v, want 5 s", took[0], took[len(took)-1])
	}
	s.counted(`ws_fpm_cut_total{cause="close_timeout"}`, float64(n))
	s.over()
}

// TestAbuseRudeEnds: connections that end in every rude way cost no line of
// log above debug, and no processor time when they are gone.
func TestAbuseRudeEnds(t *testing.T) {
	n := scaled(200, 5000)
	s := besiege(t, "28 rude ends", besiegeOptions{})
	half := frame{fin: true, op: opText, key: testKey, payload: make([]byte, 1000)}.appendTo(nil)[:500]
	var left []*client
	for i := range n {
		c, err := connect(s.g.at("/ws"))
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		switch i % 8 {
		case 0: // RST at rest
			c.reset()
		case 1: // RST with unread bytes on both sides
			c.text("hello")
			c.reset()
		case 2: // FIN in the middle of a frame
			c.write(half)
			c.conn.Close()
		case 3: // RST in the middle of a frame
			c.write(half)
			c.reset()
		case 4: // FIN behind a Close
			c.close(1000, "")
			c.conn.Close()
		case 5: // FIN of one direction, then nothing
			c.closeWrite()
			left = append(left, c)
		case 6: // the same in the middle of a frame
			c.write(half)
			c.closeWrite()
			left = append(left, c)
		case 7: // RST behind a Close
			c.close(1000, "")
			c.reset()
		}
	}
	s.until(10*time.Second, "all have gone", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
	for _, c := range left {
		c.conn.Close()
	}
	s.over()
	if lines := s.g.log()[s.lines:]; len(lines) > 0 {
		t.Errorf("%d lines of log, such as %s", len(lines), lines[0])
	}
	// The canaries have gone too: what works now does so for nobody.
	m := s.metrics()
	spins := s.g.cpu()
	peace := time.Duration(scaled(2, 10)) * time.Second
	pause(peace)
	spent := s.g.cpu() - spins
	figure(t, s.name, "%d ends; afterwards %v of processor time in %v; closes %v by 1006, %v by 1000", n, spent, peace,
		m[`ws_fpm_closes_total{code="1006"}`], m[`ws_fpm_closes_total{code="1000"}`])
	if spent > max(peace/100, 50*time.Millisecond) {
		t.Errorf("%v of processor time in %v of peace", spent, peace)
	}
	if levels := slices.DeleteFunc([]string{"level=WARN", "level=ERROR"}, func(l string) bool { return s.g.logged(s.lines, l) == 0 }); len(levels) > 0 {
		t.Errorf("the log has lines of %v", levels)
	}
	s.conserved()
}
