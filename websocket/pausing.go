package websocket

import "bytes"

// pause gives the reader up until Resume, which will find rest. It fails if
// Resume was called meanwhile: then the caller still owns the reader.
func (c *Conn) pause(rest []byte) bool { return c.suspend(rest, paused) }

// suspend is pause, for either reason: the state to come is paused or throttled.
func (c *Conn) suspend(rest []byte, state readerState) bool {
	again := c.left != nil // and rest is the end of it
	if again {
		c.left.at = len(c.left.b) - len(rest)
	} else {
		c.left = &leftover{b: bytes.Clone(rest)}
	}
	c.chargeIn()
	if state == paused {
		c.begun.Store(0) // while we do not read, the client cannot be late; too many pings are no excuse
	}
	was := c.unarmed
	if c.waited == nil && !was {
		c.mu.Lock()
		c.watchLocked(readable, false)
		c.mu.Unlock()
	}
	c.unarmed = true
	if c.move(reading, state) {
		c.endIfDead()
		return true
	}
	c.reader.Store(uint32(reading))
	if !again {
		c.left = nil
	}
	c.unarmed = was || c.waited == nil // a goroutine of its own just reads on
	return false
}

// Resume undoes the pause that a handler asked for, and no other, unless the
// connection is being closed. Bytes that were read before the pause are decoded
// on the caller's goroutine.
func (c *Conn) Resume() {
	for {
		switch readerState(c.reader.Load()) {
		case paused:
			if c.move(paused, reading) {
				c.resumeReading()
				return
			}
		case throttled:
			if c.closeBy.Load() == 0 {
				return
			}
			if c.move(throttled, reading) {
				c.resumeReading()
				return
			}
		case reading:
			if c.move(reading, resumed) {
				return
			}
		default:
			return
		}
	}
}

func (c *Conn) resumeReading() {
	defer c.rescueReader()
	c.heard.Store(c.server.now()) // silence was ours
	if c.feed(c.left.b[c.left.at:]) {
		c.park()
	}
}

// A leftover is what was read and is not decoded: b from at on.
type leftover struct {
	b  []byte
	at int
}

// held returns the size, in bytes, of the buffer that l holds.
func (l *leftover) held() int {
	if l == nil {
		return 0
	}
	return cap(l.b)
}
