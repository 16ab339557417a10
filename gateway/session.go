package gateway

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"ws-fpm/fastcgi"
	"ws-fpm/hub"
	"ws-fpm/websocket"
)

// maxQueued is how many bytes of messages may wait for PHP before the client's
// socket is not read; the message that passes it is still accepted.
const maxQueued = 1 << 20

// A session is one connection as PHP knows it. PHP works on one message of it
// at a time, for which no goroutine waits unless the answer takes one: it is
// streamed, or to be published.
type session struct {
	gateway *Gateway
	route   *route
	joined  *terms // what of the route stays as it was at the handshake
	conn    *websocket.Conn
	id      string // WS_CONNECTION_ID
	seat    hub.Seat[*websocket.Prepared]
	since   int64    // WS_CONNECTED_AT
	remote  string   // REMOTE_ADDR
	visitor *visitor // whose connections are counted together; nil: nobody's

	// The params that every event of the connection repeats: see blocks.
	common unique.Handle[string]
	own    string

	// Of whoever handles the session's events, one after the other.
	terms  *terms        // what the event goes by
	seq    uint64        // of the last event
	inHand int           // bytes charged for the message that PHP works on
	asked  time.Duration // when PHP was given it, on the gateway's clock
	bound  *attributes   // nil: nothing; others read it under mu, so it is replaced under it

	open atomic.Bool // conn may be used, and early is empty; set once, under mu

	mu      sync.Mutex         // guards what follows
	serving bool               // PHP has a message, or its answer is being handed on
	paused  bool               // the client is not read, for too much waits
	deaf    bool               // what still comes is not worth PHP's time
	ended   bool               // the socket is gone
	early   *early             // what waits for the end of the handshake; nil: nothing
	queue   []message          // that wait for PHP to be done with one
	queued  int                // bytes of queue
	last    *websocket.Closing // to close with when nothing waits; nil: stay open
	how     *websocket.Closing // by what the socket is gone; nil: it is not

	refused   bool              // the last message found no room with PHP
	resting   bool              // so PHP is asked nothing until busyRest is over, though serving is set
	interrupt bool              // the next message ends the stream
	cut       bool              // it was ended before its end
	noStream  bool              // nobody is left to read one
	streaming *fastcgi.Response // what PHP answers bit by bit; nil: nothing
}

// attributes are what PHP's replies have bound.
func (s *session) attributes() attributes {
	if s.bound == nil {
		return attributes{}
	}
	return *s.bound
}

// A message waits for PHP.
type message struct {
	op   websocket.Opcode
	body []byte
	held int // bytes charged for it, from its arrival until PHP has answered it
}

// messageCost is what a message that waits takes besides its body, in bytes.
const messageCost = 64

// Message takes a message from the client (see websocket.Handler).
func (s *session) Message(op websocket.Opcode, payload []byte) (more bool) {
	s.mu.Lock()
	switch {
	case s.deaf:
		s.mu.Unlock()
		s.gateway.count.dropped.Inc()
		return true
	case !s.serving:
		s.serving = true
		s.mu.Unlock()
		held := 0
		if len(payload) > bodySize { // there are no more small ones than may be in hand or in the queue of a pool
			held = len(payload)
		}
		if !s.conn.Hold(held) {
			s.conn.Hold(-held)
			s.gateway.count.dropped.Inc()
			s.next() // there is none
			return true
		}
		s.ask(message{op, payload, held})
		return true
	}
	body := copyBody(payload)
	m := message{op, body, cap(body) + messageCost}
	// Whoever has an answer may speak again before we are done with it. That is
	// not to cost the connection, as more does when memory is short.
	alone := len(s.queue) == 0 && len(body) <= bodySize
	s.queue = append(s.queue, m)
	s.queued += len(payload)
	s.paused = s.fullLocked()
	paused := s.paused
	var stop *fastcgi.Response
	if s.interrupt {
		stop = s.cutLocked()
	}
	s.mu.Unlock()
	if stop != nil {
		stop.Close()
	}
	if alone {
		s.conn.Charge(m.held)
	} else {
		s.conn.Hold(m.held) // not under the lock: it may find this client to be the one to go
	}
	if paused {
		s.gateway.count.pauses.Inc()
	}
	return !paused
}

func (s *session) fullLocked() bool {
	return len(s.queue) >= s.route.now.Load().Waiting || s.queued >= maxQueued
}

// ask has PHP work on m, whose body is the caller's again when it returns.
// Nobody waits for the answer: Received is told.
func (s *session) ask(m message) {
	s.inHand = m.held
	s.seq++
	s.asked = s.gateway.clock()
	w := takeScratch()
	s.newMessage(w, m)
	s.gateway.work.Add(1)
	started := s.terms.Backend.Start(s.gateway.ctx, s.fill(w, fastcgi.Request{Body: m.body}), s.terms.MaxReply, s)
	giveScratch(w)
	if started {
		return // and perhaps answered by now
	}
	own := message{m.op, copyBody(m.body), m.held}
	s.gateway.work.Go(func() { s.serve(own) })
	s.gateway.work.Done()
}

// Received takes what PHP answers to a message (see fastcgi.Receiver). An answer
// that is streamed is for a goroutine, for it waits for both sides; so is one to
// be published, for as long as that takes whoever calls has no time for others.
func (s *session) Received(response *fastcgi.Response, err error) {
	if err == nil && (streamed(response) || response.Whole() && response.Header.Get("WS-Publish") != "") {
		response.Detach()
		s.gateway.work.Go(func() { s.serveAnswer(response) })
		s.gateway.work.Done()
		return
	}
	if err == nil && !response.Whole() {
		return
	}
	defer s.gateway.work.Done()
	defer s.rescue()
	var b []byte
	room := 0
	if err == nil {
		b, room = response.RoomAndBody(), fastcgi.BodyRoom
	}
	s.settle(s.take(response, b, room, err))
	s.goOn()
}

// serveAnswer hands on an answer, in a goroutine that may wait.
func (s *session) serveAnswer(response *fastcgi.Response) {
	defer s.rescue()
	s.handOn(response)
	s.goOn()
}

// goOn ends the work on a message and begins that on the next.
func (s *session) goOn() {
	s.conn.Hold(-s.inHand)
	s.inHand = 0
	if m, more := s.next(); more {
		s.ask(m)
		giveBody(m.body)
	}
}

// serve works on m, for which PHP was not begun to be asked, in a goroutine that
// may wait.
func (s *session) serve(m message) {
	defer s.rescue()
	s.answer(m)
	giveBody(m.body)
	s.goOn()
}

// busyRest is the time from a message that found no room with PHP to the next of
// the same connection, whether that waits already or is yet to come. Without it,
// who sends much to a full pool would be told so as fast as the processor can say
// it, at the cost of all others.
const busyRest = 50 * time.Millisecond

// rest goes on after busyRest.
func (s *session) rest() {
	s.gateway.work.Add(1)
	time.AfterFunc(busyRest, func() {
		defer s.gateway.work.Done()
		defer s.rescue()
		s.goOn()
	})
}

// next gives the next message, or ends serving, or puts both off.
func (s *session) next() (m message, more bool) {
	s.mu.Lock()
	s.resting = s.refused && (len(s.queue) > 0 || s.last == nil && !s.ended)
	s.refused = false
	if s.resting {
		s.mu.Unlock()
		s.rest()
		return message{}, false
	}
	if len(s.queue) == 0 {
		last, ended := s.last, s.ended
		s.serving = false
		s.queue = nil
		s.mu.Unlock()
		if last != nil {
			s.conn.Close(last.Code, last.Reason)
		}
		if ended {
			s.finish()
		}
		return message{}, false
	}
	m = s.queue[0]
	s.queue[0] = message{}
	s.queue = s.queue[1:]
	s.queued -= len(m.body)
	resume := s.paused && !s.fullLocked()
	if resume {
		s.paused = false
	}
	s.mu.Unlock()
	if resume {
		s.conn.Resume()
	}
	return m, true
}

// rescue is deferred where an answer is worked on: a panic costs this client
// its connection, and no other client anything.
func (s *session) rescue() {
	v := recover()
	if v == nil {
		return
	}
	s.gateway.panicked(v, debug.Stack())
	s.conn.Hold(-s.inHand)
	s.forget()
	s.mu.Lock()
	s.serving = false
	last := s.ended
	s.mu.Unlock()
	s.conn.Kill()
	if last {
		s.finish()
	}
}
