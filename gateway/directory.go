package gateway

import (
	"strings"
	"sync"
	"time"

	"ws-fpm/websocket"
)

// A Connection describes a client that is connected.
type Connection struct {
	Since         time.Time
	Route         string            // its prefix
	User          string            // what WS-User said
	Attributes    map[string]string // what WS-Set-* said, by the name in WS_ATTR_<NAME>
	RemoteAddress string            // REMOTE_ADDR
}

// A directory finds sessions by their id, from the end of the handshake until
// the socket is gone.
type directory struct {
	mu       sync.Mutex // guards what follows
	sessions map[string]*session
}

func (d *directory) add(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[s.id] = s
}

func (d *directory) remove(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, s.id)
}

func (d *directory) find(id string) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions[id]
}

// Connection describes the client with that WS_CONNECTION_ID. It reports false
// if there is none.
func (g *Gateway) Connection(id string) (Connection, bool) {
	s := g.directory.find(id)
	if s == nil {
		return Connection{}, false
	}
	s.mu.Lock()
	bound := s.attributes
	s.mu.Unlock()
	c := Connection{
		Since:         s.since,
		Route:         s.route.prefix,
		User:          bound.user,
		Attributes:    map[string]string{},
		RemoteAddress: s.remote,
	}
	for _, a := range bound.list {
		c.Attributes[strings.TrimPrefix(a.name, "WS_ATTR_")] = a.value
	}
	return c, true
}

// Disconnect closes the connection of that client as WS-Close does: what waits
// for PHP is dropped. It reports false if there is none.
func (g *Gateway) Disconnect(id string, code websocket.StatusCode, reason string) bool {
	s := g.directory.find(id)
	if s == nil || !mayClose(code) {
		return false
	}
	s.closeNow(websocket.Closing{Code: code, Reason: reason})
	return true
}
