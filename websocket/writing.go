package websocket

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
)

// frames holds messages being encoded. A buffer is taken and given back by
// WriteMessage; nobody else ever holds one.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// maxFrames is the largest of these buffers that is kept, in bytes. There are no
// more than calls at work, and the garbage collector empties the pool.
const maxFrames = 2 << 20

// WriteMessage sends a message, or queues it if the socket does not take it
// now; it never waits. A nil error promises an attempt, not arrival. Other
// errors are ErrClosed and ErrSlow.
func (c *Conn) WriteMessage(op Opcode, payload []byte) error {
	buf := frames.Get().(*[]byte)
	b := c.appendMessage(slices.Grow((*buf)[:0], framesSize(len(payload), c.fragment)), op, payload)
	err := c.writeMessage(b, nil)
	poison(b)
	if cap(b) <= maxFrames {
		*buf = b[:0]
		frames.Put(buf)
	}
	return err
}

// FrameRoom is how many bytes WriteInPlace wants in front of a payload.
const FrameRoom = 10

// WriteInPlace is WriteMessage for the payload b[room:]. What is in front of it
// may be overwritten, by the header if the message goes out in one frame: so
// nothing is copied then, unless it has to wait.
func (c *Conn) WriteInPlace(op Opcode, b []byte, room int) error {
	payload := b[room:]
	if c.deflate || room < FrameRoom || len(payload) > c.fragment {
		return c.WriteMessage(op, payload)
	}
	h := header{fin: true, op: op, length: uint64(len(payload))}
	start := room - headerSize(len(payload))
	appendHeader(b[start:start], h)
	return c.writeMessage(b[start:], nil)
}

// framesSize is at least how long a message of n bytes is in frames.
func framesSize(n, fragment int) int { return n + (n/fragment+1)*maxHeader }

// writeMessage sends the frames of a message. From is b's buffer if it is shared;
// else b is copied if it has to wait.
func (c *Conn) writeMessage(b []byte, from *encoded) error {
	stats := &c.server.stats
	c.mu.Lock()
	if c.broken || !c.closing.state.maySendMessage() {
		c.mu.Unlock()
		stats.refused.Add(1)
		return ErrClosed
	}
	if c.backlog != nil && c.backlog.size >= c.outbox {
		stats.refused.Add(1)
		c.cutLocked(&stats.slow)
		// One act: a message let in between would arrive after a gap.
		c.dropLocked(&stats.droppedSlow)
		c.sendCloseLocked(appendClose(nil, StatusTryAgain, "reading too slowly"))
		c.unlock()
		c.Resume()
		return ErrSlow
	}
	c.transmitLocked(b, true, from)
	c.unlock()
	return nil
}

// Close begins the closing handshake: after what is queued goes a close frame
// with code and reason (at most 123 bytes; the rest is cut). It waits for
// nothing. A second Close does nothing. It panics if code must not be sent.
func (c *Conn) Close(code StatusCode, reason string) {
	payload := appendClose(nil, code, reason) // may panic, so not under the lock
	c.mu.Lock()
	c.sendCloseLocked(payload)
	c.unlock()
	c.Resume() // the client's close frame has to be read
}

// sendCloseLocked sends the close frame with payload, if none was sent yet.
func (c *Conn) sendCloseLocked(payload []byte) {
	if c.broken {
		// Nothing can be sent, and what the client has sent is for nobody any
		// more: it is thrown away up to its end, and not for long.
		c.closeBy.CompareAndSwap(0, c.server.now()+int64(closeTimeout))
		return
	}
	if !c.closing.state.maySendControl(opClose) {
		return
	}
	code, reason, _ := parseClose(payload)
	if c.failed.Load() {
		c.closing.failed(code, reason)
	} else {
		c.closing.sent(code, reason)
	}
	c.closeBy.Store(c.server.now() + int64(writeTimeout+closeTimeout))
	c.transmitLocked(appendControl(nil, opClose, payload), false, nil)
}

// clientClosed takes the client's close frame. If it is the first of the
// connection it is answered with the same code, and nothing that is queued
// delays that.
func (c *Conn) clientClosed(payload []byte) {
	code, reason, _ := parseClose(payload) // the decoder has refused a bad one
	c.mu.Lock()
	c.closing.received(code, reason)
	if c.closing.state.owesClose() {
		c.dropLocked(&c.server.stats.droppedClosed)
		c.sendCloseLocked(appendClose(nil, code, ""))
	}
	c.unlock()
}

// sendPongs sends one or more pongs: at once, or between the frames that wait.
func (c *Conn) sendPongs(pongs []byte) {
	c.mu.Lock()
	switch {
	case c.broken || !c.closing.state.maySendControl(opPong):
	case c.writing:
		for len(pongs) > 0 {
			n := nextFrame(pongs)
			c.backlogLocked().pushPong(bytes.Clone(pongs[:n])) // not to keep them all for one
			pongs = pongs[n:]
		}
	default:
		c.transmitLocked(pongs, false, nil)
	}
	c.unlock()
}

// ping sends a ping and reports true, unless older frames still wait: those
// have a time limit of their own.
func (c *Conn) ping() (sent bool) {
	c.mu.Lock()
	if sent = !c.broken && !c.writing && c.closing.state.maySendControl(opPing); sent {
		c.transmitLocked(appendControl(nil, opPing, nil), false, nil)
	}
	c.unlock()
	return sent
}

// transmitLocked writes b, or queues what the socket does not take. It gives
// up c.mu while it writes; writing keeps others from doing the same.
func (c *Conn) transmitLocked(b []byte, message bool, from *encoded) {
	if c.writing {
		if from == nil {
			b = bytes.Clone(b)
		}
		c.backlogLocked().push(b, message, from)
		c.queuedLocked(message, from)
		return
	}
	c.writing = true
	c.mu.Unlock()
	n, err := c.sock().tryWrite(b)
	c.mu.Lock()
	c.server.stats.bytesOut.Add(uint64(n))
	switch {
	case n == len(b):
		c.writtenLocked(frameOp(b), message)
	case c.broken, err != nil && err != errAgain:
		// Broken here means that c ended during the write: nothing may be
		// queued any more.
		if message {
			c.server.stats.droppedClosed.Add(1)
		}
		c.breakLocked()
	default:
		c.backlogLocked().pushCut(b, n, message, from)
		c.queuedLocked(message, from)
	}
	if c.backlog != nil {
		c.flushLaterLocked()
		return
	}
	c.writing = false
}

// writtenLocked takes note that the socket has all of a frame with op, or of a
// message.
func (c *Conn) writtenLocked(op Opcode, message bool) {
	if message {
		c.server.stats.messagesOut.Add(1)
	}
	if op == opClose {
		c.closeWritten = true
		c.closeBy.Store(c.server.now() + int64(closeTimeout))
	}
}

// breakLocked ends writing for good. The reader notices the same fault, after
// what the client sent before it, and ends the connection.
func (c *Conn) breakLocked() {
	c.broken = true
	if c.backlog == nil {
		return
	}
	c.server.stats.droppedClosed.Add(uint64(c.backlog.end()))
	c.chargeOutLocked()
	c.backlog = nil
}

// dropLocked forgets what is queued, but for the frame being written.
func (c *Conn) dropLocked(dropped *atomic.Uint64) {
	if c.backlog != nil {
		dropped.Add(uint64(c.backlog.drop()))
		c.chargeOutLocked()
	}
}

func (c *Conn) backlogLocked() *backlog {
	if c.backlog == nil {
		c.backlog = new(backlog)
	}
	return c.backlog
}

// queuedLocked accounts for what has come to the backlog.
func (c *Conn) queuedLocked(message bool, from *encoded) {
	c.shareLocked(from)
	c.chargeOutLocked()
	if message && c.server.budget.full(outboxLevel) {
		c.overflowLocked()
	}
}

// shareLocked books a shared buffer that has come to the backlog. Each outbox
// is charged for all of it, which says who holds most; but together they hold
// one buffer, so all but the first are taken off the sum again, and before the
// charge, lest somebody has to go for memory that is not used.
func (c *Conn) shareLocked(from *encoded) {
	if from != nil && from.outboxes.Add(1) > 1 {
		c.server.budget.adjust(-int64(len(from.b)))
	}
}

// chargeOutLocked accounts for what the backlog holds.
func (c *Conn) chargeOutLocked() {
	c.wakeLocked()
	held, still := 0, 0
	if l := c.backlog; l != nil {
		held = l.held
		for _, from := range l.let {
			if from.outboxes.Add(-1) > 0 {
				still += len(from.b)
			}
		}
		l.let = nil
	}
	diff := held - c.heldOut
	c.heldOut = held
	if c.server.budget.charge(c, int64(diff)) {
		c.server.relieveLater()
	}
	if still > 0 {
		c.server.budget.adjust(int64(still)) // others have them: see shareLocked
	}
}

// unlock releases c.mu, and ends our stream if all has been said.
func (c *Conn) unlock() {
	end := c.closeWritten && c.closing.state.endsTCP() && !c.halfClosed
	c.halfClosed = c.halfClosed || end
	c.mu.Unlock()
	if end {
		c.closeBy.Store(c.server.now() + int64(closeTimeout))
		if c.waited == nil {
			c.fd.closeWrite()
			return
		}
		c.server.spawn(func() { c.waited.closeWrite() }) // TLS says goodbye first, which may wait
	}
}
