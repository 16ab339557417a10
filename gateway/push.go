package gateway

import (
	"errors"
	"math"
	"runtime/debug"
	"slices"

	"ws-fpm/hub"
	"ws-fpm/websocket"
)

// maxEarly is how many bytes may wait for a client that is still in its connect
// event; the message that passes it is still accepted. They are not counted in
// the memory of all queues, for there are few such clients: as many as wait for
// PHP or are in it.
const maxEarly = 64 << 10

// An early is what was sent to a client before its handshake was answered.
type early struct {
	messages []*websocket.Prepared
	size     int
}

// Deliver takes a message that was sent to the client by anything but PHP's
// answer to it (see hub.Member). What comes before the handshake is answered
// waits for that.
func (s *session) Deliver(p *websocket.Prepared) (taken bool) {
	defer s.rescueDelivery()
	if s.open.Load() {
		return s.conn.WritePrepared(p) == nil // what is not accepted is counted there
	}
	s.mu.Lock()
	switch {
	case s.open.Load():
		s.mu.Unlock()
		return s.conn.WritePrepared(p) == nil
	case s.ended, s.early != nil && s.early.size >= maxEarly:
		s.mu.Unlock()
		s.gateway.count.early.Inc()
		return false
	}
	if s.early == nil {
		s.early = &early{}
	}
	s.early.messages = append(s.early.messages, p)
	s.early.size += p.Size()
	s.mu.Unlock()
	return true
}

// rescueDelivery is deferred by Deliver: a panic costs that client its
// connection, and whoever sent nothing.
func (s *session) rescueDelivery() {
	if v := recover(); v != nil {
		s.gateway.panicked(v, debug.Stack())
		if s.conn != nil {
			s.conn.Kill()
		}
	}
}

// begin sends what has waited for the handshake's end. From then on messages
// go to the connection. It gives what the connection is to be closed with, if
// somebody has said so meanwhile.
func (s *session) begin() (last *websocket.Closing) {
	for {
		s.mu.Lock()
		waiting := s.early
		s.early = nil
		if waiting == nil {
			s.open.Store(true)
			last = s.last
			s.mu.Unlock()
			return last
		}
		s.mu.Unlock()
		for _, p := range waiting.messages {
			s.conn.WritePrepared(p)
		}
	}
}

// dismiss ends what others can do to the session: it is found no more, and what
// still waits for it is dropped.
func (s *session) dismiss() {
	s.gateway.hub.Leave(&s.seat)
	s.mu.Lock()
	s.ended = true
	waiting := s.early
	s.early = nil
	s.mu.Unlock()
	if waiting != nil {
		s.gateway.count.early.Add(uint64(len(waiting.messages)))
	}
}

// bind makes next the attributes of the session, and tells the hub of the
// user and channels among them.
func (s *session) bind(next attributes) {
	before := s.attributes()
	if next.same(before) {
		return
	}
	if next.user != before.user {
		s.gateway.hub.Bind(&s.seat, next.user)
	}
	if !slices.Equal(before.channels, next.channels) {
		next = s.listen(before.channels, next)
	}
	bound := next // only what has changed is to be allocated
	s.mu.Lock()
	s.bound = &bound
	s.mu.Unlock()
}

// listen has the session listen to the channels of next instead of those
// before. A channel that there is no room for is not among those it gives.
func (s *session) listen(before []string, next attributes) attributes {
	h := s.gateway.hub
	for _, name := range before {
		if !slices.Contains(next.channels, name) {
			h.Unsubscribe(&s.seat, name)
		}
	}
	var full []string
	for _, name := range next.channels {
		if err := h.Subscribe(&s.seat, name); err != nil && !errors.Is(err, hub.ErrGone) {
			full = append(full, name)
		}
	}
	if full == nil {
		return next
	}
	s.gateway.log.Warn("no room for more channels", "connection", s.id, "seq", s.seq, "script", s.terms.Script, "refused", len(full))
	next.channels = slices.DeleteFunc(slices.Clone(next.channels), func(name string) bool { return slices.Contains(full, name) })
	next, reason := next.encode()
	if reason != "" {
		panic("BUG: " + reason) // it was fit with more
	}
	return next
}

// publish sends the body of a reply to channels.
func (s *session) publish(to []publication, op websocket.Opcode, body []byte) {
	p := s.gateway.conns.Prepare(op, body)
	for _, publication := range to {
		var except *hub.Seat[*websocket.Prepared]
		if publication.excludeSelf {
			except = &s.seat
		}
		for _, channel := range publication.channels {
			s.gateway.hub.Publish(channel, p, except)
		}
	}
}

// Send sends a message to the client with that WS_CONNECTION_ID. It reports
// false if there is none, or none that takes it any more. None of the methods
// here waits for a client, and text has to be UTF-8.
func (g *Gateway) Send(id string, op websocket.Opcode, payload []byte) bool {
	return g.hub.Send(id, g.conns.Prepare(op, payload))
}

// Publish sends a message to all clients that listen to the channel, but for
// the one with the id exclude, which may be empty. It gives the number of
// clients that were handed it.
func (g *Gateway) Publish(channel, exclude string, op websocket.Opcode, payload []byte) (delivered int) {
	return g.hub.Publish(channel, g.conns.Prepare(op, payload), g.hub.Find(exclude))
}

// SendToUser sends a message to all connections of a user: what WS-User said.
// It gives the number of those that were handed it.
func (g *Gateway) SendToUser(user string, op websocket.Opcode, payload []byte) (delivered int) {
	return g.hub.SendToUser(user, g.conns.Prepare(op, payload))
}

// CloseUser closes all connections of a user as Disconnect does, and gives
// their number.
func (g *Gateway) CloseUser(user string, code websocket.StatusCode, reason string) (closed int) {
	if !mayClose(code) {
		return 0
	}
	list, _ := g.hub.OfUser(user, math.MaxInt)
	for _, m := range list {
		m.(*session).disconnect(websocket.Closing{Code: code, Reason: reason})
	}
	return len(list)
}

// Channels gives the channels whose names begin with prefix, by name, at most
// that many, and the number of all such.
func (g *Gateway) Channels(prefix string, most int) (list []hub.Channel, total int) {
	return g.hub.Channels(prefix, most)
}

// Connections describes clients, at most that many, and gives the number of
// all: those of a user, those that listen to a channel, of a user that listen to it,
// or, if both are empty, all there are.
func (g *Gateway) Connections(user, channel string, most int) (list []Connection, total int) {
	var members []hub.Member[*websocket.Prepared]
	switch {
	case user != "" && channel != "":
		all, _ := g.hub.OfUser(user, math.MaxInt)
		for _, m := range all {
			if c := m.(*session).describe(); slices.Contains(c.Channels, channel) {
				total++
				if len(list) < most {
					list = append(list, c)
				}
			}
		}
		return list, total
	case user != "":
		members, total = g.hub.OfUser(user, most)
	case channel != "":
		members, total = g.hub.Listeners(channel, most)
	default:
		members, total = g.hub.All(most)
	}
	for _, m := range members {
		list = append(list, m.(*session).describe())
	}
	return list, total
}
