package websocket

import (
	"errors"
	"os"
	"time"
)

// A readerState says who may read the socket and touch the decoder. It only
// changes by compare-and-swap, and giving the reader up is the owner's last
// act.
//
//	fresh ──Start──▶ reading
//	parked ──bytes came──▶ reading ──handler: enough──▶ paused
//	   ▲                      │  ▲                        │
//	   └──────────────────────┘  └────────Resume──────────┘
//	                       reading ──too much came──▶ throttled
//	                          ▲                        │
//	                          └───the time is over─────┘
//	any but reading, resumed ──socket closed──▶ ended
type readerState uint32

const (
	fresh     readerState = iota // nobody, until Start
	parked                       // nobody: the poller, or a waiting goroutine, will
	reading                      // one goroutine
	resumed                      // one goroutine, and Resume was called: it must not pause
	paused                       // nobody, until Resume
	throttled                    // nobody, until the time is over or we close
	ended                        // nobody ever again
)

func (c *Conn) move(from, to readerState) bool {
	return c.reader.CompareAndSwap(uint32(from), uint32(to))
}

// ready serves the socket in the loop's goroutine (see tenant).
func (c *Conn) ready(buf []byte, can uint32) (work int) {
	if can&writable != 0 {
		work = c.flush()
	}
	if can&readable != 0 {
		work += c.read(buf[:readSize])
	}
	return work
}

// read reads what has come, in the loop's goroutine, into its buffer or the
// decoder's, and returns how many bytes those were.
func (c *Conn) read(buf []byte) (n int) {
	defer c.rescueReader()
	if !c.move(parked, reading) {
		return 0 // an event from before a pause or the end
	}
	b := c.dec.into(buf)
	direct := &b[0] != &buf[0]
	n, err := c.sock().tryRead(b)
	if err == errAgain {
		err = nil
	}
	c.received(b[:n], err)
	if !direct { // else it is no longer ours
		poison(buf[:n:n])
	}
	return n
}

// waitRead reads for as long as nobody pauses it, in a goroutine of its own.
func (c *Conn) waitRead() {
	defer c.rescueReader()
	buf := make([]byte, 4<<10)
	for {
		n, err := c.waited.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) { // a nudge
			c.waited.SetReadDeadline(time.Time{})
			err = nil
		}
		if !c.move(parked, reading) || !c.received(buf[:n], err) {
			return
		}
		poison(buf[:n:n])
	}
}

// nudge has the reader look at late and failed though no bytes came. It does
// nothing while the reader is at work or paused.
func (c *Conn) nudge() {
	if c.waited != nil {
		c.waited.SetReadDeadline(time.Unix(1, 0)) // past: wake up now
		return
	}
	if c.move(parked, reading) {
		defer c.rescueReader()
		c.received(nil, nil)
	}
}

// received takes the outcome of a read and gives the reader up. It reports
// whether reading goes on.
func (c *Conn) received(b []byte, err error) bool {
	if len(b) > 0 {
		c.heard.Store(c.server.now())
	}
	if (len(b) > 0 || err == nil) && !c.feed(b) {
		return false
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
	holds := c.heldIn > 0
	c.reader.Store(uint32(parked))
	// From here on another goroutine may own the reader.
	if arm {
		c.arm()
	}
	if holds && c.failed.Load() {
		c.nudge() // shed since settle: nothing may be held
	}
	c.endIfDead()
}

// arm has somebody wait for bytes.
func (c *Conn) arm() {
	if c.waited != nil {
		if !c.server.spawn(c.waitRead) {
			c.Kill()
		}
		return
	}
	c.mu.Lock()
	err := c.watchLocked(readable, true)
	c.mu.Unlock()
	if err != nil {
		c.Kill()
	}
}

// watchLocked has the poller report what, or no longer.
func (c *Conn) watchLocked(what uint32, on bool) error {
	next := c.watched &^ what
	if on {
		next |= what
	}
	err := c.loop.poll.watch(&c.fd, c.ticket, c.watched, next)
	c.watched = next
	return err
}

// feed decodes b and hands on what it says. It reports whether the caller
// still owns the reader, which it does not after a pause.
func (c *Conn) feed(b []byte) bool {
	if c.late.Load() {
		c.fail(&ProtocolError{StatusPolicy, "message not finished in time"})
	}
	var pongs []byte // owed, and not sent yet
	for !c.failed.Load() {
		if wait := c.excess(); wait > 0 && len(b) > 0 {
			if len(pongs) > 0 {
				c.sendPongs(pongs)
				pongs = nil
			}
			if c.gone() {
				break
			}
			if c.throttle(b, wait) {
				return false
			}
		}
		ev, n, err := c.dec.next(b)
		b = b[n:]
		// A Resume so far was for an earlier pause. One that Close makes is
		// not lost, for closeBy is set before and looked at after.
		c.move(resumed, reading)
		if ev.op >= opClose {
			c.paidControl = controlPace.spend(c.paidControl, c.heard.Load())
		}
		if ev.op == opPing {
			pongs = appendControl(pongs, opPong, ev.payload)
			continue
		}
		if len(pongs) > 0 {
			// A read full of pings costs one write, and what came behind them
			// is answered behind them.
			c.sendPongs(pongs)
			pongs = nil
		}
		if err != nil {
			c.fail(err.(*ProtocolError))
			break
		}
		switch ev.op {
		case opContinuation:
			if c.lookAhead() {
				c.settle()
				return true
			}
		case Text, Binary:
			c.begun.Store(0) // what follows is another message, with a time of its own
			if c.closeBy.Load() != 0 {
				continue // sent after our close, or before the client saw it
			}
			c.paidMessages = c.messageRate.spend(c.paidMessages, c.heard.Load())
			more := c.take(ev)
			c.dec.release()
			if !more && c.pause(b) {
				return false
			}
		case opClose:
			c.clientClosed(ev.payload)
		}
	}
	c.settle()
	// A failed client is not read until the answers it is owed are out and
	// our close frame with them; from then on its bytes are thrown away.
	return c.closeBy.Load() != 0 || !c.pause(nil)
}

// take hands a message on. It reports whether the handler wants more.
func (c *Conn) take(ev event) (more bool) {
	if ev.deflated {
		return c.takeDeflated(ev.op, ev.payload)
	}
	return c.message(ev.op, ev.payload)
}

func (c *Conn) message(op Opcode, payload []byte) (more bool) {
	c.server.stats.messagesIn.Add(1)
	c.server.stats.bytesIn.Add(uint64(len(payload)))
	return c.handler.Message(op, payload)
}

// settle accounts for what the decoder keeps, when all bytes are decoded or
// nothing more will be.
func (c *Conn) settle() {
	c.left = nil
	c.chargeIn()
	if c.failed.Load() { // perhaps only now: the charge may have been too much
		c.dec.drop(decoderFailed)
		c.chargeIn()
	}
	switch {
	case !c.dec.pending():
		c.begun.Store(0)
	case c.begun.Load() == 0:
		c.begun.Store(c.server.now())
	}
}

func (c *Conn) chargeIn() {
	if held := c.dec.held() + c.left.held(); held != c.heldIn {
		diff := held - c.heldIn
		c.heldIn = held
		c.Hold(diff)
	}
}

// fail ends decoding and tells the handler why.
func (c *Conn) fail(err *ProtocolError) {
	if c.giveUp(err.Code) {
		c.cut(&c.server.stats.violations)
		c.handler.Fail(err)
	}
}

// giveUp has nothing more decoded. It reports whether that is news.
func (c *Conn) giveUp(code StatusCode) (news bool) {
	c.mu.Lock()
	defer c.unlock()
	return c.giveUpLocked(code)
}

func (c *Conn) giveUpLocked(code StatusCode) (news bool) {
	news = c.failed.CompareAndSwap(false, true)
	if news && c.closing.state.awaitsClose() {
		c.closing.failed(code, "") // the client's close frame would not be seen
	}
	return news
}
