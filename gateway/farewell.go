package gateway

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// Limits of the events that no client waits for: disconnect and start.
const (
	lateRate    = 100                    // a second and backend, so that clients who leave do not slow down those who stay
	lateWorkers = 32                     // at once; the pool lets through what it allows for the class
	lateRetry   = 100 * time.Millisecond // the first pause after an attempt; each further is twice as long
	lateRetries = 5 * time.Second        // the longest
	hurryRetry  = 500 * time.Millisecond // the longest while draining
)

// A lateEvent is an event that no client waits for. It is sent until php-fpm
// takes it, and never after it may have run.
type lateEvent struct {
	session *session // of no connection, for start
	name    string
	how     websocket.Closing // of disconnect
}

// A mailbox holds the late events for one backend. Workers exist only while
// it holds any.
type mailbox struct {
	gateway *Gateway

	mu      sync.Mutex // guards what follows
	queue   []lateEvent
	taken   int // events that workers have in hand
	workers int
	turn    time.Time     // when the next event may be sent
	pause   time.Duration // before the next attempt, after one that failed
	retired bool          // no route is served by the backend any more: nothing new is taken
	hurry   chan struct{} // closed when draining: no rate, no class of its own
	idle    chan struct{} // closed while there is nothing to do
}

func newMailbox(g *Gateway) *mailbox {
	m := &mailbox{gateway: g, hurry: make(chan struct{}), idle: make(chan struct{})}
	close(m.idle)
	return m
}

// post gives e to the mailbox of the backend that serves its route now. The
// start of a route that is gone goes nowhere.
func (s *session) post(e lateEvent) {
	for {
		m := s.route.now.Load().late
		if m.take(e) || e.name == eventStart && m == s.route.now.Load().late {
			return
		}
	}
}

// take adds an event, unless the mailbox is retired. There are no more of them
// than connections, for each keeps the place of its own until it is delivered.
func (m *mailbox) take(e lateEvent) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.retired {
		return false
	}
	m.queue = append(m.queue, e)
	if m.workers == 0 {
		m.idle = make(chan struct{})
	}
	if m.workers < lateWorkers {
		m.workers++
		m.gateway.work.Go(m.work)
	}
	return true
}

// retire hands what waits to the mailboxes of the backends that serve its
// routes now. What workers have in hand follows if it has to be sent again.
func (m *mailbox) retire() {
	m.mu.Lock()
	m.retired = true
	queue := m.queue
	m.queue = nil
	m.mu.Unlock()
	for _, e := range queue {
		e.session.post(e)
	}
}

// work sends events until there are none.
func (m *mailbox) work() {
	for {
		m.mu.Lock()
		if len(m.queue) == 0 || m.gateway.ctx.Err() != nil {
			if m.workers--; m.workers == 0 {
				close(m.idle)
			}
			m.mu.Unlock()
			return
		}
		e := m.queue[0]
		m.queue[0] = lateEvent{}
		m.queue = m.queue[1:]
		m.taken++
		now := time.Now()
		wait := max(m.turn.Sub(now), 0)
		m.turn = now.Add(wait + time.Second/lateRate)
		m.mu.Unlock()

		m.sleep(wait, m.hurry)
		again := m.attempt(e)
		pause, early := m.sent(e, again), m.hurry
		if !again && e.name == eventDisconnect {
			e.session.gone()
		}
		if m.hurrying() {
			pause, early = min(pause, hurryRetry), nil
		}
		m.sleep(pause, early)
	}
}

// attempt sends e once, and reports whether it has to be sent again. A panic
// costs that event alone.
func (m *mailbox) attempt(e lateEvent) (again bool) {
	defer func() {
		if v := recover(); v != nil {
			m.gateway.panicked(v, debug.Stack())
		}
	}()
	started := time.Now()
	word, err := e.session.late(e, m.hurrying())
	f, failed := errors.AsType[*fastcgi.Error](err)
	if failed && f.Outcome == fastcgi.NotExecuted && f.Kind != fastcgi.KindRequest {
		return true
	}
	m.gateway.count.event(e.name, word, time.Since(started))
	return false
}

// sent takes back an event that was not sent, and says how long to leave
// php-fpm alone.
func (m *mailbox) sent(e lateEvent, again bool) (pause time.Duration) {
	m.mu.Lock()
	m.taken--
	if again && m.retired {
		m.mu.Unlock()     // for the start of a route that is gone comes back to this mailbox
		e.session.post(e) // to another
		return 0
	}
	defer m.mu.Unlock()
	if !again {
		m.pause = 0
		return 0
	}
	m.pause = min(max(2*m.pause, lateRetry), lateRetries)
	if e.name == eventStart && m.hurrying() {
		return 0 // a process that ends need not say that it began
	}
	m.queue = slices.Insert(m.queue, 0, e)
	return m.pause
}

// sleep waits for d, or until early or all is over.
func (m *mailbox) sleep(d time.Duration, early <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-m.gateway.ctx.Done():
	}
}

func (m *mailbox) hurrying() bool {
	select {
	case <-m.hurry:
		return true
	default:
		return false
	}
}

// hasten has what waits sent without regard to rate and class.
func (m *mailbox) hasten() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hurrying() {
		close(m.hurry)
	}
	m.queue = slices.DeleteFunc(m.queue, func(e lateEvent) bool { return e.name == eventStart })
}

// flush hastens, and returns when all is sent or ctx ends, with the number of
// events not delivered.
func (m *mailbox) flush(ctx context.Context) (left int) {
	m.hasten()
	m.mu.Lock()
	idle := m.idle
	m.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	return m.waiting()
}

// waiting is the number of events not delivered yet.
func (m *mailbox) waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue) + m.taken
}

// late sends a late event once.
func (s *session) late(e lateEvent, urgent bool) (word failure, err error) {
	w := takeScratch()
	defer giveScratch(w)
	p := s.newEvent(w, e.name)
	if e.name == eventDisconnect {
		p.add("WS_CLOSE_CODE", itoa(int(e.how.Code)))
		p.add("WS_CLOSE_REASON", printable(e.how.Reason))
		p.add("WS_CLOSE_BY", e.how.By.String())
	}
	request := fastcgi.Request{Class: fastcgi.Disconnect}
	if urgent {
		request.Class = fastcgi.Message
	}
	response, err := s.send(s.gateway.ctx, w, request)
	if err == nil {
		var body []byte
		body, err = response.AppendBody(nil, s.terms.MaxReply)
		s.logStderr(response)
		if err == nil && response.Status >= 500 {
			word = backendFailed
			s.logBadReply(word, "status "+itoa(response.Status))
		} else if err == nil && e.name == eventDisconnect {
			word = s.lastWords(response, body)
		}
	}
	if err != nil {
		word = s.failed(err)
	}
	return word, err
}

// lastWords publishes what PHP said at disconnect to those who stay.
func (s *session) lastWords(response *fastcgi.Response, body []byte) (word failure) {
	if response.Header.Get("WS-Publish") == "" {
		return "" // all else is for a client who is there
	}
	r, reason := readHeader(response.Header, attributes{})
	switch {
	case reason == "" && formatOf(response.Header) != whole:
		reason = "a streamed reply to disconnect"
	case reason == "" && (response.Status < 200 || response.Status > 299):
		reason = "WS-Publish with status " + itoa(response.Status)
	}
	if reason != "" {
		s.logBadReply(badReply, reason)
		return badReply
	}
	if op, send, _ := r.opcode(body); send {
		s.publish(r.orders.publish, op, body)
	}
	return ""
}

// printable replaces what a param cannot carry.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
