package websocket

import "time"

// controlPace is the same for every connection.
var controlPace = rate{interval: second / controlRate, slack: (controlBurst - 1) * second / controlRate}

// excess is how long the client must not be read, in nanoseconds, for it has
// sent too much. What is read at one time has come at that time.
func (c *Conn) excess() int64 {
	if c.closeBy.Load() != 0 {
		return 0 // what still comes is thrown away, and not for long
	}
	now := c.heard.Load()
	return max(c.messageRate.wait(c.paidMessages, now), controlPace.wait(c.paidControl, now))
}

// throttle gives the reader up for so long; rest is decoded then. A handler's
// Resume does not shorten that. It fails if the connection is being closed: then
// the caller still owns the reader.
func (c *Conn) throttle(rest []byte, wait int64) bool {
	cause := &c.server.stats.throttledMessages
	if controlPace.wait(c.paidControl, c.heard.Load()) > 0 {
		cause = &c.server.stats.throttledControl
	}
	for {
		// A Resume so far was for an earlier pause, or Close made it: that has
		// set closeBy before.
		c.move(resumed, reading)
		if c.closeBy.Load() != 0 {
			return false
		}
		if c.suspend(rest, throttled) {
			break
		}
	}
	cause.Add(1)
	time.AfterFunc(max(time.Duration(wait), minThrottle), func() { c.server.spawn(c.unthrottle) })
	return true
}

// unthrottle goes on reading when the time is over.
func (c *Conn) unthrottle() {
	if c.move(throttled, reading) {
		c.resumeReading()
	}
}

// unread reports whether nobody would see what the client sends now.
func (c *Conn) unread() bool {
	switch readerState(c.reader.Load()) {
	case paused, throttled:
		return true
	case fresh, parked, reading, resumed, ended:
		return false
	}
	panic("BUG: unknown state of a reader")
}
