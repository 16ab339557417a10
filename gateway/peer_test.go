package gateway

import (
	"net/netip"
	"testing"
)

func trust(unix bool, prefixes ...string) Trust {
	t := Trust{Unix: unix}
	for _, p := range prefixes {
		t.Prefixes = append(t.Prefixes, netip.MustParsePrefix(p))
	}
	return t
}

func TestFindPeerAddress(t *testing.T) {
	ten := trust(false, "10.0.0.0/8")
	both := trust(false, "10.0.0.0/8", "fd00::/8")
	tests := []struct {
		name      string
		trust     Trust
		remote    string
		forwarded []string
		addr      string
		port      string
	}{
		{"nobody is trusted", Trust{}, "10.0.0.1:5000", []string{"1.2.3.4"}, "10.0.0.1", "5000"},
		{"another is trusted", ten, "11.0.0.1:5000", []string{"1.2.3.4"}, "11.0.0.1", "5000"},
		{"IPv4 in IPv6 is IPv4", Trust{}, "[::ffff:11.0.0.1]:5000", nil, "11.0.0.1", "5000"},
		{"a zone is not of the address", Trust{}, "[fe80::1%eth0]:5000", nil, "fe80::1", "5000"},
		{"a proxy that says nothing", ten, "10.0.0.1:5000", nil, "10.0.0.1", "5000"},
		{"a proxy that says an empty thing", ten, "10.0.0.1:5000", []string{""}, "10.0.0.1", "5000"},
		{"one hop", ten, "10.0.0.1:5000", []string{"1.2.3.4"}, "1.2.3.4", "0"},
		{"a proxy in IPv4 in IPv6", ten, "[::ffff:10.0.0.1]:5000", []string{"1.2.3.4"}, "1.2.3.4", "0"},
		{"a proxy with a zone", trust(false, "fe80::/10"), "[fe80::1%eth0]:5000", []string{"1.2.3.4"}, "1.2.3.4", "0"},
		{"left of the client is made up", ten, "10.0.0.1:5000", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4", "0"},
		{"a trusted address left of the client is made up too", ten, "10.0.0.1:5000", []string{"10.9.9.9, 1.2.3.4"}, "1.2.3.4", "0"},
		{"two proxies", ten, "10.0.0.1:5000", []string{"1.2.3.4, 10.0.0.2"}, "1.2.3.4", "0"},
		{"two proxies, one a line", ten, "10.0.0.1:5000", []string{"1.2.3.4", "10.0.0.2"}, "1.2.3.4", "0"},
		{"all are trusted", ten, "10.0.0.1:5000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3", "0"},
		{"no white space", ten, "10.0.0.1:5000", []string{"6.6.6.6,1.2.3.4"}, "1.2.3.4", "0"},
		{"tabs", ten, "10.0.0.1:5000", []string{"6.6.6.6,\t1.2.3.4\t"}, "1.2.3.4", "0"},
		{"empty elements count for nothing", ten, "10.0.0.1:5000", []string{"1.2.3.4, , 10.0.0.2,"}, "1.2.3.4", "0"},
		{"a port", ten, "10.0.0.1:5000", []string{"1.2.3.4:99"}, "1.2.3.4", "99"},
		{"IPv6", ten, "10.0.0.1:5000", []string{"2001:DB8::0:1"}, "2001:db8::1", "0"},
		{"IPv6 in brackets", ten, "10.0.0.1:5000", []string{"[2001:db8::1]"}, "2001:db8::1", "0"},
		{"IPv6 with a port", ten, "10.0.0.1:5000", []string{"[2001:db8::1]:99"}, "2001:db8::1", "99"},
		{"IPv6 with a zone", ten, "10.0.0.1:5000", []string{"fe80::1%eth0"}, "fe80::1", "0"},
		{"a trusted hop in IPv6", both, "10.0.0.1:5000", []string{"1.2.3.4, fd00::2"}, "1.2.3.4", "0"},
		{"a trusted hop in IPv4 in IPv6", ten, "10.0.0.1:5000", []string{"1.2.3.4, ::ffff:10.0.0.2"}, "1.2.3.4", "0"},
		{"a trusted hop with a port", ten, "10.0.0.1:5000", []string{"1.2.3.4, 10.0.0.2:81"}, "1.2.3.4", "0"},
		{"a word ends the walk", ten, "10.0.0.1:5000", []string{"1.2.3.4, unknown"}, "10.0.0.1", "5000"},
		{"a word behind a trusted hop ends it there", ten, "10.0.0.1:5000", []string{"1.2.3.4, _x, 10.0.0.2"}, "10.0.0.2", "0"},
		{"a port that is none", ten, "10.0.0.1:5000", []string{"1.2.3.4:65536"}, "10.0.0.1", "5000"},
		{"a port without an address", ten, "10.0.0.1:5000", []string{":80"}, "10.0.0.1", "5000"},
		{"IPv4 in brackets", ten, "10.0.0.1:5000", []string{"[1.2.3.4]"}, "10.0.0.1", "5000"},
		{"brackets twice", ten, "10.0.0.1:5000", []string{"[[2001:db8::1]]"}, "10.0.0.1", "5000"},
		{"brackets the wrong way round", ten, "10.0.0.1:5000", []string{"]2001:db8::1["}, "10.0.0.1", "5000"},
		{"a bracket that stays open", ten, "10.0.0.1:5000", []string{"[2001:db8::1"}, "10.0.0.1", "5000"},
		{"quotes", ten, "10.0.0.1:5000", []string{`"1.2.3.4"`}, "10.0.0.1", "5000"},
		{"an octet with a zero in front", ten, "10.0.0.1:5000", []string{"1.2.3.04"}, "10.0.0.1", "5000"},
		{"a prefix", ten, "10.0.0.1:5000", []string{"1.2.3.0/24"}, "10.0.0.1", "5000"},
		{"a Unix socket", Trust{}, "", []string{"1.2.3.4"}, "unix:", "0"},
		{"a Unix socket while addresses are trusted", ten, "", []string{"1.2.3.4"}, "unix:", "0"},
		{"a trusted Unix socket", trust(true), "", []string{"1.2.3.4"}, "1.2.3.4", "0"},
		{"a trusted Unix socket that says nothing", trust(true), "", nil, "unix:", "0"},
		{"trust in Unix sockets alone", trust(true), "10.0.0.1:5000", []string{"1.2.3.4"}, "10.0.0.1", "5000"},
	}
	for _, test := range tests {
		remote, _ := netip.ParseAddrPort(test.remote)
		p := test.trust.findPeer(remote, "http", test.forwarded, nil)
		if p.addr != test.addr || p.port != test.port {
			t.Errorf("%s: %s behind %s is %s port %s; want %s port %s", test.name, test.forwarded, test.remote, p.addr, p.port, test.addr, test.port)
		}
	}
}

func TestFindPeerScheme(t *testing.T) {
	ten := trust(false, "10.0.0.0/8")
	tests := []struct {
		name   string
		remote string
		own    string // of the socket itself
		proto  []string
		scheme string
		said   bool
	}{
		{"a stranger is not asked", "11.0.0.1:1", "http", []string{"https"}, "http", false},
		{"a stranger over TLS", "11.0.0.1:1", "https", []string{"http"}, "https", false},
		{"a proxy that says nothing", "10.0.0.1:1", "http", nil, "http", false},
		{"https", "10.0.0.1:1", "http", []string{"https"}, "https", true},
		{"http", "10.0.0.1:1", "https", []string{"http"}, "http", true},
		{"upper case", "10.0.0.1:1", "http", []string{"HTTPS"}, "https", true},
		{"the nearest proxy wrote last", "10.0.0.1:1", "http", []string{"http, https"}, "https", true},
		{"and in the last line", "10.0.0.1:1", "http", []string{"https", "http"}, "http", true},
		{"white space", "10.0.0.1:1", "http", []string{"http,\thttps "}, "https", true},
		{"wss, as some say of WebSockets", "10.0.0.1:1", "http", []string{"wss"}, "https", true},
		{"ws likewise", "10.0.0.1:1", "https", []string{"ws"}, "http", true},
		{"nothing in the list", "10.0.0.1:1", "http", []string{""}, "http", false},
		{"nothing at the list's end", "10.0.0.1:1", "http", []string{"https,"}, "http", false},
		{"another word", "10.0.0.1:1", "http", []string{"on"}, "http", false},
		{"another word at the list's end", "10.0.0.1:1", "http", []string{"https, ftp"}, "http", false},
	}
	for _, test := range tests {
		p := ten.findPeer(netip.MustParseAddrPort(test.remote), test.own, nil, test.proto)
		if p.scheme != test.scheme || p.told != test.said {
			t.Errorf("%s: %q from %s gives %s, told %v; want %s, %v", test.name, test.proto, test.remote, p.scheme, p.told, test.scheme, test.said)
		}
	}
}
