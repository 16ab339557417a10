package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// The events that PHP can be told of. A route asks for the first three; start
// comes with connect or disconnect.
const (
	eventConnect    = "connect"
	eventMessage    = "message"
	eventDisconnect = "disconnect"
	eventStart      = "start"
)

// A scratch is the memory that one event needs. Whoever takes one gives it
// back when the event is over; no reply outlives that.
type scratch struct {
	request fastcgi.Request
	blocks  [5]fastcgi.Params
	event   environment
	body    []byte // of the reply
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is the largest reply buffer kept: one large reply must not pin
// its memory for good.
const maxScratch = 64 << 10

func takeScratch() *scratch { return scratches.Get().(*scratch) }

func giveScratch(w *scratch) {
	poison(w.body)
	poison(w.event.params)
	if cap(w.body) > maxScratch {
		w.body = nil
	}
	w.request, w.blocks = fastcgi.Request{}, [5]fastcgi.Params{}
	scratches.Put(w)
}

// newEvent begins the params of the next event of s, which goes by what is in
// force for its route now.
func (s *session) newEvent(w *scratch, name string) *environment {
	s.terms = s.route.now.Load()
	w.event = environment{params: w.event.params[:0]}
	w.event.add("WS_EVENT", name)
	if s.id != "" {
		w.event.add("WS_EVENT_SEQ", utoa(s.seq))
	}
	return &w.event
}

// send sends the event in w to PHP and waits for the head of the reply.
func (s *session) send(ctx context.Context, w *scratch, request fastcgi.Request) (*fastcgi.Response, error) {
	if w.event.err != nil {
		panic("BUG: " + w.event.err.Error())
	}
	w.blocks = [5]fastcgi.Params{s.terms.params, s.joined.events, s.params, s.attributes.params, w.event.params}
	w.request = request
	w.request.Params = w.blocks[:]
	for {
		response, err := s.terms.Backend.Do(ctx, &w.request)
		if !isClosed(err) || s.terms == s.route.now.Load() {
			return response, err
		}
		// The backend was replaced just now, and has not taken the request.
		s.terms = s.route.now.Load()
		w.blocks[0] = s.terms.params
	}
}

// isClosed reports whether a backend has refused a request, for it takes none
// any more.
func isClosed(err error) bool {
	e, ok := errors.AsType[*fastcgi.Error](err)
	return ok && e.Kind == fastcgi.KindClosed && e.Outcome == fastcgi.NotExecuted
}

// answer has PHP work on m and sends the client what comes of it.
func (s *session) answer(m message) {
	w := takeScratch()
	defer giveScratch(w)
	s.seq++
	started := time.Now()
	r, word, stderr := s.ask(w, m)
	s.gateway.count.event(eventMessage, word, time.Since(started))
	if word != "" {
		s.sendFailure(word, stderr)
	}
	if r.close != nil {
		s.closeNow(*r.close)
	}
}

// ask runs the message event for m and sends the answer.
func (s *session) ask(w *scratch, m message) (r reply, word failure, stderr string) {
	e := s.newEvent(w, eventMessage)
	e.add("WS_OPCODE", m.op.String())
	e.add("CONTENT_TYPE", contentType(s.terms.ContentType, m.op == websocket.Text, m.body))
	response, err := s.send(s.gateway.ctx, w, fastcgi.Request{Body: m.body})
	if err != nil {
		return reply{}, s.failed(err), ""
	}
	kind := formatOf(response.Header)
	if kind != whole && response.Status >= 200 && response.Status < 300 {
		return s.stream(response, kind)
	}
	w.body, err = response.AppendBody(w.body[:0], s.terms.MaxReply)
	stderr = s.logStderr(response)
	if err != nil {
		return reply{}, s.failed(err), stderr
	}
	word, reason := readStatus(response.Status, stderr != "")
	if word == "" {
		if r, reason = readHeader(response.Header, s.attributes); reason != "" {
			word = badReply
		}
	}
	if word != "" {
		s.logBadReply(word, reason)
		return reply{}, word, stderr
	}
	s.apply(r, response.Header)
	s.sendBody(r, w.body)
	return r, "", stderr
}

// apply does what a reply asks for besides its body and its close.
func (s *session) apply(r reply, h fastcgi.Header) {
	s.bind(r.attributes)
	if r.expire > 0 {
		s.conn.ExpireAfter(time.Duration(r.expire) * time.Second)
	}
	s.gateway.logUnknown(s.terms.Script, unknownFields(h))
}

// sendBody sends the body of a reply, or a part of a streamed one: to the
// client, or to channels if the reply says so.
func (s *session) sendBody(r reply, body []byte) {
	op, send, mended := r.opcode(body)
	if mended {
		s.gateway.log.Warn("text of PHP is not UTF-8 and goes as binary",
			"connection", s.id, "seq", s.seq, "script", s.terms.Script)
	}
	if !send {
		return
	}
	if len(r.orders.publish) > 0 {
		s.publish(r.orders.publish, op, body)
		if !r.orders.reply {
			return
		}
	}
	s.gateway.count.replies.Inc()
	s.conn.WriteMessage(op, body) // what is not accepted is counted there
}

// failed logs why an event has no reply and chooses the word for it.
func (s *session) failed(err error) failure {
	e, ok := errors.AsType[*fastcgi.Error](err)
	if !ok {
		panic("BUG: not an error of fastcgi: " + err.Error())
	}
	word := backendFailed
	switch e.Kind {
	case fastcgi.KindBusy:
		word = backendBusy
	case fastcgi.KindTimeout:
		word = backendTimeout
	case fastcgi.KindTooBig:
		word = replyTooBig
	case fastcgi.KindBadReply:
		word = badReply
	}
	s.gateway.log.Warn("no reply of PHP", "connection", s.id, "seq", s.seq, "script", s.terms.Script,
		"error", string(word), "outcome", e.Outcome.String(), "reason", err.Error())
	return word
}

func (s *session) logBadReply(word failure, reason string) {
	s.gateway.log.Warn("reply of PHP", "connection", s.id, "seq", s.seq, "script", s.terms.Script,
		"error", string(word), "reason", reason)
}

// logStderr logs what PHP wrote to its error log, once a request.
func (s *session) logStderr(r *fastcgi.Response) string {
	text, dropped := r.Stderr()
	if len(text) == 0 {
		return ""
	}
	s.gateway.log.Warn("PHP wrote to stderr", "connection", s.id, "seq", s.seq, "script", s.terms.Script,
		"stderr", string(text), "dropped", dropped)
	return string(text)
}

// sendFailure tells the client, in the way the route chose, that its message
// has no answer.
func (s *session) sendFailure(word failure, stderr string) {
	switch s.terms.OnError {
	case OnErrorMessage:
		s.gateway.count.excuses.Inc()
		s.conn.WriteMessage(websocket.Text, s.failureMessage(word, stderr))
	case OnErrorClose:
		s.closeNow(websocket.Closing{Code: websocket.StatusInternal, Reason: string(word)})
	}
}

func (s *session) failureMessage(word failure, stderr string) []byte {
	f := struct {
		Error      failure `json:"error"`
		Connection string  `json:"connection"`
		Seq        uint64  `json:"seq"`
		Stderr     string  `json:"stderr,omitempty"`
	}{word, s.id, s.seq, ""}
	if s.gateway.opts().ShowErrors {
		f.Stderr = strings.ToValidUTF8(stderr, "\uFFFD")
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}
