package websocket

import (
	"strings"
	"testing"
)

func TestOriginAllowed(t *testing.T) {
	list := []string{"https://app.example.com", "http://localhost:3000", "chrome-extension://abcdef", "not an origin"}
	for _, test := range []struct {
		name, origin, host, scheme string
		allowed                    []string
		want                       bool
	}{
		{"none: not a browser", "", "example.com", "https", nil, true},
		{"null", "null", "example.com", "https", nil, false},
		{"null, with a list", "null", "example.com", "https", list, false},
		{"null, listed by mistake", "null", "example.com", "https", []string{"null"}, false},
		{"null, where any may", "null", "example.com", "https", []string{"*"}, true},

		{"same host", "https://example.com", "example.com", "https", nil, true},
		{"same host, scheme unknown", "https://example.com", "example.com", "", nil, true},
		{"same host, letters of another case", "HTTPS://Example.COM", "eXample.com", "https", nil, true},
		{"same host and port", "http://localhost:8080", "localhost:8080", "http", nil, true},
		{"same IPv4", "http://127.0.0.1:8080", "127.0.0.1:8080", "http", nil, true},
		{"same IPv6", "http://[::1]:8080", "[::1]:8080", "http", nil, true},
		{"same IPv6 without a port", "http://[2001:DB8::1]", "[2001:db8::1]", "http", nil, true},
		{"default port in the Origin only", "https://example.com:443", "example.com", "https", nil, true},
		{"default port in the Host only", "https://example.com", "example.com:443", "https", nil, true},
		{"default port of http", "http://example.com:80", "example.com", "http", nil, true},

		{"other host", "https://evil.example", "example.com", "https", nil, false},
		{"a subdomain", "https://a.example.com", "example.com", "https", nil, false},
		{"the parent domain", "https://example.com", "a.example.com", "https", nil, false},
		{"host as a prefix", "https://example.com.evil.example", "example.com", "https", nil, false},
		{"host as a suffix", "https://evilexample.com", "example.com", "https", nil, false},
		{"other port", "http://example.com:8081", "example.com:8080", "http", nil, false},
		{"port only in the Origin", "http://example.com:8080", "example.com", "http", nil, false},
		{"port only in the Host", "http://example.com", "example.com:8080", "http", nil, false},
		{"the other scheme's default port", "https://example.com", "example.com:80", "", nil, false},
		{"http page, TLS listener", "http://example.com", "example.com", "https", nil, false},
		{"https page, plain listener known to be one", "https://example.com", "example.com", "http", nil, false},
		{"no Host", "https://example.com", "", "https", nil, false},
		{"Host with userinfo", "https://example.com", "a@example.com", "https", nil, false},
		{"Host with an empty port", "https://example.com", "example.com:", "https", nil, false},
		{"dot at the end", "https://example.com.", "example.com", "https", nil, false},

		{"other scheme with our host", "javascript://example.com", "example.com", "", nil, false},
		{"extension with our host as its name", "chrome-extension://example.com", "example.com", "", nil, false},
		{"file", "file://", "example.com", "", nil, false},
		{"path", "https://example.com/", "example.com", "https", nil, false},
		{"query", "https://example.com?", "example.com", "https", nil, false},
		{"fragment", "https://example.com#", "example.com", "https", nil, false},
		{"userinfo", "https://user@example.com", "example.com", "https", nil, false},
		{"our host as userinfo", "https://example.com@evil.example", "example.com", "https", nil, false},
		{"our host behind a backslash", `https://evil.example\example.com`, "example.com", "https", nil, false},
		{"two origins", "https://example.com https://evil.example", "example.com", "https", nil, false},
		{"no scheme", "example.com", "example.com", "https", nil, false},
		{"empty scheme", "://example.com", "example.com", "https", nil, false},
		{"space in front", " https://example.com", "example.com", "https", nil, false},
		{"NUL at the end", "https://example.com\x00", "example.com", "https", nil, false},
		{"escaped dot", "https://example%2ecom", "example.com", "https", nil, false},
		{"port 0", "http://example.com:0", "example.com:0", "http", nil, false},
		{"port 65535", "http://example.com:65535", "example.com:65535", "http", nil, true},
		{"port 65536", "http://example.com:65536", "example.com:65536", "http", nil, false},
		{"port with a zero in front", "http://example.com:080", "example.com:080", "http", nil, false},
		{"port that is no number", "http://example.com:8o", "example.com:8o", "http", nil, false},
		{"IPv6 without its end", "http://[::1", "[::1", "http", nil, false},
		{"IPv6 with a zone", "http://[fe80::1%25eth0]", "[fe80::1%25eth0]", "http", nil, false},
		{"nothing in brackets", "http://[]", "[]", "http", nil, false},

		{"listed", "https://app.example.com", "example.com", "https", list, true},
		{"listed, default port written", "https://APP.example.com:443", "example.com", "https", list, true},
		{"listed with its port", "http://localhost:3000", "example.com", "https", list, true},
		{"listed, scheme of its own", "chrome-extension://abcdef", "example.com", "https", list, true},
		{"listed with another scheme", "http://app.example.com", "example.com", "https", list, false},
		{"listed with another port", "http://localhost:3001", "example.com", "https", list, false},
		{"subdomain of a listed one", "https://x.app.example.com", "example.com", "https", list, false},
		{"listed, but with a path", "https://app.example.com/", "example.com", "https", list, false},
		{"the entry that is no origin", "not an origin", "example.com", "https", list, false},
		{"the same, which is not listed", "https://example.com", "example.com", "https", list, false},
		{"the same, listed by its word", "https://example.com", "example.com", "https", append([]string{"same"}, list...), true},
		{"any", "https://evil.example", "example.com", "https", []string{"*"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := OriginAllowed(test.origin, test.host, test.scheme, test.allowed); got != test.want {
				t.Errorf("OriginAllowed(%q, %q, %q, %q) = %t, want %t",
					test.origin, test.host, test.scheme, test.allowed, got, test.want)
			}
		})
	}
}

// FuzzOrigin: an origin let in without a list is the scheme, the Host with or
// without the default port, and not one byte more.
//
// A mutant it kills: OriginAllowed that compares hosts and not ports.
func FuzzOrigin(f *testing.F) {
	f.Add("https://example.com", "example.com:443")
	f.Add("http://[::1]:8080", "[::1]:8080")
	f.Add("https://a@example.com", "example.com")
	f.Add("https://example.com:8443", "example.com")
	f.Fuzz(func(t *testing.T, origin, host string) {
		if origin == "" || !OriginAllowed(origin, host, "", nil) {
			return
		}
		o, h := strings.ToLower(origin), strings.ToLower(host)
		for _, scheme := range []struct{ prefix, port string }{{"http://", ":80"}, {"https://", ":443"}} {
			if rest, ok := strings.CutPrefix(o, scheme.prefix); ok &&
				strings.TrimSuffix(rest, scheme.port) == strings.TrimSuffix(h, scheme.port) {
				return
			}
		}
		t.Errorf("OriginAllowed(%q, %q)", origin, host)
	})
}
