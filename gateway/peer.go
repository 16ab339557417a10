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
	addr    string // REMOTE_ADDR
	port    string // REMOTE_PORT
	scheme  string // "http" or "https"; empty: not known
	trusted bool   // the socket's other end is a trusted proxy
}

// findPeer finds the client behind remote, the address of the socket's other
// end (the zero AddrPort for a Unix socket). Forwarded are the values of
// X-Forwarded-For, proto those of X-Forwarded-Proto.
//
// Each proxy adds the address it saw on the right, so the client is the first
// from the right that is no trusted proxy; further left stands what a client
// may have made up. What is not an address ends the walk.
func (t Trust) findPeer(remote netip.AddrPort, scheme string, forwarded, proto []string) peer {
	p := peer{addr: "unix:", port: "0", scheme: scheme}
	if remote.IsValid() {
		addr := remote.Addr().Unmap()
		p.addr, p.port = addr.String(), itoa(int(remote.Port()))
		p.trusted = t.has(addr)
	} else {
		p.trusted = t.Unix
	}
	if !p.trusted {
		return p
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(strings.Trim(hops[i], " \t"))
		if !ok {
			break
		}
		p.addr, p.port = hop.Addr().String(), itoa(int(hop.Port()))
		if !t.has(hop.Addr()) {
			break
		}
	}
	switch last := lastItem(proto); strings.ToLower(last) {
	case "http", "https":
		p.scheme = strings.ToLower(last)
	}
	return p
}

// parseHop reads an entry of X-Forwarded-For: an address, with or without a
// port, which is 0 if there is none.
func parseHop(s string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), err == nil
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), 0), true
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
