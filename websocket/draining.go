package websocket

import (
	"errors"
	"os"
	"time"
)

// flushLaterLocked has what is queued written when the socket has room: by the
// loop, or by a goroutine where there is no poller. Until then writing stays
// set, for whoever that is.
func (c *Conn) flushLaterLocked() {
	c.server.stats.drains.Add(1)
	if c.waited != nil {
		c.server.spawn(c.drain) // if the server closes, nobody writes any more
		return
	}
	c.blocked.Store(c.server.now())
	if c.watchLocked(writable, true) != nil {
		c.server.spawn(c.Kill)
	}
}

// flush writes what is queued, as far as the socket takes it and other
// connections are not kept waiting, in the loop's goroutine. It returns how many
// bytes that was.
func (c *Conn) flush() (written int) {
	defer c.rescue()
	for written < readSize {
		b := c.nextFrame()
		if b == nil {
			break
		}
		n, err := c.fd.tryWrite(b[:min(len(b), readSize)])
		if n == 0 && err == errAgain {
			break
		}
		c.blocked.Store(c.server.now())
		c.drained(n, err != nil && err != errAgain)
		written += n
	}
	return written
}

// nextFrame gives the rest of the frame that is to be written next. If there is
// none, it ends the writing that flushLaterLocked has begun.
func (c *Conn) nextFrame() []byte {
	c.mu.Lock()
	defer c.unlock()
	if c.waited == nil && c.watched&writable == 0 {
		return nil // a report from before, or of a hang-up: whoever writes is another
	}
	if c.backlog != nil {
		if b := c.backlog.next(); b != nil {
			return b
		}
		c.backlog = nil
	}
	c.writing = false
	if c.waited == nil {
		c.blocked.Store(0)
		c.watchLocked(writable, false)
	}
	return nil
}

// drain writes what is queued until nothing is, in a goroutine of its own that
// exists only while a socket is slower than what is sent.
func (c *Conn) drain() {
	defer c.rescue()
	for b := c.nextFrame(); b != nil; b = c.nextFrame() {
		if stalled := c.writeFrame(b); stalled {
			c.stall()
		}
	}
}

// writeFrame writes b, which is the rest of a frame, for as long as the socket
// takes some of it now and then. It reports whether it stopped doing so.
func (c *Conn) writeFrame(b []byte) (stalled bool) {
	for len(b) > 0 {
		c.waited.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := c.waited.Write(b[:min(len(b), readSize)])
		b = b[n:]
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if !c.drained(n, err != nil && !late) {
			return false
		}
		if late && n == 0 {
			return true
		}
	}
	return false
}

// drained takes note of n more bytes of a frame. It reports whether there is a
// point in writing on.
func (c *Conn) drained(n int, failed bool) bool {
	c.mu.Lock()
	defer c.unlock()
	c.server.stats.bytesOut.Add(uint64(n))
	if c.broken {
		return false
	}
	frame, message := c.backlog.wrote(n)
	c.chargeOutLocked()
	if frame {
		c.writtenLocked(c.backlog.cutOp, message)
	}
	if failed {
		c.breakLocked()
	}
	return !c.broken
}

// stall cuts a client that has read nothing for writeTimeout. No close frame
// would reach it.
func (c *Conn) stall() {
	c.cut(&c.server.stats.writeTimeouts)
	c.mu.Lock()
	c.closing.failed(StatusTryAgain, "reading too slowly")
	c.mu.Unlock()
	c.Kill()
}
