package gateway

import (
	"errors"
	"io"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// Sizes of a streamed reply, in bytes.
const (
	// maxAhead is how much may wait for the client before PHP is not read
	// any more, so that it is PHP that waits.
	maxAhead = 64 << 10

	streamBuffer = 16 << 10
)

// errCloseOrdered ends a stream that said ws-close.
var errCloseOrdered = errors.New("gateway: stream closed the connection")

// stream sends each event of a streamed reply as PHP flushes it.
func (s *session) stream(response *fastcgi.Response, kind format) (r reply, word failure, stderr string) {
	r, reason := readHeader(response.Header, s.attributes())
	if reason != "" {
		s.logBadReply(badReply, reason)
		response.Close()
		return reply{}, badReply, s.logStderr(response)
	}
	if err := response.Stream(); err != nil {
		response.Close()
		return reply{}, s.failed(err), s.logStderr(response)
	}
	s.apply(r, response.Header)
	if r.op != 0 {
		r.forced = true // an event of an empty text is an event
	}
	if !s.beginStream(response, r.interrupt) {
		r.close = nil // it was for the end of the stream
		response.Close()
		return r, "", s.logStderr(response)
	}
	err := s.copyStream(&r, response, splitter{format: kind, max: s.terms.MaxReply})
	cut := s.endStream()
	response.Close()
	stderr = s.logStderr(response)
	switch {
	case err == nil || errors.Is(err, errCloseOrdered) || errors.Is(err, websocket.ErrClosed):
		return r, "", stderr // even if it was cut in its last moment
	case cut:
		r.close = nil // it was for the end of the stream, which did not come
		return r, "", stderr
	case errors.Is(err, errLongEvent):
		s.logBadReply(replyTooBig, err.Error())
		return r, replyTooBig, stderr
	}
	if _, ok := errors.AsType[*fastcgi.Error](err); ok {
		return r, s.failed(err), stderr
	}
	s.logBadReply(badReply, err.Error())
	return r, badReply, stderr
}

// copyStream sends what comes until the reply ends. The next part is read when
// the client has taken most of what came before.
func (s *session) copyStream(r *reply, response *fastcgi.Response, split splitter) error {
	emit := func(i item) error {
		if i.close != nil {
			r.close = i.close
			return errCloseOrdered
		}
		s.sendBody(*r, i.message, 0)
		return s.conn.WaitRoom(maxAhead)
	}
	buf := make([]byte, streamBuffer)
	for {
		n, err := response.Read(buf)
		if err := split.feed(buf[:n], emit); err != nil {
			return err
		}
		switch {
		case err == io.EOF:
			return split.end(emit)
		case err != nil:
			return err
		}
	}
}

// beginStream makes response the one that cutStream ends. It fails if there
// is nobody left to read it, or if what would interrupt it has come already.
func (s *session) beginStream(response *fastcgi.Response, interrupt bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noStream || interrupt && len(s.queue) > 0 {
		return false
	}
	s.streaming, s.interrupt, s.cut = response, interrupt, false
	return true
}

// endStream ends what beginStream began, and reports whether it was cut.
func (s *session) endStream() (cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cut = s.cut
	s.streaming, s.interrupt, s.cut = nil, false, false
	return cut
}

// cutStream ends a stream in progress: nobody wants the rest. PHP ends at its
// next write. If it is for good there will be no other.
func (s *session) cutStream(forGood bool) {
	s.mu.Lock()
	s.noStream = s.noStream || forGood
	response := s.cutLocked()
	s.mu.Unlock()
	if response != nil {
		response.Close()
	}
}

// cutLocked gives the reply that the caller is to close once it has let go of
// the lock, or nil.
func (s *session) cutLocked() *fastcgi.Response {
	s.cut = s.streaming != nil
	return s.streaming
}
