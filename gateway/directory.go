package gateway

import (
	"strings"
	"time"

	"ws-fpm/websocket"
)

// A Connection describes a client that is connected, or in its connect event.
type Connection struct {
	ID            string // WS_CONNECTION_ID
	Since         time.Time
	Route         string            // its prefix
	User          string            // what WS-User said
	Attributes    map[string]string // what WS-Set-* said, by the name in WS_ATTR_<NAME>
	Channels      []string          // that it listens to
	RemoteAddress string            // REMOTE_ADDR
}

// sessionOf gives the session with that id, from its connect event until its
// socket is gone, or nil.
func (g *Gateway) sessionOf(id string) *session {
	seat := g.hub.Find(id)
	if seat == nil {
		return nil
	}
	return seat.Member().(*session)
}

// Connection describes the client with that WS_CONNECTION_ID. It reports false
// if there is none.
func (g *Gateway) Connection(id string) (Connection, bool) {
	s := g.sessionOf(id)
	if s == nil {
		return Connection{}, false
	}
	return s.describe(), true
}

func (s *session) describe() Connection {
	s.mu.Lock()
	bound := s.attributes()
	s.mu.Unlock()
	c := Connection{
		ID:            s.id,
		Since:         time.UnixMilli(s.since),
		Route:         s.route.prefix,
		User:          bound.user,
		Attributes:    map[string]string{},
		Channels:      bound.channels,
		RemoteAddress: s.remote,
	}
	for _, a := range bound.list {
		c.Attributes[strings.TrimPrefix(a.name, "WS_ATTR_")] = a.value
	}
	return c
}

// Disconnect closes the connection of that client as WS-Close does: what waits
// for PHP is dropped. It reports false if there is none. A client in its
// connect event is closed when that has let it in.
func (g *Gateway) Disconnect(id string, code websocket.StatusCode, reason string) bool {
	s := g.sessionOf(id)
	if s == nil || !mayClose(code) {
		return false
	}
	s.disconnect(websocket.Closing{Code: code, Reason: reason})
	return true
}

func (s *session) disconnect(how websocket.Closing) {
	s.mu.Lock()
	if !s.open.Load() {
		s.deaf = true
		s.last = &how
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.closeNow(how)
}
