package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path of a unix socket on Linux: sun_path holds
// 108 bytes with the NUL.
const maxSocketPath = 107

// parseAddress reads a unix socket, as unix:/path or /path, or host:port. Equal
// addresses come back equal: hosts in lower case, IP addresses in their
// shortest form.
func parseAddress(s string) (network, address, problem string) {
	if path, is := strings.CutPrefix(s, "unix:"); is || strings.HasPrefix(s, "/") {
		problem = checkPath(path)
		if problem == "" && len(path) > maxSocketPath {
			problem = "want a socket path of at most " + strconv.Itoa(maxSocketPath) +
				" bytes, this one has " + strconv.Itoa(len(path))
		}
		return "unix", path, problem
	}
	if strings.Contains(s, "://") {
		return "", "", "want host:port or unix:/path, without a scheme such as http://"
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return "", "", "want host:port or unix:/path"
	}
	host, problem := checkHost(s[:colon])
	if problem != "" {
		return "", "", problem
	}
	port, ok := parseCount(s[colon+1:])
	if !ok || port > 65535 {
		return "", "", "want a port of 0 to 65535 behind the colon"
	}
	return "tcp", host + ":" + strconv.FormatInt(port, 10), ""
}

// checkHost says what is wrong with the host of an address, and gives the form
// that equal hosts have in common.
func checkHost(s string) (host, problem string) {
	if inside, is := strings.CutPrefix(s, "["); is {
		a, err := netip.ParseAddr(strings.TrimSuffix(inside, "]"))
		if err != nil || !a.Is6() || !strings.HasSuffix(s, "]") {
			return "", "want an IPv6 address between the brackets"
		}
		return "[" + a.String() + "]", ""
	}
	if strings.Contains(s, ":") {
		return "", "want an IPv6 address in brackets, such as [::1]:8080"
	}
	if !isHostname(s) && s != "" {
		return "", "want an IP address or a host name before the colon"
	}
	return strings.ToLower(s), ""
}

// isHostname takes names and IPv4 addresses. What is all digits and dots but
// no address is neither: a resolver would only make the fault harder to see.
func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		for i := range len(label) {
			if !isAlnum(label[i]) && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
		if label == "" || len(label) > 63 {
			return false
		}
	}
	if strings.Trim(s, "0123456789.") == "" {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return len(s) <= 253
}

// isLoopback reports whether address, a result of parseAddress, can only be
// reached from this machine.
func isLoopback(address string) bool {
	host := address[:strings.LastIndexByte(address, ':')]
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

// parsePrefix reads an address or a prefix in CIDR notation. IPv4 addresses in
// IPv6 form become IPv4, as those of peers do.
func parsePrefix(s string) (p netip.Prefix, problem string) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return p, "want IP addresses, prefixes such as 10.0.0.0/8, or unix, separated by commas"
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, "want IP addresses, prefixes such as 10.0.0.0/8, or unix, separated by commas"
	}
	if p != p.Masked() {
		return p, "want " + p.Masked().String() + ", the prefix without the bits behind its length"
	}
	return p, ""
}

// parseOrigin reads the origin of web pages as browsers send it (RFC 6454
// section 6.2), and gives it in lower case without its scheme's default port.
func parseOrigin(s string) (origin, problem string) {
	const want = "want origins such as https://www.example.com, same, or *"
	scheme, rest, ok := strings.Cut(strings.ToLower(s), "://")
	if !ok || !isScheme(scheme) {
		return "", want
	}
	if strings.ContainsAny(rest, "/?#") {
		return "", "want origins without a path or a / at the end, such as https://www.example.com"
	}
	if strings.Contains(rest, "*") {
		return "", "want each origin by its full name; * stands only alone, for any"
	}
	host, port := rest, ""
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		host, port = rest[:colon], rest[colon+1:]
		n, ok := parseCount(port)
		if !ok || n == 0 || n > 65535 || port[0] == '0' {
			return "", "want origins with a port of 1 to 65535 behind the colon, or without a colon"
		}
	}
	host, problem = checkHost(host)
	if problem != "" || host == "" {
		return "", want + "; names in other scripts as xn--…"
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host, ""
	}
	return scheme + "://" + host + ":" + port, ""
}

func isScheme(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && !strings.ContainsRune("+-.", rune(s[i])) {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}
