package gateway

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// ErrDraining is returned for a Reconfigure after Shutdown has begun.
var ErrDraining = errors.New("gateway: shutting down")

// Reconfigure changes to o without closing a connection. On an error nothing
// changes. HandshakeTimeout, Software, Hosts, Fallback, ShowErrors, Logger and
// Metrics stay as New was told.
//
// The next event of each connection goes by what o says of its route, and may
// have another Backend; one in hand ends as it began. What a connection agreed
// on in its handshake stays with it: Events, MaxMessage, MessageRate, Fragment,
// Outbox and Compression. Connections whose route o does not have are served as
// they were, and nobody new is. A route that is new, and keeps books of connections, has PHP told.
func (g *Gateway) Reconfigure(o Options) error {
	old := g.opts()
	o.HandshakeTimeout, o.Software, o.Hosts, o.Fallback = old.HandshakeTimeout, old.Software, old.Hosts, old.Fallback
	o.ShowErrors, o.Logger, o.Metrics = old.ShowErrors, old.Logger, old.Metrics
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	list, err := o.terms(g.boot)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return ErrDraining
	}
	if err := g.conns.Reconfigure(o.connections()); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.visitors.allow(o.PerAddress)
	g.adoptLocked(o, list)
	if g.serving {
		g.announceLocked()
	}
	return nil
}

// Uses reports whether an event may still be given to that backend, as one of a
// route that is served, or was and has connections left.
func (g *Gateway) Uses(backend *fastcgi.Client) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.usesLocked(backend)
}

func (g *Gateway) usesLocked(backend *fastcgi.Client) bool {
	for _, r := range g.routes {
		if r.now.Load().Backend == backend {
			return true
		}
	}
	return false
}

// connections are the options of those.
func (o *Options) connections() websocket.Options {
	return websocket.Options{Ping: o.Ping, Pong: o.Pong, Buffers: o.Buffers}
}

func (g *Gateway) adopt(o Options, list []*terms) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.adoptLocked(o, list)
}

// adoptLocked puts o and its routes in force. A prefix keeps its route, for
// that is what its connections hold on to.
func (g *Gateway) adoptLocked(o Options, list []*terms) {
	for _, r := range g.routes {
		r.gone = true
	}
	next := &setup{Options: o}
	for _, t := range list {
		r := g.routes[t.Prefix]
		if r == nil {
			r = &route{prefix: t.Prefix}
			g.routes[t.Prefix] = r
		}
		if g.late[t.Backend] == nil {
			g.late[t.Backend] = newMailbox(g)
			t.Backend.WatchWith(g.conns)
		}
		t.late = g.late[t.Backend]
		r.gone = false
		r.now.Store(t)
		next.routes = append(next.routes, r)
	}
	slices.SortStableFunc(next.routes, byLength)
	g.inForce.Store(next)
	for _, r := range g.routes {
		g.forgetLocked(r)
	}
	for backend, m := range g.late {
		if !g.usesLocked(backend) {
			delete(g.late, backend)
			m.retire()
		}
	}
}

// forgetLocked forgets a route that is gone, with its last connection.
func (g *Gateway) forgetLocked(r *route) {
	if r.gone && r.sessions == 0 {
		delete(g.routes, r.prefix)
	}
}

func (g *Gateway) mailboxes() []*mailbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.late))
}
