package gateway

import "ws-fpm/websocket"

// Fail closes the connection once the messages that came before the fault are
// answered (see websocket.Handler).
func (s *session) Fail(err *websocket.ProtocolError) {
	s.gateway.log.Debug("client broke the protocol", "connection", s.id, "code", err.Code, "reason", err.Reason)
	s.cutStream(true)
	s.closeAfter(websocket.Closing{Code: err.Code})
}

// goAway closes the connection for a shutdown, after the messages that wait.
func (s *session) goAway() {
	s.closeAfter(websocket.Closing{Code: websocket.StatusGoingAway})
}

// closeAfter closes when nothing waits for PHP. What comes meanwhile is not
// for PHP any more.
func (s *session) closeAfter(how websocket.Closing) {
	s.mu.Lock()
	s.deaf = true
	now := !s.serving
	if s.last == nil {
		s.last = &how
	}
	s.mu.Unlock()
	if now {
		s.conn.Close(how.Code, how.Reason)
	}
}

// closeNow closes with what PHP or a failure asked for. Messages that wait are
// dropped: a client that is thrown out is not served further.
func (s *session) closeNow(how websocket.Closing) {
	s.forget()
	s.conn.Close(how.Code, how.Reason)
}

// Shed forgets the messages that wait (see websocket.Handler).
func (s *session) Shed() { s.forget() }

func (s *session) forget() {
	s.cutStream(true)
	s.mu.Lock()
	s.deaf = true
	dropped := s.queue
	s.queue, s.queued = nil, 0
	s.mu.Unlock()
	s.gateway.count.dropped.Add(uint64(len(dropped)))
	for _, m := range dropped {
		s.conn.Hold(-m.held)
	}
}

// Ended takes note that the socket is gone (see websocket.Handler). Messages
// that came before still run.
func (s *session) Ended(how websocket.Closing) {
	s.cutStream(true)
	s.mu.Lock()
	s.ended, s.how = true, &how
	last := !s.serving
	s.mu.Unlock()
	if last {
		defer s.finish() // whatever becomes of the rest
	}
	s.gateway.hub.Leave(&s.seat)
	s.gateway.count.closed(how)
	s.gateway.log.Debug("closed", "connection", s.id, "code", how.Code, "by", how.By)
}

// finish is called once, when the socket is gone and the last message event
// has ended.
func (s *session) finish() { s.part(*s.how, s.joined.has(eventDisconnect)) }

// part ends a session. If PHP is owed a disconnect the session keeps its place
// among the connections until that is delivered: who comes and goes faster than
// PHP can be told has to wait outside.
func (s *session) part(how websocket.Closing, owed bool) {
	s.dismiss()
	if !owed {
		s.gone()
		return
	}
	s.seq++
	s.post(lateEvent{s, eventDisconnect, how})
}

// gone gives the session's place to another.
func (s *session) gone() { s.gateway.leave(s.route, s.visitor) }
