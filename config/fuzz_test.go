package config

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzConfig: no file makes the parser panic, no accepted value is outside its
// range, and every error is text that a terminal shows as it is.
func FuzzConfig(f *testing.F) {
	everything, err := os.ReadFile("testdata/everything.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(everything)
	f.Add([]byte(small))
	f.Add([]byte("\ufefflisen = \"a\\\"\", b ; c\r\n[fastcgi]\n[route /\xff]\n[[]\n=\n\x00"))
	for _, r := range rangeRows() {
		good, _, _ := strings.Cut(r.good, "|")
		f.Add([]byte(fileWith(r.section, r.key, good)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data)
		switch {
		case (cfg == nil) != (err != nil):
			t.Fatalf("Parse = %v, %v; want one of them", cfg, err)
		case err != nil:
			checkReport(t, err.Error())
		default:
			checkInRange(t, cfg)
		}
	})
}

func checkReport(t *testing.T, report string) {
	if !utf8.ValidString(report) || strings.ContainsFunc(report, func(r rune) bool { return r < ' ' && r != '\n' || 0x7f <= r && r < 0xa0 }) {
		t.Errorf("the report has bytes that are no text: %q", report)
	}
	for l := range strings.SplitSeq(report, "\n") {
		if !strings.HasPrefix(l, "f:") || len(l) > 1000 {
			t.Errorf("a line of the report is %q", l)
		}
	}
}

// checkInRange says again, and apart from the parser's tables, what a caller may
// rely on.
func checkInRange(t *testing.T, c *Config) {
	ranges := []struct {
		name               string
		value, least, most int64
	}{
		{"drain", int64(c.Drain), 1e6, int64(time.Hour)},
		{"max_connections", int64(c.MaxConnections), 1, 10_000_000},
		{"max_handshakes", int64(c.MaxHandshakes), 1, 1_000_000},
		{"handshake_timeout", int64(c.HandshakeTimeout), 1e6, int64(5 * time.Minute)},
		{"connections_per_address", int64(c.ConnectionsPerAddress), 1, 1_000_000},
		{"buffers", c.Buffers, 64 << 10, 1 << 40},
		{"ping", int64(c.Ping), 1e8, int64(time.Hour)},
		{"pong", int64(c.Pong), 1e8, int64(time.Hour)},
		{"listeners", int64(len(c.Listeners)), 1, MaxFile},
		{"routes", int64(len(c.Routes)), 1, MaxFile},
		{"pools", int64(len(c.Pools)), 1, MaxFile},
	}
	add := func(name string, value, least, most int64) {
		ranges = append(ranges, struct {
			name               string
			value, least, most int64
		}{name, value, least, most})
	}
	var pools []string
	for _, p := range c.Pools {
		pools = append(pools, p.Name)
		add("max_conns", int64(p.MaxConns), 1, 100_000)
		add("max_streams", int64(p.MaxStreams), 1, int64(p.MaxConns))
		add("keep_alive", int64(p.KeepAlive), 0, int64(time.Hour))
		add("keep_alive_body", p.KeepAliveBody, 1, 1<<30)
		add("connect_timeout", int64(p.ConnectTimeout), 1e6, int64(time.Minute))
		add("timeout", int64(p.Timeout), 1e6, int64(24*time.Hour))
		add("stream_timeout", int64(p.StreamTimeout), 1e6, int64(24*time.Hour))
		add("max_stream", int64(p.MaxStream), 1e6, int64(24*time.Hour))
		add("queue", int64(p.Queue), 1, 1_000_000)
		add("queue_timeout", int64(p.QueueTimeout), 1e6, int64(10*time.Minute))
		checkListening(t, p.Network, p.Address)
	}
	for _, r := range c.Routes {
		add("max_message", r.MaxMessage, 1, 1<<30)
		add("max_reply", r.MaxReply, 1, 1<<30)
		add("fragment", r.Fragment, 128, 16<<20)
		add("message_rate", int64(r.MessageRate), 1, 1_000_000)
		add("outbox", r.Outbox, 1<<10, 1<<30)
		add("waiting", int64(r.Waiting), 1, 100_000)
		if !slices.Contains(pools, r.Pool) || len(r.Events) == 0 || len(r.Origins) == 0 || r.ContentType == "" || r.OnError == "" {
			t.Errorf("an accepted route is not complete: %+v", r)
		}
		if r.Prefix[0] != '/' || len(r.Prefix) > 1 && r.Prefix[len(r.Prefix)-1] == '/' || !strings.HasPrefix(r.Script, strings.TrimSuffix(r.Root, "/")+"/") {
			t.Errorf("an accepted route has prefix %q, root %q, script %q", r.Prefix, r.Root, r.Script)
		}
	}
	for _, l := range c.Listeners {
		if l.Network != "systemd" {
			checkListening(t, l.Network, l.Address)
		}
		add("mode", int64(l.Mode), 0, 0o777)
	}
	if c.Control != nil {
		checkListening(t, c.Control.Network, c.Control.Address)
		add("mode", int64(c.Control.Mode), 0, 0o777)
	}
	for _, r := range ranges {
		if r.value < r.least || r.value > r.most {
			t.Errorf("%s = %d is accepted, want %d to %d", r.name, r.value, r.least, r.most)
		}
	}
}

func checkListening(t *testing.T, network, address string) {
	ok := network == "tcp" && strings.Contains(address, ":") ||
		network == "unix" && strings.HasPrefix(address, "/") && len(address) <= 107
	if !ok {
		t.Errorf("accepted the address %q %q", network, address)
	}
}
