package websocket

import "time"

// controlPace is the same for every connection.
var controlPace = rate{interval: second / controlRate, slack: (controlBurst - 1) * second / controlRate}

// inflatedUnit is what a deflated message counts as one more for, in bytes that
// it is inflated to. On the wire it may be a thousandth of that, and inflating
// it takes the time of others.
const inflatedUnit = 64 << 10

// excess is how long the client must not be read, in nanoseconds, for it has
// sent too much. What is read at one time has come at that time.
func (c *Conn) excess() int64 {
	if c.closeBy.Load() != 0 {
		return 0 // what still comes is thrown away, and not for long
	}
	return max(c.messageRate.wait(c.paidMessages, c.heard.Load()), c.controlExcess())
}

// controlExcess is the part of excess that control frames are the cause of.
func (c *Conn) controlExcess() int64 { return controlPace.wait(c.paidControl, c.heard.Load()) }

// gone ends a client of too many control frames to whom nothing can be sent any
// more. What it left may be megabytes of pings: to read them at their pace would
// keep it for hours, to read them at once would take the time of others.
func (c *Conn) gone() bool {
	c.mu.Lock()
	broken := c.broken
	c.mu.Unlock()
	if !broken || c.controlExcess() == 0 {
		return false
	}
	c.server.stats.throttledControl.Add(1)
	c.Kill()
	return true
}

// throttle gives the reader up for so long; rest is decoded then. A handler's
// Resume does not shorten that. It fails if the connection is being closed: then
// the caller still owns the reader.
func (c *Conn) throttle(rest []byte, wait int64) bool {
	cause := &c.server.stats.throttledMessages
	if c.controlExcess() > 0 {
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
		c.probe()
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

// probe sends a ping to a client of too many control frames, now and then. No
// pong is waited for, but if nobody is there any more the socket will say so.
func (c *Conn) probe() {
	last, every := c.heard.Load(), c.server.ping.Load()
	if controlPace.wait(c.paidControl, last) > 0 && c.server.now()/every != last/every && c.ping() {
		c.server.stats.pings.Add(1)
	}
}
