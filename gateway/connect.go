package gateway

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// maxRefusal is the longest body of a refused handshake, in bytes.
const maxRefusal = 64 << 10

// A welcome is what PHP's connect reply adds to an accepted handshake.
type welcome struct {
	reply       reply
	header      fastcgi.Header
	subprotocol string
	body        []byte // the first message
}

// A verdict is what comes of the connect event.
type verdict struct {
	welcome *welcome // nil: refused
	owed    bool     // PHP may believe in this connection: it is owed a disconnect

	// Of a refusal.
	result outcome
	status int
	header http.Header // PHP's end-to-end fields
	body   []byte
}

// connect asks PHP whether the client may come in.
func (s *session) connect(offered []string) verdict {
	w := takeScratch()
	defer giveScratch(w)
	started := time.Now()
	v, word := s.askConnect(w, offered)
	s.gateway.count.event(eventConnect, word, time.Since(started))
	return v
}

func (s *session) askConnect(w *scratch, offered []string) (verdict, failure) {
	e := s.newEvent(w, eventConnect)
	if len(offered) > 0 {
		e.add("WS_SUBPROTOCOLS", strings.Join(offered, ", "))
	}
	response, err := s.send(s.gateway.ctx, w, fastcgi.Request{Get: true, Class: fastcgi.Connect})
	if err != nil {
		return s.connectFailed(err)
	}
	lets := letsIn(response.Status, response.Header)
	if formatOf(response.Header) != whole {
		response.Close()
		s.logStderr(response)
		return s.badConnect("a streamed reply to connect", lets)
	}
	limit := maxRefusal
	if lets {
		limit = s.terms.MaxReply
	}
	body, err := response.AppendBody(nil, limit)
	s.logStderr(response)
	if err != nil {
		v, word := s.connectFailed(err)
		v.owed = v.owed && lets // a head without WS-Accept has refused already
		return v, word
	}
	s.gateway.logUnknown(s.terms.Script, unknownFields(response.Header))
	if !lets {
		return refusal(response, body), ""
	}
	r, reason := readHeader(response.Header, attributes{})
	if reason != "" {
		return s.badConnect(reason, true)
	}
	s.bind(r.attributes) // a disconnect knows them even if the client has left meanwhile
	welcome := &welcome{reply: r, header: response.Header, body: body}
	welcome.subprotocol = s.chooseSubprotocol(response.Header.Get("Sec-WebSocket-Protocol"), offered)
	return verdict{welcome: welcome, owed: true}, ""
}

// letsIn reports whether a connect reply lets the client in. A success alone
// does not: a script that dies with a message is one, too.
func letsIn(status int, h fastcgi.Header) bool {
	return status >= 200 && status < 300 && strings.EqualFold(strings.TrimSpace(h.Get("WS-Accept")), "yes")
}

// chooseSubprotocol takes PHP's choice if the client offered it, else the
// route's.
func (s *session) chooseSubprotocol(chosen string, offered []string) string {
	if chosen = strings.TrimSpace(chosen); chosen != "" {
		if choose([]string{chosen}, offered) != "" {
			return chosen
		}
		s.gateway.log.Warn("PHP chose a subprotocol that was not offered", "connection", s.id, "script", s.terms.Script)
	}
	return choose(s.joined.Subprotocols, offered)
}

// connectFailed is the verdict if PHP gave none. A request that did not run
// leaves nothing behind; of any other PHP may have taken note.
func (s *session) connectFailed(err error) (verdict, failure) {
	word := s.failed(err)
	v := verdict{result: refusedBackend, status: http.StatusBadGateway}
	if e, ok := errors.AsType[*fastcgi.Error](err); ok {
		v.owed = e.Outcome != fastcgi.NotExecuted
		switch {
		case e.Outcome == fastcgi.NotExecuted:
			v.status = http.StatusServiceUnavailable
		case e.Kind == fastcgi.KindTimeout:
			v.status = http.StatusGatewayTimeout
		}
	}
	if v.status == http.StatusServiceUnavailable {
		v.header = http.Header{"Retry-After": {"5"}}
	}
	return v, word
}

// badConnect is the verdict on a reply that breaks its rules. If PHP meant to
// let the client in, it is owed a disconnect.
func (s *session) badConnect(reason string, meant bool) (verdict, failure) {
	s.logBadReply(badReply, reason)
	return verdict{result: refusedBackend, status: http.StatusBadGateway, owed: meant}, badReply
}

// refusal hands on PHP's own answer. A success without WS-Accept is none.
func refusal(r *fastcgi.Response, body []byte) verdict {
	v := verdict{result: refusedByPHP, status: r.Status, header: endToEnd(r.Header), body: body}
	switch {
	case v.status >= 200 && v.status < 300:
		v.status = http.StatusForbidden
	case v.status < 200 || v.status > 599:
		v.status = http.StatusBadGateway
	}
	return v
}

// endToEnd gives the fields of a reply that are for the client: not those
// about the connection, nor those that are orders to the gateway.
func endToEnd(h fastcgi.Header) http.Header {
	out := http.Header{}
	for _, f := range h {
		name := http.CanonicalHeaderKey(f.Name)
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length":
			continue
		}
		if !strings.HasPrefix(name, "Ws-") && !strings.HasPrefix(name, "Sec-Websocket-") && plainValue(f.Value) {
			out.Add(name, f.Value)
		}
	}
	return out
}

// plainValue reports whether a field's value has no control characters.
func plainValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// write answers a refused handshake.
func (v *verdict) write(w http.ResponseWriter) {
	for name, values := range v.header {
		w.Header()[name] = values
	}
	w.Header().Set("Connection", "close")
	if len(v.body) == 0 && v.result == refusedBackend {
		http.Error(w, http.StatusText(v.status), v.status)
		return
	}
	w.WriteHeader(v.status)
	w.Write(v.body)
}

// cookieChanges gives what the reply does to the client's cookies.
func (w *welcome) cookieChanges(now time.Time) (changes []cookieChange) {
	for _, line := range w.header.Values("Set-Cookie") {
		c, ok := parseSetCookie(line)
		if !ok {
			continue
		}
		if c.expires != "" && c.maxAge == "" {
			c.deleted = isPast(c.expires, now)
		}
		changes = append(changes, c.cookieChange)
	}
	return changes
}

// isPast reports whether a cookie's date, in the form of today's PHP or that of
// PHP before 8.2, is over. One in neither form tells nothing.
func isPast(date string, now time.Time) bool {
	for _, form := range [...]string{http.TimeFormat, "Mon, 02-Jan-2006 15:04:05 MST"} {
		if t, err := time.Parse(form, date); err == nil {
			return !t.After(now)
		}
	}
	return false
}

// greet sends what PHP said at connect, as the session's first words.
func (s *session) greet(w *welcome) {
	if w == nil {
		return
	}
	if w.reply.expire > 0 {
		s.conn.ExpireAfter(time.Duration(w.reply.expire) * time.Second)
	}
	s.sendBody(w.reply, w.body, 0)
	if c := w.reply.close; c != nil {
		s.closeNow(websocket.Closing{Code: c.Code, Reason: c.Reason})
	}
}

// setCookies makes the changes visible to later events.
func (q *request) setCookies(changes []cookieChange) {
	q.header = maps.Clone(q.header)
	merged := mergeCookies(strings.Join(q.header["Cookie"], "; "), changes)
	delete(q.header, "Cookie")
	if merged != "" {
		q.header["Cookie"] = []string{merged}
	}
}
