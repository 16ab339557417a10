package control

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"
)

// A refusal is the answer to a request that is not looked at.
type refusal struct {
	cause  cause
	status int
	text   string
}

// handle answers one request.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	c.heard = true
	a := &answer{ResponseWriter: w}
	defer s.finish(a)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	refused := s.check(c, r)
	if refused == nil {
		refused = readBody(w, r, c.listener.private && r.Method == http.MethodPost)
	}
	if refused != nil {
		s.count.refuse(refused.cause, c)
		w.Header().Set("Connection", "close")
		if refused.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ws-fpm"`)
		}
		fail(a, refused.status, refused.text)
		return
	}
	c.listener.mux.ServeHTTP(a, r)
}

// check decides by the header alone whether r may come any further. Where it
// comes from is first, so that a page in a browser learns nothing by guessing
// tokens.
func (s *Server) check(c *conn, r *http.Request) *refusal {
	l, access := c.listener, s.access.Load()
	switch {
	case c.stranger:
		return &refusal{causePeer, http.StatusForbidden, "user: not one who may use this socket"}
	case r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return &refusal{causeVersion, http.StatusHTTPVersionNotSupported, "version: want HTTP/1.1"}
	case fields(r.Header) > maxFields:
		return &refusal{causeFields, http.StatusRequestHeaderFieldsTooLarge, "header: want at most 100 fields"}
	case r.Header["Origin"] != nil:
		return &refusal{causeBrowser, http.StatusForbidden, "Origin: this is not for browsers"}
	case r.Header["Sec-Fetch-Site"] != nil:
		return &refusal{causeBrowser, http.StatusForbidden, "Sec-Fetch-Site: this is not for browsers"}
	case l.local && !hostAllowed(r.Host, access.Hosts):
		return &refusal{causeHost, http.StatusForbidden, "Host: want localhost or a loopback address"}
	case l.private && (!l.unix || !access.Token.isZero()) && !access.Token.matches(bearer(r.Header["Authorization"])):
		return &refusal{causeToken, http.StatusUnauthorized, "Authorization: want Bearer and the token"}
	}
	return nil
}

func fields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// A wholeBody is a request's body that has been read.
type wholeBody struct{ bytes []byte }

func (wholeBody) Read([]byte) (int, error) { return 0, io.EOF }
func (wholeBody) Close() error             { return nil }

// readBody reads the body of r, so that no row waits for its caller, and keeps
// it if a row may want it.
func readBody(w http.ResponseWriter, r *http.Request, keep bool) *refusal {
	tooLong := &refusal{causeBody, http.StatusRequestEntityTooLarge, "body: want at most 1 MiB"}
	if r.ContentLength > maxBody {
		return tooLong // before a client that waits for 100 (Continue) sends it
	}
	var body bytes.Buffer // it grows with what comes
	into := io.Discard
	if keep {
		into = &body
	}
	_, err := io.Copy(into, http.MaxBytesReader(w, r.Body, maxBody))
	r.Body = wholeBody{body.Bytes()}
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return tooLong
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{causeTimeout, http.StatusRequestTimeout, "body: want it within 10 s"}
	}
	if err != nil {
		return &refusal{causeUnread, http.StatusBadRequest, "body: cut short or malformed"}
	}
	return nil
}

// finish is deferred where a request is answered. A panic costs this caller its
// connection, and nobody else anything.
func (s *Server) finish(a *answer) {
	if v := recover(); v != nil {
		s.count.panics.Inc()
		if unsaid, ok := s.count.panic.allow(time.Now()); ok {
			s.count.log.Error("panic in the control API", "panic", v, "stack", string(debug.Stack()), "unlogged", unsaid)
		}
		s.count.answers[5].Inc()
		panic(http.ErrAbortHandler) // which net/http takes as an order to cut it
	}
	if n := s.count.answers[a.status/100]; n != nil {
		n.Inc()
	}
}
