package gateway

import (
	"net/netip"
	"testing"
	"time"
)

func TestVisitorKey(t *testing.T) {
	trust := Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, test := range []struct {
		name, addr, want string // empty: not counted
	}{
		{"IPv4", "192.0.2.7", "192.0.2.7/32"},
		{"IPv6 counts by its /64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"loopback", "127.0.0.1", ""},
		{"loopback of IPv6", "::1", ""},
		{"a trusted proxy that names no client", "10.1.2.3", ""},
		{"a Unix socket", "unix:", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr, _ := netip.ParseAddr(test.addr)
			key, counted := trust.visitorKey(addr)
			if counted != (test.want != "") || counted && key.String() != test.want {
				t.Errorf("visitorKey(%s) = %v, %t; want %q", test.addr, key, counted, test.want)
			}
		})
	}
}

func TestAddressesAtOneTime(t *testing.T) {
	table := newAddresses(2)
	a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		name string
		key  netip.Prefix
		want bool
	}{
		{"below", a, true}, {"at", a, true}, {"above", a, false}, {"another address", b, true},
	} {
		if got := table.enter(step.key, now) != nil; got != step.want {
			t.Errorf("%s the limit: enter = %t, want %t", step.name, got, step.want)
		}
	}
	table.leave(table.known[a])
	if table.enter(a, now) == nil {
		t.Error("refused after one had left")
	}
}

func TestAddressesPerSecond(t *testing.T) {
	table := newAddresses(1000)
	key := netip.MustParsePrefix("192.0.2.1/32")
	now := time.Unix(1e9, 0)
	take := func() (n int) {
		for v := table.enter(key, now); v != nil; v = table.enter(key, now) {
			table.leave(v)
			n++
		}
		return n
	}
	if n := take(); n != newBurst {
		t.Errorf("%d at once, want %d", n, newBurst)
	}
	now = now.Add(time.Second)
	if n := take(); n != newPerSecond {
		t.Errorf("%d after a second, want %d", n, newPerSecond)
	}
}

// The table is bounded by what matters, not by what has ever come.
func TestAddressesForget(t *testing.T) {
	table := newAddresses(1)
	now := time.Unix(1e9, 0)
	stays := netip.MustParsePrefix("198.51.100.1/32")
	table.enter(stays, now)
	for i := range 100000 {
		key := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		v := table.enter(key, now)
		if v == nil {
			t.Fatalf("address %d refused", i)
		}
		table.leave(v)
		now = now.Add(time.Millisecond)
	}
	if n := len(table.known); n > 5000 {
		t.Errorf("%d addresses known after 100,000 came and went", n)
	}
	if table.enter(stays, now) != nil {
		t.Error("an open connection was forgotten")
	}
}

// A client behind a trusted proxy is counted by its own address, and refused
// before PHP is asked; the proxy itself and this machine are not.
func TestPerAddressThroughHandshakes(t *testing.T) {
	g, r := &Gateway{visitors: newAddresses(2)}, new(route)
	g.inForce.Store(&setup{Options: Options{MaxConnections: 10, PerAddress: 2}})
	trust := Trust{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	var last *visitor
	from := func(client string) (result outcome) {
		p := trust.findPeer(netip.MustParseAddrPort("127.0.0.1:4000"), "http", []string{client}, nil)
		key, _ := trust.visitorKey(p.ip)
		last, result, _ = g.enter(r, key)
		return result
	}
	var stayed *visitor
	for i, want := range []outcome{accepted, accepted, refusedAddress} {
		got := from("198.51.100.9")
		if last != nil {
			stayed = last
		}
		if got != want {
			t.Errorf("connection %d of one client: %s, want %s", i+1, got, want)
		}
	}
	if got := from("198.51.100.10"); got != accepted {
		t.Errorf("another client of the same proxy: %s", got)
	}
	for range 3 {
		if got := from("127.0.0.1"); got != accepted {
			t.Errorf("this machine itself: %s", got)
		}
	}
	g.leave(r, stayed)
	if got := from("198.51.100.9"); got != accepted {
		t.Errorf("after one has left: %s", got)
	}
}

// Handshakes of one address are counted while they last, and forgotten then.
func TestAddressesHandshakes(t *testing.T) {
	table := newAddresses(1)
	key := netip.MustParsePrefix("192.0.2.1/32")
	for i, want := range []bool{true, true, false} { // below, at, above
		if got := table.begin(key, 2); got != want {
			t.Errorf("handshake %d: begin = %t, want %t", i+1, got, want)
		}
	}
	for range 3 {
		table.end(key)
	}
	if !table.begin(key, 2) {
		t.Error("refused after all had ended")
	}
	if table.end(key); len(table.shaking) != 0 {
		t.Errorf("%d addresses remembered", len(table.shaking))
	}
}
