package websocket

import "bytes"

// A readerState says who may read the socket and touch the decoder. It only
// changes by compare-and-swap, and giving the reader up is the owner's last
// act.
//
//	parked ──bytes came──▶ reading ──handler: enough──▶ paused
//	   ▲                      │  ▲                        │
//	   └──────────────────────┘  └────────Resume──────────┘
//	any but reading, resumed ──socket closed──▶ ended
type readerState uint32

const (
	parked  readerState = iota // nobody: the poller, or a waiting goroutine, will
	reading                    // one goroutine
	resumed                    // one goroutine, and Resume was called: it must not pause
	paused                     // nobody, until Resume
	ended                      // nobody ever again
)

func (c *Conn) move(from, to readerState) bool {
	return c.reader.CompareAndSwap(uint32(from), uint32(to))
}

// readable reads what has come, in the loop's goroutine and buffer.
func (c *Conn) readable(buf []byte) {
	defer c.rescueReader()
	if !c.move(parked, reading) {
		return // an event from before a pause or the end
	}
	n, err := c.sock.tryRead(buf)
	if err == errAgain {
		err = nil
	}
	c.received(buf[:n], err)
}

// waitRead reads for as long as nobody pauses it, in a goroutine of its own.
func (c *Conn) waitRead() {
	defer c.rescueReader()
	buf := make([]byte, 4<<10)
	for {
		n, err := c.sock.Read(buf)
		if !c.move(parked, reading) || !c.received(buf[:n], err) {
			return
		}
	}
}

// received takes the outcome of a read and gives the reader up. It reports
// whether reading goes on.
func (c *Conn) received(b []byte, err error) bool {
	if len(b) > 0 {
		c.heard.Store(c.server.now())
		if !c.feed(b) {
			return false
		}
	}
	if err != nil {
		c.reader.Store(uint32(ended))
		c.end()
		return false
	}
	c.park()
	return true
}

// park gives the reader up until there is something to read.
func (c *Conn) park() {
	arm := c.unarmed
	c.unarmed = false
	c.reader.Store(uint32(parked))
	// From here on another goroutine may own the reader.
	if arm {
		c.arm()
	}
	c.endIfDead()
}

// arm has somebody wait for bytes.
func (c *Conn) arm() {
	if !c.polled {
		c.server.work.Go(c.waitRead)
		return
	}
	if err := c.loop.poll.add(c.sock.raw, c.ticket); err != nil {
		c.Kill()
	}
}

// pause gives the reader up until Resume, which will find rest. It fails if
// Resume was called meanwhile: then the caller still owns the reader.
func (c *Conn) pause(rest []byte) bool {
	c.left = bytes.Clone(rest)
	c.chargeIn()
	c.begun.Store(0) // while we do not read, the client cannot be late
	was := c.unarmed
	if c.polled && !was {
		c.loop.poll.remove(c.sock.raw)
	}
	c.unarmed = true
	if c.move(reading, paused) {
		c.endIfDead()
		return true
	}
	c.reader.Store(uint32(reading))
	c.left = nil
	c.unarmed = was || c.polled // a goroutine of its own just reads on
	return false
}

// Resume undoes the pause that a handler asked for. Bytes that were read
// before the pause are decoded on the caller's goroutine.
func (c *Conn) Resume() {
	for {
		switch readerState(c.reader.Load()) {
		case paused:
			if c.move(paused, reading) {
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
	left := c.left
	c.left = nil
	if c.feed(left) {
		c.park()
	}
}

// feed decodes b and hands on what it says. It reports whether the caller
// still owns the reader, which it does not after a pause.
func (c *Conn) feed(b []byte) bool {
	for !c.failed.Load() {
		ev, n, err := c.dec.next(b)
		b = b[n:]
		if err != nil {
			c.fail(err.(*ProtocolError))
			break
		}
		switch ev.op {
		case opContinuation:
			c.settle()
			return true
		case Text, Binary:
			if c.closeBy.Load() != 0 {
				continue // sent after our close, or before the client saw it
			}
			c.server.stats.messagesIn.Add(1)
			c.server.stats.bytesIn.Add(uint64(len(ev.payload)))
			if !c.handler.Message(ev.op, ev.payload) && c.pause(b) {
				return false
			}
		case opPing:
			c.pong(ev.payload)
		case opClose:
			c.clientClosed(ev.payload)
		}
	}
	c.settle()
	// A failed client is not read until the answers it is owed are out and
	// our close frame with them; from then on its bytes are thrown away.
	return c.closeBy.Load() != 0 || !c.pause(nil)
}

// settle accounts for what the decoder keeps.
func (c *Conn) settle() {
	c.chargeIn()
	switch {
	case !c.dec.pending():
		c.begun.Store(0)
	case c.begun.Load() == 0:
		c.begun.Store(c.server.now())
	}
}

func (c *Conn) chargeIn() {
	if held := c.dec.held() + cap(c.left); held != c.heldIn {
		diff := held - c.heldIn
		c.heldIn = held
		c.charge(diff)
	}
}

// fail ends decoding. The sweeper may call it while the reader is at work.
func (c *Conn) fail(err *ProtocolError) {
	if !c.failed.CompareAndSwap(false, true) {
		return
	}
	c.server.stats.violations.Add(1)
	c.mu.Lock()
	if c.closing.state == closeSent {
		c.closing.failed(err.Code, "") // the client's close frame would not be seen
	}
	c.unlock()
	c.handler.Fail(err)
}
