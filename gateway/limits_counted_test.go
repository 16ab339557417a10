package gateway

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// What is at a limit of messages is answered and counts nothing; what is over it
// is one close with the code that says so.
func TestMessageLimitsAreCounted(t *testing.T) {
	empty := func(n int) []byte {
		return bytes.Join([][]byte{frame(text&^0x80, "echo "), bytes.Repeat(frame(0, ""), n), frame(0x80, "x")}, nil)
	}
	for _, test := range []struct {
		name  string
		wire  []byte
		reply string
		code  uint16
	}{
		{"a message below max_message", frame(text, "echo "+strings.Repeat("x", 994)), strings.Repeat("x", 994), 0},
		{"one of max_message", frame(text, "echo "+strings.Repeat("x", 995)), strings.Repeat("x", 995), 0},
		{"one byte more", frame(text, "echo "+strings.Repeat("x", 996)), "", 1009},
		{"fragments that are too much together", append(frame(text&^0x80, "echo "+strings.Repeat("x", 900)), frame(0x80, strings.Repeat("x", 96))...), "", 1009},
		{"127 empty fragments", empty(127), "x", 0},
		{"128 empty fragments", empty(128), "x", 0},
		{"129 empty fragments", empty(129), "", 1008},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, _, address := open(t, func(r *Route, _ *Options) { r.MaxMessage = 1000 })
			c := dial(t, address)
			c.write(test.wire)
			closes := func(code string) int { return count(g, "ws_fpm_closes_total", `code="`+code+`"`) }
			cut := func() int { return count(g, "ws_fpm_cut_total", `cause="protocol"`) }
			if test.code == 0 {
				c.hear(test.reply)
				if closes("1009")+closes("1008")+cut() != 0 {
					t.Errorf("counted %d and %d closes, %d cut; want none", closes("1009"), closes("1008"), cut())
				}
				return
			}
			if head, payload, err := c.read(); head != 0x88 || err != nil || len(payload) < 2 || uint16(payload[0])<<8|uint16(payload[1]) != test.code {
				t.Errorf("got frame %x %q, %v; want Close %d", head, payload, err, test.code)
			}
			c.reset()
			eventually(t, "it is counted", func() bool { return cut() == 1 && closes("1009")+closes("1008") == 1 })
			if n := closes(map[uint16]string{1008: "1008", 1009: "1009"}[test.code]); n != 1 {
				t.Errorf("%d closes with %d, want 1", n, test.code)
			}
		})
	}
}

// PerAddress counts known clients, of IPv6 by /64, and what it refuses; PHP
// hears nothing of those.
func TestPerAddressIsCounted(t *testing.T) {
	g, b, address := open(t, func(r *Route, o *Options) {
		o.PerAddress = 2
		o.Trust = Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	})
	for _, test := range []struct {
		name, from string
		status, n  int
	}{
		{"the first", "2001:db8:1:2::1", http.StatusSwitchingProtocols, 0},
		{"the second, of the same /64", "2001:db8:1:2:ffff::2", http.StatusSwitchingProtocols, 0},
		{"the third of it", "2001:db8:1:2::3", http.StatusServiceUnavailable, 1},
		{"one of the next /64", "2001:db8:1:3::1", http.StatusSwitchingProtocols, 1},
		{"one of IPv4", "198.51.100.9", http.StatusSwitchingProtocols, 1},
		{"a second", "198.51.100.9", http.StatusSwitchingProtocols, 1},
		{"a third", "198.51.100.9", http.StatusServiceUnavailable, 2},
		{"its neighbour", "198.51.100.8", http.StatusSwitchingProtocols, 2},
	} {
		r := connect(t, address, lines("/ws", "X-Forwarded-For: "+test.from)).response()
		if n := handshakes(g, "address"); r.StatusCode != test.status || n != test.n {
			t.Errorf("%s: %s, %d counted; want %d, %d", test.name, r.Status, n, test.status, test.n)
		}
	}
	if heard := b.heard(); len(heard) != 0 {
		t.Errorf("PHP heard of %q", heard)
	}
}
