package websocket

import (
	"errors"
	"os"
	"time"
)

// drain writes what is queued until nothing is, in a goroutine of its own that
// exists only while a socket is slower than what is sent.
func (c *Conn) drain() {
	defer c.rescue()
	c.mu.Lock()
	for c.backlog != nil {
		b := c.backlog.next()
		if b == nil {
			c.backlog = nil
			break
		}
		c.mu.Unlock()
		if stalled := c.writeFrame(b); stalled {
			c.stall()
		}
		c.mu.Lock()
	}
	c.writing = false
	c.unlock()
}

// writeFrame writes b, which is the rest of a frame, for as long as the socket
// takes some of it now and then. It reports whether it stopped doing so.
func (c *Conn) writeFrame(b []byte) (stalled bool) {
	for len(b) > 0 {
		c.sock.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := c.sock.Write(b[:min(len(b), readSize)])
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
	c.server.stats.writeTimeouts.Add(1)
	c.mu.Lock()
	c.closing.failed(StatusTryAgain, "reading too slowly")
	c.mu.Unlock()
	c.Kill()
}
