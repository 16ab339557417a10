package config

import (
	"strings"
	"testing"
)

func TestParseTime(t *testing.T) {
	tests := []struct {
		in string
		ns int64
		ok bool
	}{
		{"0", 0, true},
		{"0s", 0, true},
		{"1ms", 1e6, true},
		{"500ms", 500e6, true},
		{"25s", 25e9, true},
		{"10m", 600e9, true},
		{"1h", 3600e9, true},
		{"1h30m", 5400e9, true},
		{"1h2m3s4ms", 3723004e6, true},
		{"2562047h", 2562047 * 3600e9, true},
		{"2562047h47m16s854ms", 9223372036854e6, true},
		{"2562047h47m16s855ms", 0, false}, // over 63 bits of nanoseconds
		{"2562048h", 0, false},
		{"9223372036854775808ms", 0, false},
		{"", 0, false},
		{"s", 0, false},
		{"25", 0, false},
		{"00", 0, false},
		{"1s1h", 0, false}, // units descend
		{"1s1s", 0, false},
		{"1m1", 0, false},
		{"1 s", 0, false},
		{"1S", 0, false},
		{"-1s", 0, false},
		{"+1s", 0, false},
		{"1.5s", 0, false},
		{"1us", 0, false},
		{"1d", 0, false},
		{"1min", 0, false},
	}
	for _, test := range tests {
		if ns, ok := parseTime(test.in); ok != test.ok || ok && ns != test.ns {
			t.Errorf("parseTime(%q) = %d, %v; want %d, %v", test.in, ns, ok, test.ns, test.ok)
		}
	}
}

func TestParseSize(t *testing.T) {
	tests := []struct {
		in string
		n  int64
		ok bool
	}{
		{"0", 0, true},
		{"1", 1, true},
		{"1k", 1 << 10, true},
		{"1K", 1 << 10, true},
		{"1m", 1 << 20, true},
		{"1M", 1 << 20, true},
		{"1g", 1 << 30, true},
		{"1G", 1 << 30, true},
		{"9223372036854775807", 1<<63 - 1, true},
		{"9223372036854775808", 0, false},
		{"8589934591G", 8589934591 << 30, true},
		{"8589934592G", 0, false}, // 2^63
		{"", 0, false},
		{"k", 0, false},
		{"1kb", 0, false},
		{"1KiB", 0, false},
		{"1 k", 0, false},
		{"-1", 0, false},
		{"1.5k", 0, false},
		{"1T", 0, false},
	}
	for _, test := range tests {
		if n, ok := parseSize(test.in); ok != test.ok || ok && n != test.n {
			t.Errorf("parseSize(%q) = %d, %v; want %d, %v", test.in, n, ok, test.n, test.ok)
		}
	}
}

func TestParseAddress(t *testing.T) {
	tests := []struct{ in, network, address string }{
		{"unix:/a", "unix", "/a"},
		{"/a", "unix", "/a"},
		{"127.0.0.1:80", "tcp", "127.0.0.1:80"},
		{"127.0.0.1:080", "tcp", "127.0.0.1:80"},
		{":80", "tcp", ":80"},
		{"Example.ORG:80", "tcp", "example.org:80"},
		{"[0:0::1]:80", "tcp", "[::1]:80"},
		{"[FE80::1%eth0]:80", "tcp", "[fe80::1%eth0]:80"},
	}
	for _, test := range tests {
		network, address, problem := parseAddress(test.in)
		if network != test.network || address != test.address || problem != "" {
			t.Errorf("parseAddress(%q) = %q, %q, %q; want %q, %q", test.in, network, address, problem, test.network, test.address)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	tests := []struct{ in, want string }{
		{"https://a.example", "https://a.example"},
		{"HTTPS://A.example", "https://a.example"},
		{"https://a.example:443", "https://a.example"},
		{"http://a.example:80", "http://a.example"},
		{"http://a.example:443", "http://a.example:443"},
		{"https://a.example:8443", "https://a.example:8443"},
		{"http://[0::1]:3000", "http://[::1]:3000"},
		{"http://[::1]", "http://[::1]"},
		{"chrome-extension://abc", "chrome-extension://abc"},
	}
	for _, test := range tests {
		if got, problem := parseOrigin(test.in); got != test.want || problem != "" {
			t.Errorf("parseOrigin(%q) = %q, %q; want %q", test.in, got, problem, test.want)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, s := range []string{"/", "/ws", "/ws/", "/a/b.c/~d", "/größe", "/...", "/a:b@c", long(255)} {
		if problem := checkPrefix(s); problem != "" {
			t.Errorf("checkPrefix(%q) = %q; want it accepted", s, problem)
		}
	}
	for _, s := range []string{"", "ws", "//", "//ws", "/a//b", "/a//", "/.", "/..", "/a/.", "/a/../b", "/a%2fb", `/a\b`, "/a?b", "/a#b", "/a b", "/*", long(256)} {
		if problem := checkPrefix(s); problem == "" {
			t.Errorf("checkPrefix(%q) accepts it", s)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:1": true, "[::1]:1": true, "localhost:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example:1": false, "localhost.example:1": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("isLoopback(%q) = %v; want %v", address, got, want)
		}
	}
}

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "www": true, "a.b-c_D9": true, strings.Repeat("a", 64): true,
		"": false, "a b": false, "a/b": false, "ä": false, strings.Repeat("a", 65): false,
	} {
		if got := isName(name); got != want {
			t.Errorf("isName(%q) = %v; want %v", name, got, want)
		}
	}
}

func TestIsHostname(t *testing.T) {
	label := strings.Repeat("a", 63)
	name := strings.Repeat(label+".", 3) + strings.Repeat("a", 61) // 253 bytes
	for host, want := range map[string]bool{
		"a": true, "php-fpm_1.example": true, "1a": true, "127.0.0.1": true, label: true, name: true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "1.2.3": false, "1": false, "127.0.0.256": false,
		label + "a": false, name + "a": false, "a b": false, "ä": false,
	} {
		if got := isHostname(host); got != want {
			t.Errorf("isHostname(%q) = %v; want %v", host, got, want)
		}
	}
}

func TestLongLists(t *testing.T) {
	for items, ok := range map[int]bool{255: true, 256: true, 257: false} {
		list := "p0"
		for i := 1; i < items; i++ {
			list += ", p" + strings.Repeat("x", i)
		}
		_, err := Parse("f", []byte(small+"subprotocols = "+list))
		if (err == nil) != ok || !ok && !strings.HasSuffix(err.Error(), ": want at most 256 items") {
			t.Errorf("%d items: error %v, want one: %v", items, err, !ok)
		}
	}
}
