package control

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

// Limits of the connections of one listener at a time; those above are closed
// at once.
const (
	maxConns     = 256
	maxStrangers = 16 // of processes that are not let in: they take no place of the others
)

// A listener admits connections to one address.
type listener struct {
	net.Listener
	server  *Server
	mux     http.Handler
	private bool // the whole API, not metrics and health alone
	unix    bool // nothing that runs in a browser can reach it
	local   bool // a loopback address

	open, strangers atomic.Int64 // connections; atomic, for any goroutine may close one
}

// Accept waits for a connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, listener: l, stranger: l.private && l.unix && !l.knows(nc)}
		if limit := c.limit(); c.place().Add(1) <= limit {
			return c, nil
		}
		l.server.count.refuse(causeConnections, c)
		c.Close()
	}
}

// knows reports whether the process behind nc may use the API. If it can't be
// told whose it is, it may not.
func (l *listener) knows(nc net.Conn) bool {
	allow := l.server.access.Load().Allow
	if allow.isZero() {
		return true
	}
	p, err := peerOf(nc)
	return err == nil && allow.admits(p, uint32(os.Geteuid()), groupsOf)
}

// A conn is a connection of a caller.
type conn struct {
	net.Conn
	listener *listener
	stranger bool // who is not let in, but told so
	closed   atomic.Bool

	// heard reports that a request has come to us, which what net/http refuses
	// by itself does not. Only the goroutine that serves c uses it.
	heard bool
}

func (c *conn) place() *atomic.Int64 {
	if c.stranger {
		return &c.listener.strangers
	}
	return &c.listener.open
}

func (c *conn) limit() int64 {
	if c.stranger {
		return maxStrangers
	}
	return maxConns
}

// Close gives the place back, once.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		c.place().Add(-1)
	}
	return c.Conn.Close()
}

// CloseWrite lets net/http say the end before it closes, so that an answer is
// not lost with a request that was not read to its end.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type connKey struct{}

// withConn lets a request find its connection.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

// connState follows connections for Shutdown, and counts those without a
// request that net/http takes for one: malformed, with a header too long, late,
// or none. (Behind a good request such a one is not counted: who could send
// that is no stranger.)
func (s *Server) connState(nc net.Conn, state http.ConnState) {
	c := nc.(*conn)
	switch state {
	case http.StateNew:
		s.work.Add(1)
		s.count.open.Add(1)
	case http.StateClosed:
		if !c.heard {
			s.count.refuse(causeUnread, c)
		}
		s.count.open.Add(-1)
		s.work.Done()
	}
}
