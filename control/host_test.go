package control

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

var hostTests = []struct {
	name, host string
	want       bool
}{
	{"localhost", "localhost", true},
	{"localhost with a port", "localhost:9081", true},
	{"another port, for it may be forwarded", "localhost:1", true},
	{"the highest port", "localhost:65535", true},
	{"in capitals", "LocalHost:9081", true},
	{"an address", "127.0.0.1:9081", true},
	{"another loopback address", "127.255.255.254", true},
	{"IPv6", "[::1]:9081", true},
	{"IPv6 without a port", "[::1]", true},
	{"IPv6 in another form", "[0:0:0:0:0:0:0:1]", true},
	{"a name of the list", "ws.internal:9081", true},
	{"a name of the list in capitals", "WS.Internal", true},
	{"an address of the list", "10.0.0.7:9081", true},
	{"an IPv6 address of the list in another form", "[fd00:0::7]:9081", true},

	{"nothing", "", false},
	{"another name", "evil.example", false},
	{"another name with our port", "evil.example:9081", false},
	{"a name that begins so", "localhost.evil.example", false},
	{"a name that ends so", "evil.localhost", false},
	{"a name that ends so without a dot", "evillocalhost:9081", false},
	{"a name that begins with an address", "127.0.0.1.evil.example", false},
	{"a name that ends like one of the list", "evil.ws.internal", false},
	{"the root's dot", "localhost.", false},
	{"an address that is not loopback", "192.0.2.1", false},
	{"one below the loopback addresses", "126.255.255.255", false},
	{"one above them", "128.0.0.0", false},
	{"any address", "0.0.0.0:9081", false},
	{"any IPv6 address", "[::]:9081", false},
	{"IPv6 one above", "[::2]", false},
	{"an address in short", "127.1", false},
	{"an address as a number", "2130706433", false},
	{"an address in hexadecimal", "0x7f.0.0.1", false},
	{"an address in octal", "0177.0.0.1", false},
	{"IPv4 in brackets", "[127.0.0.1]", false},
	{"a name in brackets", "[localhost]", false},
	{"IPv6 without brackets", "::1", false},
	{"IPv6 without brackets and a port", "::1:9081", false},
	{"a zone", "[::1%25lo]:9081", false},
	{"an open bracket", "[::1", false},
	{"a closed bracket", "::1]", false},
	{"text behind the bracket", "[::1]x:9081", false},
	{"an empty port", "localhost:", false},
	{"port 0", "localhost:0", false},
	{"a port with a zero in front", "localhost:080", false},
	{"a port one too high", "localhost:65536", false},
	{"a port that is a name", "localhost:http", false},
	{"a port with a sign", "localhost:+80", false},
	{"two ports", "localhost:80:80", false},
	{"a user", "user@localhost", false},
	{"localhost as a user", "localhost@evil.example", false},
	{"a path", "localhost/x", false},
	{"a list", "localhost,evil.example", false},
	{"a space", "localhost ", false},
	{"a NUL", "localhost\x00", false},
	{"a letter that only looks like one, U+017F", "localho\u017ft", false},
}

var hostList = []string{"ws.internal", "10.0.0.7", "fd00::7"}

func TestHostAllowed(t *testing.T) {
	for _, test := range hostTests {
		t.Run(test.name, func(t *testing.T) {
			if got := hostAllowed(test.host, hostList); got != test.want {
				t.Errorf("hostAllowed(%q) = %v; want %v", test.host, got, test.want)
			}
		})
	}
}

func TestHostName(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ name, in, want string }{
		{"a name", "WS-1.Internal", "ws-1.internal"},
		{"a container's name", "ws_fpm", "ws_fpm"},
		{"a label at its longest", long + ".x", long + ".x"},
		{"a label one longer", long + "a.x", ""},
		{"a name at its longest", strings.Repeat(long+".", 3) + long[:61], strings.Repeat(long+".", 3) + long[:61]},
		{"a name one longer", strings.Repeat(long+".", 3) + long[:62], ""},
		{"IPv6 without brackets", "FD00::1", "fd00::1"},
		{"IPv6 in brackets", "[fd00::1]", "fd00::1"},
		{"IPv4 in IPv6", "::ffff:10.0.0.7", "10.0.0.7"},
		{"with a port", "ws.internal:80", ""},
		{"an address in short", "127.1", ""},
		{"an address as a number", "2130706433", ""},
		{"an address in hexadecimal", "0x7f.0.0.1", ""},
		{"a label that begins with a digit, but not the last", "1a.b", "1a.b"},
		{"an empty label", "a..b", ""},
		{"a dash in front", "-a", ""},
		{"a dash at the end", "a-.b", ""},
		{"a wildcard", "*.internal", ""},
		{"nothing", "", ""},
		{"empty brackets", "[]", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := hostName(test.in)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("hostName(%q) = %q, %v; want %q", test.in, got, ok, test.want)
			}
		})
	}
}

// FuzzHostAllowed: a Host that is let in means, to net/url too, localhost, a
// loopback address, or what is listed.
func FuzzHostAllowed(f *testing.F) {
	for _, test := range hostTests {
		f.Add(test.host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !hostAllowed(host, hostList) {
			return
		}
		u, err := url.Parse("http://" + host + "/")
		if err != nil || u.Host != host {
			t.Fatalf("hostAllowed(%q), which is no host: %v", host, err)
		}
		name := strings.ToLower(u.Hostname())
		addr, err := netip.ParseAddr(name)
		if err == nil {
			name = addr.Unmap().String()
		}
		if name != "localhost" && !slices.Contains(hostList, name) && (err != nil || !addr.IsLoopback()) {
			t.Errorf("hostAllowed(%q) lets in %q", host, name)
		}
	})
}
