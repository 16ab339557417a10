package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// A Report is what one event brought, run without a client.
type Report struct {
	Status int
	Header fastcgi.Header
	Body   []byte // up to the route's MaxReply
	Stderr string

	// Effects say, in their order, what the gateway would do.
	Effects []string

	// Failed says that the event counts as failed: nobody is answered, or let
	// in, by such a reply.
	Failed bool
}

// Call really runs an event of a route, as if a client of this machine had just
// connected to target, and reports. Target is the route's prefix, and behind a
// question mark the query if there is one. An error means that PHP gave no
// usable reply.
func (g *Gateway) Call(ctx context.Context, target, event string, body []byte) (*Report, error) {
	routes := g.opts().routes
	prefix, query, _ := strings.Cut(target, "?")
	i := slices.IndexFunc(routes, func(r *route) bool { return r.prefix == prefix })
	if i < 0 {
		var prefixes []string
		for _, r := range routes {
			prefixes = append(prefixes, r.prefix)
		}
		return nil, fmt.Errorf("gateway: no route %q; there is %s", prefix, strings.Join(prefixes, ", "))
	}
	t := routes[i].now.Load()
	s := &session{gateway: g, route: routes[i], joined: t, terms: t, id: randomID(), since: time.Now().UnixMilli()}
	local := netip.MustParseAddrPort("127.0.0.1:80")
	var params blocks
	err := params.gather(&request{
		uri: target, query: query, host: "localhost", serverAddr: "127.0.0.1", serverPort: "80",
		peer: Trust{}.findPeer(local, "http", nil, nil),
	})
	if err != nil {
		return nil, err
	}
	s.identify(&params, "")
	switch event {
	case eventStart:
		s = g.startSession(s.route)
	case eventConnect:
	default:
		s.seq = 1
	}
	w := new(scratch)
	e := s.newEvent(w, event)
	request := fastcgi.Request{Class: fastcgi.Message}
	switch event {
	case eventConnect:
		request.Get = true
	case eventMessage:
		text := utf8.Valid(body)
		op := websocket.Binary
		if text {
			op = websocket.Text
		}
		e.add("WS_OPCODE", op.String())
		e.add("CONTENT_TYPE", contentType(s.terms.ContentType, text, body))
		request.Body = body
	case eventDisconnect:
		e.add("WS_CLOSE_CODE", itoa(int(websocket.StatusGoingAway)))
		e.add("WS_CLOSE_REASON", "")
		e.add("WS_CLOSE_BY", websocket.ByClient.String())
	case eventStart:
	default:
		return nil, fmt.Errorf("gateway: no event %q; want connect, message, disconnect or start", event)
	}
	response, err := s.send(ctx, w, request)
	if err != nil {
		return nil, err
	}
	r := &Report{Status: response.Status, Header: response.Header}
	r.Body, err = response.AppendBody(nil, s.terms.MaxReply)
	stderr, _ := response.Stderr()
	r.Stderr = string(stderr)
	if err != nil {
		return r, err
	}
	if !s.asks(event) {
		r.Effects = []string{fmt.Sprintf("never but by this call: events = %s asks for no %s", strings.Join(s.terms.Events, ", "), event)}
	}
	r.Effects = append(r.Effects, s.effects(event, r)...)
	return r, nil
}

// asks reports whether the route's script is run at that event.
func (s *session) asks(event string) bool {
	if event == eventStart {
		return s.terms.has(eventConnect) || s.terms.has(eventDisconnect)
	}
	return s.terms.has(event)
}

// effects puts into words what would be done about a reply.
func (s *session) effects(event string, r *Report) []string {
	switch event {
	case eventConnect:
		r.Failed = !letsIn(r.Status, r.Header)
		if r.Status < 200 || r.Status > 299 {
			return []string{fmt.Sprintf("refuse the client with %d and this body", r.Status)}
		}
		if !letsIn(r.Status, r.Header) {
			return []string{"refuse the client with 403: the reply has no WS-Accept: yes"}
		}
		if _, reason := readHeader(r.Header, attributes{}); reason != "" {
			r.Failed = true
			return []string{fmt.Sprintf("refuse the client with 502: %s (%s)", badReply, reason)}
		}
		return append([]string{"let the client in"}, s.messageEffects(r)...)
	case eventDisconnect:
		if p, reason := readHeader(r.Header, attributes{}); reason == "" && r.Status >= 200 && r.Status <= 299 && len(p.orders.publish) > 0 {
			return p.publishEffects(r.Body)
		}
	case eventMessage:
		if word, reason := readStatus(r.Status, r.Stderr != ""); word != "" {
			r.Failed = true
			return []string{fmt.Sprintf("%s (%s), so on_error = %s", word, reason, s.terms.OnError)}
		}
		return s.messageEffects(r)
	}
	r.Failed = r.Status >= 500
	return []string{"nothing: nobody is left to hear it"}
}

func (s *session) messageEffects(r *Report) (effects []string) {
	p, reason := readHeader(r.Header, attributes{})
	if reason != "" {
		r.Failed = true
		return []string{fmt.Sprintf("%s (%s), so on_error = %s", badReply, reason, s.terms.OnError)}
	}
	for _, name := range unknownFields(r.Header) {
		effects = append(effects, "ignore the unknown field "+name)
	}
	if p.attributes.user != "" {
		effects = append(effects, fmt.Sprintf("bind the user %q", p.attributes.user))
	}
	for _, a := range p.attributes.list {
		effects = append(effects, fmt.Sprintf("bind %s = %q", a.name, a.value))
	}
	for _, name := range p.attributes.channels {
		effects = append(effects, "subscribe to the channel "+name)
	}
	if p.expire > 0 {
		effects = append(effects, fmt.Sprintf("close the connection in %d s", p.expire))
	}
	switch op, send, mended := p.opcode(r.Body); {
	case formatOf(r.Header) != whole:
		effects = append(effects, "send each event of this stream as a message when PHP flushes it")
	case !send:
		effects = append(effects, "send nothing")
	case len(p.orders.publish) > 0:
		effects = append(effects, p.publishEffects(r.Body)...)
	case mended:
		effects = append(effects, "send the body as a binary message, for it is not UTF-8")
	default:
		effects = append(effects, fmt.Sprintf("send the body as a %s message of %d bytes", op, len(r.Body)))
	}
	if p.close != nil {
		effects = append(effects, fmt.Sprintf("close with %d %s", p.close.Code, p.close.Reason))
	}
	return effects
}

// publishEffects says where the body goes.
func (p reply) publishEffects(body []byte) (effects []string) {
	op, send, _ := p.opcode(body)
	if !send {
		return []string{"publish nothing"}
	}
	for _, publication := range p.orders.publish {
		to := strings.Join(publication.channels, ", ")
		if publication.excludeSelf {
			to += ", but not to this client"
		}
		effects = append(effects, fmt.Sprintf("publish the body as a %s message of %d bytes to %s", op, len(body), to))
	}
	if p.orders.reply {
		effects = append(effects, "send it to the client as well")
	}
	return effects
}
