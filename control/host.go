package control

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// hostAllowed reports whether a Host field names this machine by a name that
// nobody else can point here: localhost, a loopback address, or one of hosts,
// which are as hostName gives them. Without this check any web page could have
// its own name resolve to a loopback address and then talk to us as to itself
// (DNS rebinding). The port may be any, for it may be forwarded.
func hostAllowed(host string, hosts []string) bool {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || port[0] == '0' {
			return false
		}
	}
	if strings.Contains(name, ":") && !strings.HasPrefix(name, "[") {
		return false // section 3.2.2 of RFC 3986 wants brackets here
	}
	name, ok := hostName(name)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.IsLoopback() || slices.Contains(hosts, name)
}

// hostName gives the one form of a host's name or address, which may be in
// brackets, without a port. It reports false for what is neither.
func hostName(s string) (name string, ok bool) {
	inner, bracket := strings.CutPrefix(s, "[")
	if bracket {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", false
		}
	}
	addr, err := netip.ParseAddr(inner)
	switch {
	case err == nil && (addr.Zone() != "" || bracket && !addr.Is6()):
		return "", false
	case err == nil:
		return addr.Unmap().String(), true
	case bracket || len(s) > 253 || !isDomain(s):
		return "", false
	}
	return strings.ToLower(s), true
}

// isDomain reports whether s is a name of DNS as hosts have them (RFC 1123,
// section 2.1), or one with underscores, as containers have. The last label is
// not a number: such names are read as addresses by some.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	first := labels[len(labels)-1][0]
	return first < '0' || first > '9'
}
