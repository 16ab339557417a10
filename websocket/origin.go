package websocket

import (
	"slices"
	"strings"
)

// OriginAllowed reports whether a page of origin may connect (RFC 6455,
// section 10.2): browsers let any page open a WebSocket and send the visitor's
// cookies along, so a server has to look at the Origin header itself.
//
// Origin is the header's value; the empty one is not a browser and is allowed.
// Host is the request's Host header. Scheme is "http" or "https" where it is
// known how the client reached us, else empty.
//
// The entries of allowed are "same", origins ("https://example.com", a port
// only where it is not the default), or "*" for any at all; an empty list is
// that of "same" alone. Same is an origin of the request's own host and port,
// unless a known scheme differs; a port left out is the default one of the
// origin's scheme. Letters compare without regard to case. An opaque origin
// ("null") and whatever is not an origin, such as a URL with a path, is allowed
// by "*" only.
func OriginAllowed(origin, host, scheme string, allowed []string) bool {
	if origin == "" {
		return true
	}
	page, valid := parseOrigin(origin)
	if valid && page.web() && (len(allowed) == 0 || slices.Contains(allowed, "same")) {
		self, ok := parseHost(host, page.scheme)
		if ok && page == self && (scheme == "" || strings.EqualFold(scheme, page.scheme)) {
			return true
		}
	}
	for _, entry := range allowed {
		if entry == "*" {
			return true
		}
		if o, ok := parseOrigin(entry); ok && valid && o == page {
			return true
		}
	}
	return false
}

// An origin is a scheme, host and port (RFC 6454, section 4), in lower case.
// Port is the scheme's default one if none was given; it is empty if there is
// no default either.
type origin struct{ scheme, host, port string }

// web reports whether pages of o come from a web server. Other schemes
// (extensions, applications) put names of their own where the host is.
func (o origin) web() bool { return o.scheme == "http" || o.scheme == "https" }

// parseOrigin decodes scheme://host[:port] and nothing more (RFC 6454, section
// 6.2). It is stricter than a URL parser, which would find a host in
// javascript://example.com/%0aalert(1) too.
func parseOrigin(s string) (o origin, ok bool) {
	scheme, host, found := strings.Cut(s, "://")
	if !found || scheme == "" || !letter(scheme[0]) || !all(scheme, schemeByte) {
		return origin{}, false
	}
	return parseHost(host, strings.ToLower(scheme))
}

// parseHost decodes host[:port] as the origin it has under scheme.
func parseHost(s, scheme string) (o origin, ok bool) {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if !validPort(port) {
			return origin{}, false
		}
	}
	name, charset := host, nameByte
	if inner, isV6 := strings.CutPrefix(host, "["); isV6 {
		name, isV6 = strings.CutSuffix(inner, "]")
		if !isV6 {
			return origin{}, false
		}
		charset = addressByte
	}
	if name == "" || !all(name, charset) {
		return origin{}, false
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return origin{scheme, strings.ToLower(host), port}, true
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// validPort reports whether s is a port in its one form: 1 to 65535, without
// zeros in front.
func validPort(s string) bool {
	if s == "" || len(s) > len("65535") || s[0] == '0' || !all(s, digit) {
		return false
	}
	return len(s) < len("65535") || s <= "65535"
}

// all reports whether each byte of s is in the class.
func all(s string, class func(c byte) bool) bool {
	for i := range len(s) {
		if !class(s[i]) {
			return false
		}
	}
	return true
}

func digit(c byte) bool  { return '0' <= c && c <= '9' }
func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// schemeByte is the class of RFC 3986, section 3.1, after the first letter.
func schemeByte(c byte) bool {
	return letter(c) || digit(c) || c == '+' || c == '-' || c == '.'
}

// nameByte is the class of names and IPv4 addresses as browsers send them:
// other letters come in their ASCII form (xn--).
func nameByte(c byte) bool {
	return letter(c) || digit(c) || c == '-' || c == '.' || c == '_'
}

// addressByte is the class of IPv6 addresses within their brackets.
func addressByte(c byte) bool {
	return digit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' || c == ':' || c == '.'
}
