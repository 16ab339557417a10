package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
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
	session fastcgi.Params
	event   environment
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func takeScratch() *scratch { return scratches.Get().(*scratch) }

func giveScratch(w *scratch) {
	poison(w.session)
	poison(w.event.params)
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
		var digits [20]byte
		w.event.add("WS_EVENT_SEQ", string(strconv.AppendUint(digits[:0], s.seq, 10)))
	}
	return &w.event
}

// newMessage begins the message event for m.
func (s *session) newMessage(w *scratch, m message) {
	e := s.newEvent(w, eventMessage)
	e.add("WS_OPCODE", m.op.String())
	e.add("CONTENT_TYPE", contentType(s.terms.ContentType, m.op == websocket.Text, m.body))
}

// fill gives the request for the event in w.
func (s *session) fill(w *scratch, request fastcgi.Request) *fastcgi.Request {
	if w.event.err != nil {
		panic("BUG: " + w.event.err.Error())
	}
	w.session = s.appendParams(w.session[:0])
	w.blocks = [5]fastcgi.Params{s.terms.params, s.joined.events, w.session, s.attributes().params, w.event.params}
	w.request = request
	w.request.Params = w.blocks[:]
	return &w.request
}

// isClosed reports whether a backend has refused a request, for it takes none
// any more.
func isClosed(err error) bool {
	e, ok := errors.AsType[*fastcgi.Error](err)
	return ok && e.Kind == fastcgi.KindClosed && e.Outcome == fastcgi.NotExecuted
}

// send sends the event in w to PHP and waits for the head of the reply.
func (s *session) send(ctx context.Context, w *scratch, request fastcgi.Request) (*fastcgi.Response, error) {
	s.fill(w, request)
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

// answer waits for PHP's answer to m and sends the client what comes of it.
func (s *session) answer(m message) {
	w := takeScratch()
	defer giveScratch(w)
	s.newMessage(w, m)
	response, err := s.send(s.gateway.ctx, w, fastcgi.Request{Body: m.body})
	if err != nil {
		s.settle(reply{}, s.failed(err), "")
		return
	}
	s.handOn(response)
}

// handOn sends the client an answer whose head has come.
func (s *session) handOn(response *fastcgi.Response) {
	if streamed(response) {
		s.settle(s.stream(response, formatOf(response.Header)))
		return
	}
	body, err := response.AppendBody(nil, s.terms.MaxReply)
	s.settle(s.take(response, body, 0, err))
}

// settle ends an event with what came of it.
func (s *session) settle(r reply, word failure, stderr string) {
	s.gateway.count.event(eventMessage, word, s.gateway.clock()-s.asked)
	if word != "" {
		s.sendFailure(word, stderr)
	}
	if word == backendBusy {
		s.mu.Lock()
		s.refused = true
		s.mu.Unlock()
	}
	if r.close != nil {
		s.closeNow(*r.close)
	}
}

// streamed reports whether an answer is to be sent bit by bit.
func streamed(response *fastcgi.Response) bool {
	return response.Status >= 200 && response.Status < 300 && formatOf(response.Header) != whole
}

// take sends the client an answer that has come whole, or says what is wrong. The
// body is b[room:].
func (s *session) take(response *fastcgi.Response, b []byte, room int, err error) (r reply, word failure, stderr string) {
	stderr = s.logStderr(response)
	if err != nil {
		return reply{}, s.failed(err), stderr
	}
	word, reason := readStatus(response.Status, stderr != "")
	if word == "" {
		if r, reason = readHeader(response.Header, s.attributes()); reason != "" {
			word = badReply
		}
	}
	if word != "" {
		s.logBadReply(word, reason)
		return reply{}, word, stderr
	}
	s.apply(r, response.Header)
	s.sendBody(r, b, room)
	return r, "", stderr
}

// A frame's header has room in front of a reply's body, or this does not compile.
const _ = uint(fastcgi.BodyRoom - websocket.FrameRoom)

// apply does what a reply asks for besides its body and its close.
func (s *session) apply(r reply, h fastcgi.Header) {
	s.bind(r.attributes)
	if r.expire > 0 {
		s.conn.ExpireAfter(time.Duration(r.expire) * time.Second)
	}
	s.gateway.logUnknown(s.terms.Script, unknownFields(h))
}

// sendBody sends b[room:], the body of a reply or a part of a streamed one: to
// the client, or to channels if the reply says so. What is in front of it may be
// overwritten.
func (s *session) sendBody(r reply, b []byte, room int) {
	body := b[room:]
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
	s.conn.WriteInPlace(op, b, room) // what is not accepted is counted there
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
