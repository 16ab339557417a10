package config

import (
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// small is the smallest file that is complete.
const small = "[fastcgi]\naddress = /run/php/ws.sock\n[route /ws]\nscript = /var/www/ws.php\n"

func TestDefaults(t *testing.T) {
	got, err := Parse("a.conf", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listeners:             []Listener{{Network: "tcp", Address: "127.0.0.1:8080", Mode: 0o660}},
		Log:                   "text",
		LogLevel:              slog.LevelInfo,
		Drain:                 25 * time.Second,
		MaxConnections:        50000,
		MaxHandshakes:         1024,
		HandshakeTimeout:      10 * time.Second,
		ConnectionsPerAddress: 200,
		Buffers:               256 << 20,
		Ping:                  25 * time.Second,
		Pong:                  10 * time.Second,
		Pools: []Pool{{
			Name: "default", Network: "unix", Address: "/run/php/ws.sock",
			MaxConns: 4, MaxStreams: 2, KeepAlive: time.Second, KeepAliveBody: 8192,
			ConnectTimeout: time.Second, Timeout: 30 * time.Second,
			StreamTimeout: 30 * time.Second, MaxStream: 10 * time.Minute,
			Queue: 1024, QueueTimeout: 5 * time.Second,
		}},
		Routes: []Route{{
			Prefix: "/ws", Script: "/var/www/ws.php", Root: "/var/www", Pool: "default",
			Events: []string{"message"}, Origins: []string{"same"},
			MaxMessage: 1 << 20, MaxReply: 8 << 20, Fragment: 64 << 10,
			ContentType: "auto", OnError: "message", MessageRate: 200,
			Outbox: 1 << 20, Waiting: 64,
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse =\n%+v; want\n%+v", got, want)
	}
}

func TestEverythingSet(t *testing.T) {
	data, err := os.ReadFile("testdata/everything.conf")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("everything.conf", data)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listeners: []Listener{
			{Network: "tcp", Address: "127.0.0.1:8081", Mode: 0o660},
			{Network: "tcp", Address: "[::1]:8081", Mode: 0o660},
			{Network: "unix", Address: "/run/ws-fpm/public.sock", Mode: 0o660},
			{Name: "inside", Network: "unix", Address: "/run/ws-fpm/inside.sock", Mode: 0o666, Group: "www-data"},
			{Name: "outside", Network: "tcp", Address: ":8443", Mode: 0o660, TLSCert: "/etc/ws-fpm/cert.pem", TLSKey: "/etc/ws-fpm/key.pem"},
			{Name: "passed", Network: "systemd", Address: "ws-fpm", Mode: 0o660},
		},
		Log:              "json",
		LogLevel:         slog.LevelWarn,
		Drain:            40 * time.Second,
		MaxConnections:   1000,
		MaxHandshakes:    100,
		HandshakeTimeout: 5 * time.Second,
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
		},
		TrustUnix:             true,
		ConnectionsPerAddress: 20,
		Buffers:               64 << 20,
		Ping:                  50 * time.Second,
		Pong:                  20 * time.Second,
		Pools: []Pool{
			{
				Name: "default", Network: "unix", Address: "/run/php/ws.sock",
				MaxConns: 8, MaxStreams: 3, KeepAlive: 0, KeepAliveBody: 4096,
				ConnectTimeout: 500 * time.Millisecond, Timeout: 90 * time.Second,
				StreamTimeout: 15 * time.Second, MaxStream: time.Hour,
				Queue: 10, QueueTimeout: 2 * time.Second, Multiplex: true,
			},
			{
				Name: "other", Network: "tcp", Address: "php.example:9000",
				MaxConns: 4, MaxStreams: 2, KeepAlive: time.Second, KeepAliveBody: 8192,
				ConnectTimeout: time.Second, Timeout: 30 * time.Second,
				StreamTimeout: 30 * time.Second, MaxStream: 10 * time.Minute,
				Queue: 1024, QueueTimeout: 5 * time.Second,
			},
		},
		Routes: []Route{{
			Prefix: "/ws", Script: "/var/www/app/public/ws.php", Root: "/var/www/app", Pool: "other",
			Events:       []string{"connect", "message", "disconnect"},
			Origins:      []string{"same", "https://www.example.com", "http://localhost:3000"},
			Subprotocols: []string{"chat.v2", "chat.v1"},
			MaxMessage:   2 << 20, MaxReply: 4 << 20, Fragment: 16 << 10,
			ContentType: "application/x-www-form-urlencoded; charset=utf-8", OnError: "close",
			MessageRate: 10, Outbox: 256 << 10, Waiting: 8, Compression: true,
		}},
		Control: &Control{
			Network: "tcp", Address: "127.0.0.1:9081", Mode: 0o660,
			TokenFile: "/etc/ws-fpm/token", API: "http://ws-fpm:9081/api",
			MetricsNetwork: "tcp", MetricsAddress: ":9082",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse =\n%+v; want\n%+v", got, want)
	}
}

func TestComputedDefaults(t *testing.T) {
	parse := func(t *testing.T, text string) *Config {
		t.Helper()
		cfg, err := Parse("a.conf", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	for conns, streams := range map[string]int{"1": 1, "2": 1, "3": 1, "4": 2, "9": 4} {
		cfg := parse(t, strings.Replace(small, "[route", "max_conns = "+conns+"\n[route", 1))
		if got := cfg.Pools[0].MaxStreams; got != streams {
			t.Errorf("max_conns = %s gives max_streams %d, want %d", conns, got, streams)
		}
	}
	cfg := parse(t, small+"[listen a]\naddress = /run/a.sock\n")
	if len(cfg.Listeners) != 1 || cfg.Listeners[0].Name != "a" {
		t.Errorf("with [listen a] alone, listeners are %+v; want it alone", cfg.Listeners)
	}
	cfg = parse(t, small+"[listen a]\naddress = :0\n[listen b]\naddress = :0\n")
	if len(cfg.Listeners) != 2 {
		t.Errorf("two listeners on ports that the system picks: %+v", cfg.Listeners)
	}
	for header, prefix := range map[string]string{"/": "/", "/ws": "/ws", "/ws/": "/ws", "/ws/room/": "/ws/room"} {
		cfg = parse(t, strings.Replace(small, "/ws]", header+"]", 1))
		if got := cfg.Routes[0].Prefix; got != prefix {
			t.Errorf("[route %s] has the prefix %q, want %q", header, got, prefix)
		}
	}
	cfg = parse(t, strings.Replace(small, "/var/www/ws.php", "/ws.php", 1))
	if got := cfg.Routes[0].Root; got != "/" {
		t.Errorf("root of /ws.php = %q, want /", got)
	}
	cfg = parse(t, small+"[control]\nlisten = /run/c.sock\n")
	if got := cfg.Control.API; got != "unix:/run/c.sock" {
		t.Errorf("api = %q, want unix:/run/c.sock", got)
	}
	cfg = parse(t, small+"[control]\nlisten = [::1]:9081\ntoken_file = /t\n")
	if got := cfg.Control.API; got != "http://[::1]:9081" {
		t.Errorf("api = %q, want http://[::1]:9081", got)
	}
	if cfg := parse(t, small); cfg.Control != nil {
		t.Errorf("Control = %+v without a section, want nil", cfg.Control)
	}
}

func TestReference(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Reference() {
		id := k.Section + " " + k.Key
		if seen[id] {
			t.Errorf("%s stands twice", id)
		}
		seen[id] = true
		if k.Want == "" || k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: want %q, doc %q; both are needed, and a full stop", id, k.Want, k.Doc)
		}
		if k.Required && k.Default != "" {
			t.Errorf("%s is required and has a default", id)
		}
	}
	if len(seen) != 12+5+12+15+8 {
		t.Errorf("%d keys, want 52", len(seen))
	}
}
