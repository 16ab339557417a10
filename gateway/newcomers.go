package gateway

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
)

// newHTTPServer makes the server for handshakes: HTTP/1.1 alone, for a
// WebSocket over HTTP/2 (RFC 8441) is another protocol. It has one request a
// connection, for ServeHTTP closes whatever is not upgraded; SetKeepAlivesEnabled
// would do that too, but take the "Upgrade" from the Connection field of a 426.
func (g *Gateway) newHTTPServer() *http.Server {
	s := &http.Server{
		Handler:                      g,
		ReadHeaderTimeout:            g.opts().HandshakeTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		ErrorLog:                     slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		ConnState:                    g.connState,
	}
	s.Protocols.SetHTTP1(true)
	return s
}

// connState counts connections that are not upgraded, all together and by
// client address. One too many is closed before a byte of it is read.
func (g *Gateway) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if r, is := c.(*replayed); is { // counted since it arrived
			if r.visitor.IsValid() {
				g.shaking.Store(c, r.visitor)
			}
			return
		}
		key, counted := g.opts().Trust.socketKey(c)
		if counted {
			g.shaking.Store(c, key)
		}
		if !g.arrive(key, counted) {
			g.heard.Add(1)
			g.count.handshakes[refusedFlood].Inc()
			c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		key, counted := g.shaking.LoadAndDelete(c)
		if counted {
			g.depart(key.(netip.Prefix), true)
		} else {
			g.depart(netip.Prefix{}, false)
		}
		// Whatever net/http itself refuses never reaches ServeHTTP; all that
		// is seen of it is one connection more that ends than was heard.
		if g.heard.Add(-1) < 0 {
			g.heard.Add(1)
			g.count.handshakes[unread].Inc()
		}
	}
}

// arrive counts one more connection that is not upgraded, in the share of key if
// that is counted, and reports whether it is one of as many as there may be. It
// is counted in any case, until depart.
func (g *Gateway) arrive(key netip.Prefix, counted bool) (fits bool) {
	o := g.opts()
	fits = g.handshakes.Add(1) <= int64(o.MaxHandshakes)
	if counted {
		fits = g.visitors.begin(key, max(1, o.MaxHandshakes/maxHandshakeShare)) && fits
	}
	return fits
}

func (g *Gateway) depart(key netip.Prefix, counted bool) {
	g.handshakes.Add(-1)
	if counted {
		g.visitors.end(key)
	}
}

// socketKey is the visitorKey of the socket's other end: before a request is
// read that is all that is known of a client.
func (t Trust) socketKey(c net.Conn) (key netip.Prefix, counted bool) {
	remote := c.RemoteAddr()
	if remote == nil {
		return netip.Prefix{}, false // it has gone, and nobody knows who it was
	}
	a, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Prefix{}, false
	}
	return t.visitorKey(a.Addr().Unmap())
}
