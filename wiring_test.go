package main

import (
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"ws-fpm/config"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
)

// Every setting of the configuration reaches the gateway.
func TestGatewayOptions(t *testing.T) {
	c, err := config.Load(writeConfig(t, `
max_connections = 51
max_handshakes = 52
connections_per_address = 57
handshake_timeout = 53s
trusted_proxies = 10.0.0.0/8, unix
buffers = 54M
ping = 55s
pong = 56s
[fastcgi]
address = /a.sock
[fastcgi b]
address = /b.sock
[route /ws]
script = /srv/app/ws.php
[route /b]
script = /srv/app/b.php
root = /srv
fastcgi = b
events = connect, message
origins = https://a.example
subprotocols = chat, v2
max_message = 2M
max_reply = 3M
fragment = 4k
content_type = text/plain
on_error = close
outbox = 5M
message_rate = 9
waiting = 6
compression = on
`))
	if err != nil {
		t.Fatal(err)
	}
	registry := new(metrics.Registry)
	log := slog.New(slog.DiscardHandler)
	pools, err := newPools(c.Pools, log)
	if err != nil {
		t.Fatal(err)
	}
	observePools(registry, pools)
	got := gatewayOptions(c, pools.set(), log)
	want := gateway.Options{
		Trust:          gateway.Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Unix: true},
		MaxConnections: 51, PerAddress: 57, MaxHandshakes: 52, HandshakeTimeout: 53 * time.Second,
		Buffers: 54 << 20, Ping: 55 * time.Second, Pong: 56 * time.Second,
		Software: "ws-fpm/" + version, Logger: log,
		Routes: []gateway.Route{{
			Prefix: "/ws", Script: "/srv/app/ws.php", Root: "/srv/app", Backend: pools.set()["default"].client, Events: []string{"message"},
			Origins: []string{"same"}, MaxMessage: 1 << 20, MessageRate: 200, MaxReply: 8 << 20, Fragment: 64 << 10, Outbox: 1 << 20, Waiting: 64,
			ContentType: "auto", OnError: gateway.OnErrorMessage,
		}, {
			Prefix: "/b", Script: "/srv/app/b.php", Root: "/srv", Backend: pools.set()["b"].client, Events: []string{"connect", "message"},
			Origins: []string{"https://a.example"}, Subprotocols: []string{"chat", "v2"}, MaxMessage: 2 << 20, MessageRate: 9, MaxReply: 3 << 20,
			Fragment: 4 << 10, Outbox: 5 << 20, Waiting: 6, ContentType: "text/plain", OnError: gateway.OnErrorClose, Compression: true,
		}},
	}
	if got.MemoryShort == nil {
		t.Error("the gateway is not told when memory is short")
	}
	got.MemoryShort = nil // functions cannot be compared
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}

	var text output
	if err := registry.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, series := range []string{`ws_fpm_pool_connections{pool="default",state="idle"} 0`, `ws_fpm_pool_requests_total{pool="b",result="completed"} 0`} {
		if !strings.Contains(text.String(), series) {
			t.Errorf("no %s", series)
		}
	}
}

// Clients, handshakes and php-fpm together fit the descriptor limit, and
// php-fpm's part is nobody else's.
func TestDescriptorsFor(t *testing.T) {
	pools := []config.Pool{{MaxConns: 4}, {MaxConns: 16}}
	for _, test := range []struct {
		name                   string
		limit, maxHandshakes   int
		clients, wantHandshake int
	}{
		{"the shipped unit", 131072, 1024, 131072 - 1024 - 20 - reserve, 1024},
		{"a shell's limit", 1024, 1024, 1024 - 256 - 20 - reserve, 256},
		{"few handshakes wanted", 1024, 10, 1024 - 10 - 20 - reserve, 10},
		{"next to nothing", 64, 1024, 1, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			clients, handshakes := descriptorsFor(test.limit, test.maxHandshakes, pools)
			if clients != test.clients || handshakes != test.wantHandshake {
				t.Errorf("%d clients and %d handshakes; want %d and %d", clients, handshakes, test.clients, test.wantHandshake)
			}
		})
	}
	c := &config.Config{MaxConnections: 1 << 30, MaxHandshakes: 1}
	if got, limit := gatewayOptions(c, nil, nil).MaxConnections, descriptorLimit(); got >= limit {
		t.Errorf("%d clients with a limit of %d descriptors", got, limit)
	}
	c.MaxConnections = 1
	if got := gatewayOptions(c, nil, nil).MaxConnections; got != 1 {
		t.Errorf("MaxConnections is %d; want what is configured, 1", got)
	}
}

// What is written in pieces is logged in lines.
func TestLineLogger(t *testing.T) {
	var text output
	w := &lineLogger{log: slog.New(slog.NewTextHandler(&text, nil))}
	for _, piece := range []string{"# HELP a\na ", "1\n", "\nb{c=\"d\"} 2\nrest"} {
		w.Write([]byte(piece))
	}
	if got := strings.Count(text.String(), "msg=metric"); got != 2 ||
		!strings.Contains(text.String(), `series="a 1"`) || !strings.Contains(text.String(), `series="b{c=\"d\"} 2"`) {
		t.Errorf("logged:\n%s", &text)
	}
}
