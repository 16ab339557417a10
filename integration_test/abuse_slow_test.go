package integration_test

import (
	"fmt"
	"testing"
	"time"
)

// TestAbuseSlowHandshakes: peers that send a byte of their handshake now and
// then are let go at handshake_timeout, cost little, and keep nobody out.
func TestAbuseSlowHandshakes(t *testing.T) {
	timeout := time.Duration(scaled(2, 10)) * time.Second
	peers := scaled(300, 4900) // a quarter of the descriptors, of which there may be 20,000
	s := besiege(t, "19 slow handshakes", besiegeOptions{keeps: peers, global: fmt.Sprintf("max_handshakes = 6000\nhandshake_timeout = %v", timeout)})
	begun := time.Now()
	conns := dialMany(t, s.g.addresses[0], peers)
	dialled := time.Since(begun)
	request := handshake{address: "x"}.bytes("dGhlIHNhbXBsZSBub25jZQ==")
	for i := range 2 {
		for _, conn := range conns {
			conn.Write(request[i : i+1])
		}
	}
	held := s.g.memory("status", "VmRSS") - s.before.rssKiB
	took := endings(t, conns, begun, dialled+timeout+3*time.Second)
	figure(t, s.name, "%d peers in %v; the first let go after %v, the last after %v; %+d KiB", peers, dialled.Round(time.Millisecond), took[0], took[len(took)-1], held)
	if last := took[len(took)-1]; last > dialled+timeout+slack(500*time.Millisecond) || took[0] < timeout-100*time.Millisecond {
		t.Errorf("let go after %v to %v; want %v", took[0], last, timeout)
	}
	if held > 100<<10 {
		t.Errorf("%d slow peers cost %d KiB", peers, held)
	}
	closeAll(conns)
	s.counted(`ws_fpm_handshakes_total{result="unread"}`, float64(peers))
	s.over()
}

// slack is how late something may be: as said in the long form, and more where
// the machine does other work.
func slack(d time.Duration) time.Duration {
	if long() {
		return d
	}
	return d + 3*time.Second
}

// TestAbuseSilentPeers: peers that say nothing, in the clear or at half of a
// TLS handshake, are let go in time; over max_handshakes at once.
func TestAbuseSilentPeers(t *testing.T) {
	timeout, peers := time.Duration(scaled(1, 5))*time.Second, scaled(150, 4900)
	cert, key := tlsFiles(t)
	s := besiege(t, "20 silent peers", besiegeOptions{
		keeps:  peers,
		global: fmt.Sprintf("max_handshakes = 6000\nhandshake_timeout = %v", timeout),
		more:   fmt.Sprintf("[listen tls]\naddress = 127.0.0.1:0\ntls_cert = %s\ntls_key = %s\n", cert, key),
	})
	half := clientHello(t)[:100]
	for _, kind := range []struct {
		name, address string
		first         []byte
	}{{"plain", s.g.addresses[0], nil}, {"TLS", s.g.addresses[1], nil}, {"half a ClientHello", s.g.addresses[1], half}} {
		begun := time.Now()
		conns := dialMany(t, kind.address, peers)
		dialled := time.Since(begun)
		for _, conn := range conns {
			if len(kind.first) > 0 {
				conn.Write(kind.first)
			}
		}
		took := endings(t, conns, begun, dialled+timeout+3*time.Second)
		closeAll(conns)
		figure(t, s.name, "%s: %d peers in %v, the last let go after %v", kind.name, len(conns), dialled.Round(time.Millisecond), took[len(took)-1])
		if last := took[len(took)-1]; last > dialled+timeout+slack(500*time.Millisecond) {
			t.Errorf("%s: the last peer was let go after %v, want %v", kind.name, last, timeout)
		}
	}
	s.counted(`ws_fpm_handshakes_total{result="unread"}`, 1)
	s.over()
}
