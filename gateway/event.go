package gateway

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// The events that PHP can ask for.
const eventMessage = "message"

// A scratch is the memory that one event needs. It is taken and given back in
// answer; no reply outlives that.
type scratch struct {
	request fastcgi.Request
	blocks  [3]fastcgi.Params
	event   environment
	reply   []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is the largest reply buffer kept: one large reply must not pin
// its memory for good.
const maxScratch = 64 << 10

// answer has PHP work on m and sends the client what comes of it.
func (s *session) answer(m message) {
	w := scratches.Get().(*scratch)
	s.seq++
	started := time.Now()
	r, word, stderr := s.ask(w, m)
	s.gateway.count.event(word, time.Since(started))
	switch {
	case word != "":
		s.sendFailure(word, stderr)
	case r.send:
		s.conn.WriteMessage(r.op, w.reply)
	}
	if r.close != nil {
		s.closeNow(*r.close)
	}
	if cap(w.reply) > maxScratch {
		w.reply = nil
	}
	w.request = fastcgi.Request{}
	w.blocks = [3]fastcgi.Params{}
	scratches.Put(w)
}

// ask runs the message event for m. The body of the reply is in w then.
func (s *session) ask(w *scratch, m message) (r reply, word failure, stderr string) {
	w.event = environment{params: w.event.params[:0]}
	w.event.add("WS_EVENT", eventMessage)
	w.event.add("WS_EVENT_SEQ", utoa(s.seq))
	w.event.add("WS_OPCODE", m.op.String())
	w.event.add("CONTENT_TYPE", contentType(s.route.ContentType, m.op == websocket.Text, m.body))
	if w.event.err != nil {
		panic("BUG: " + w.event.err.Error())
	}
	w.blocks = [3]fastcgi.Params{s.route.params, s.params, w.event.params}
	w.request = fastcgi.Request{Params: w.blocks[:], Body: m.body}

	response, err := s.route.Backend.Do(s.gateway.ctx, &w.request)
	if err != nil {
		return reply{}, s.failed(err), ""
	}
	w.reply, err = response.AppendBody(w.reply[:0], s.route.MaxReply)
	stderr = s.logStderr(response)
	if err != nil {
		return reply{}, s.failed(err), stderr
	}
	r, word, reason := readReply(head{response.Status, response.Header}, w.reply, stderr != "")
	if reason != "" {
		s.gateway.log.Warn("reply of PHP", "connection", s.id, "seq", s.seq, "script", s.route.Script,
			"error", string(word), "reason", reason)
	}
	return r, word, stderr
}

// failed logs why an event has no reply and chooses the word for the client.
func (s *session) failed(err error) failure {
	word := backendFailed
	if e, ok := errors.AsType[*fastcgi.Error](err); ok {
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
		s.gateway.log.Warn("no reply of PHP", "connection", s.id, "seq", s.seq, "script", s.route.Script,
			"error", string(word), "outcome", e.Outcome.String(), "reason", err.Error())
	}
	return word
}

// logStderr logs what PHP wrote to its error log, once a request.
func (s *session) logStderr(r *fastcgi.Response) string {
	text, dropped := r.Stderr()
	if len(text) == 0 {
		return ""
	}
	s.gateway.log.Warn("PHP wrote to stderr", "connection", s.id, "seq", s.seq, "script", s.route.Script,
		"stderr", string(text), "dropped", dropped)
	return string(text)
}

// sendFailure tells the client, in the way the route chose, that its message
// has no answer.
func (s *session) sendFailure(word failure, stderr string) {
	switch s.route.OnError {
	case OnErrorMessage:
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
	if s.gateway.opts.ShowErrors {
		f.Stderr = strings.ToValidUTF8(stderr, "\uFFFD")
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}
