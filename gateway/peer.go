package gateway

import (
	"net/netip"
	"strings"
)

// Trust names the peers whose word about the client is taken: proxies of the
// operator's own. Its zero value trusts nobody.
type Trust struct {
	Prefixes []netip.Prefix
	Unix     bool // peers on Unix sockets
}

func (t Trust) has(a netip.Addr) bool {
	for _, p := range t.Prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// A peer is who sent a request, as far as that is known.
type peer struct {
	ip      netip.Addr // zero: of a Unix socket
	addr    string     // REMOTE_ADDR
	port    string     // REMOTE_PORT
	scheme  string     // "http" or "https"
	told    bool       // a trusted proxy has said so of the scheme
	trusted bool       // the socket's other end is a trusted proxy
}

// findPeer finds the client behind remote, the address of the socket's other
// end (the zero AddrPort for a Unix socket). Forwarded are the values of
// X-Forwarded-For, proto those of X-Forwarded-Proto.
//
// Each proxy adds the address it saw on the right, so the client is the first
// from the right that is no trusted proxy; further left stands what a client
// may have made up. What is not an address ends the walk; an empty element is
// none at all (RFC 9110, section 5.6.1.2).
func (t Trust) findPeer(remote netip.AddrPort, scheme string, forwarded, proto []string) peer {
	p := peer{addr: "unix:", port: "0", scheme: scheme}
	if remote.IsValid() {
		addr := remote.Addr().Unmap().WithZone("") // no prefix contains an address with a zone
		p.ip, p.addr, p.port = addr, addr.String(), itoa(int(remote.Port()))
		p.trusted = t.has(addr)
	} else {
		p.trusted = t.Unix
	}
	if !p.trusted {
		return p
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		text := strings.Trim(hops[i], " \t")
		if text == "" {
			continue
		}
		hop, ok := parseHop(text)
		if !ok {
			break
		}
		p.ip, p.addr, p.port = hop.Addr(), hop.Addr().String(), itoa(int(hop.Port()))
		if !t.has(hop.Addr()) {
			break
		}
	}
	switch strings.ToLower(lastItem(proto)) {
	case "http", "ws": // some proxies name the protocol after the upgrade
		p.scheme, p.told = "http", true
	case "https", "wss":
		p.scheme, p.told = "https", true
	}
	return p
}

// parseHop reads an entry of X-Forwarded-For: an address, with or without a
// port, which is 0 if there is none. An IPv6 address may be in brackets.
func parseHop(s string) (hop netip.AddrPort, ok bool) {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s += ":0"
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		hop, err = netip.ParseAddrPort(s)
		addr = hop.Addr()
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), hop.Port()), err == nil
}

// lastItem is the last element of a comma list, which is the one that the
// proxy nearest to us wrote.
func lastItem(values []string) string {
	if len(values) == 0 {
		return ""
	}
	list := values[len(values)-1]
	return strings.Trim(list[strings.LastIndex(list, ",")+1:], " \t")
}
