package websocket

import (
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// A Handler is told what happens on one connection. Message, Fail and Ended
// are called in the order of events and never two at a time; Shed may come from
// another goroutine while one of them runs. None of them may wait.
type Handler interface {
	// Message takes a whole message. The payload is lent until Message
	// returns. Returning false pauses reading until Conn.Resume; what has
	// been read already is kept.
	Message(op Opcode, payload []byte) (more bool)

	// Fail says that the client broke the protocol or took too long. What it
	// sends from now on is not looked at. When the messages that came before
	// are answered, the handler is to call Conn.Close with err.Code.
	Fail(err *ProtocolError)

	// Shed says that the queues of all connections hold too much and this
	// one most, or that there is no room for what it sent: the handler is to
	// forget the messages that wait. The connection is being closed with 1013.
	// Shed is called once at most, and even after Ended if the handler still
	// holds memory then (Conn.Hold).
	Shed()

	// Ended is the last call but for Shed, made once, when the socket is gone.
	Ended(how Closing)
}

// ErrClosed is returned for a message that cannot be sent any more.
var ErrClosed = errors.New("websocket: connection closed")

// ErrSlow is returned for the message that found the outbox full. The
// connection is being closed with 1013.
var ErrSlow = errors.New("websocket: client reads too slowly")

// A Conn is the server side of one WebSocket connection. Its methods may be
// called by several goroutines at once, but not under a lock that the handler
// takes: all of them may call the handler, of this connection or, to shed
// load, of another.
type Conn struct {
	server  *Server
	loop    *loop
	ticket  ticket
	handler Handler
	fd      descriptor
	waited  *waited // a goroutine waits for it; nil: the loop does, for fd

	fragment int  // bytes of payload in a frame, at most
	outbox   int  // bytes that may wait to be sent before a message is refused
	deflate  bool // messages to the client may be deflated

	unarmed bool          // nobody waits for bytes
	reader  atomic.Uint32 // a readerState: who may touch that, and what follows
	dec     decoder
	left    *leftover // read before a pause, and not decoded yet; nil: nothing
	heldIn  int       // bytes of dec and left as charged to the budget

	messageRate  rate
	paidMessages int64 // until when the messages so far are paid for
	paidControl  int64 // and the control frames

	// Clocks, in nanoseconds of Server.now. The sweeper reads them.
	heard   atomic.Int64 // when the client last sent anything
	begun   atomic.Int64 // when the unfinished message began; zero: none
	closeBy atomic.Int64 // when patience ends; zero: we are not closing
	expires atomic.Int64 // when we close; zero: never
	blocked atomic.Int64 // since when the loop waits for room to write; zero: it does not

	late   atomic.Bool // the unfinished message took too long: the reader is to fail
	failed atomic.Bool // nothing more is decoded
	dead   atomic.Bool // the socket is closed

	holds  account // what is charged to the budget
	pinged int64   // when the sweeper sent a ping not answered yet; zero: none

	mu           sync.Mutex // guards what follows
	closing      closing
	watched      uint32        // what the poller reports of fd
	writing      bool          // somebody writes, and will take what is in backlog
	broken       bool          // the socket takes no more
	closeWritten bool          // the socket has our close frame
	halfClosed   bool          // and the end of our stream
	backlog      *backlog      // what the socket has not taken; nil: nothing
	heldOut      int           // bytes of backlog as charged to the budget
	room         chan struct{} // closed when backlog shrinks; nil: nobody waits for that
}

// sock is what the client is at the other end of.
func (c *Conn) sock() socket {
	if c.waited != nil {
		return c.waited
	}
	return &c.fd
}

// Start begins to read. The bytes of early came with the handshake; they are
// decoded on the caller's goroutine.
func (c *Conn) Start(early []byte) {
	defer c.rescueReader()
	c.endIfDead()
	if !c.move(fresh, reading) {
		return
	}
	c.mu.Lock()
	c.unarmed = c.watched&readable == 0 // who has arrived in silence is waited for already
	c.mu.Unlock()
	if c.feed(early) {
		c.park()
	}
}

// Handler is the handler given to NewConn.
func (c *Conn) Handler() Handler { return c.handler }

// Hold charges n bytes, which may be negative, that the handler keeps for
// this connection to the memory that all queues share. They are charged in any
// case; ok is false if there is no room for them: the handler has been told so
// by Shed, if that is news, and is not to work on them.
func (c *Conn) Hold(n int) (ok bool) {
	c.Charge(n)
	b := &c.server.budget
	if n <= 0 || !b.full(messagesLevel) {
		return true
	}
	if b.choose(c) {
		c.shedLoad(&c.server.stats.shedMessages)
	}
	return false
}

// Charge is Hold for what is kept however little room there is. Of that a
// connection may have little.
func (c *Conn) Charge(n int) {
	if c.server.budget.charge(c, int64(n)) {
		c.server.relieveLater()
	}
}

// shedLoad closes c because it holds more than any other, or wants room where
// none is; cause counts that. What it holds has to be free soon, so not even the
// client's close frame is waited for. A client that reads nothing would keep the
// frame being written for as long as a write may take; if many do that, they are
// cut.
func (c *Conn) shedLoad(cause *atomic.Uint64) {
	defer c.rescue()
	c.cut(cause)
	c.giveUp(StatusTryAgain)
	payload := appendClose(nil, StatusTryAgain, "overloaded")
	c.mu.Lock()
	c.dropLocked(&c.server.stats.droppedShed)
	c.sendCloseLocked(payload)
	stuck := c.heldOut > 0
	c.unlock()
	c.handler.Shed()
	c.Resume()
	c.nudge()
	if stuck && c.server.budget.crowded(c) {
		c.Kill()
	}
}

// cut counts that c is closed for a fault or a limit. What comes of that, such as
// a close frame that takes too long, is no second cause.
func (c *Conn) cut(cause *atomic.Uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutLocked(cause)
}

func (c *Conn) cutLocked(cause *atomic.Uint64) {
	if !c.closing.counted {
		c.closing.counted = true
		cause.Add(1)
	}
}

// Kill cuts the connection without a closing handshake.
func (c *Conn) Kill() {
	c.dead.Store(true)
	c.sock().Close() // wakes a goroutine that waits; epoll forgets the socket
	c.endIfDead()
}

// endIfDead ends a connection whose socket is closed, unless its reader is at
// work and will do it.
func (c *Conn) endIfDead() {
	if c.dead.Load() && (c.move(parked, ended) || c.move(paused, ended) || c.move(throttled, ended) || c.move(fresh, ended)) {
		c.end()
	}
}

// abandon ends a connection whose reader has panicked.
func (c *Conn) abandon() {
	c.dead.Store(true)
	c.sock().Close()
	if readerState(c.reader.Swap(uint32(ended))) != ended {
		c.end()
	}
}

// end is called once, by whoever made the reader's state ended.
func (c *Conn) end() {
	c.dead.Store(true)
	c.sock().Close()
	c.loop.table.remove(c.ticket)
	c.left = nil
	c.dec.drop(decoderClosed)
	c.chargeIn()

	c.mu.Lock()
	c.breakLocked()
	c.closing.lost()
	how := c.closing.first
	c.mu.Unlock()
	if n, _ := c.holds.load(); n != 0 {
		c.server.budget.outlived(c)
	}
	defer c.rescue() // whoever ended c may serve others too
	c.handler.Ended(how)
}

// rescueReader is deferred by whoever reads c: a panic costs that connection
// and no other.
func (c *Conn) rescueReader() {
	if v := recover(); v != nil {
		c.server.panicked(v)
		c.abandon()
	}
}

// rescue is rescueReader for whoever does something else with c.
func (c *Conn) rescue() {
	if v := recover(); v != nil {
		c.server.panicked(v)
		c.Kill()
	}
}

func (s *Server) panicked(v any) {
	s.stats.panics.Add(1)
	s.opts.OnPanic(v, debug.Stack())
}
