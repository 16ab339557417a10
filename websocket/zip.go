package websocket

// maxZips is how many messages, for each core that Go uses, are deflated at
// once; and as many inflated. More would not be faster, and each of the first
// kind takes about a megabyte.
const maxZips = 4

// takeDeflated inflates a message and hands it on.
func (c *Conn) takeDeflated(op Opcode, payload []byte) (more bool) {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	size, fault := c.measure(f, op, payload, true)
	if fault != nil {
		c.fail(fault)
		return true
	}
	c.server.stats.inflated.Add(1)
	c.paidMessages += size / inflatedUnit * c.messageRate.interval
	if size <= inflateRoom {
		msg := f.room[:size:size]
		defer poison(msg)
		return c.message(op, msg)
	}
	fits := c.Hold(int(size))
	defer c.Hold(int(-size))
	if !fits || c.failed.Load() {
		return true // it was too much, and c has to go for it
	}
	msg := make([]byte, size)
	c.server.inflating <- struct{}{}
	f.fill(msg, payload)
	<-c.server.inflating
	return c.message(op, msg)
}

// lookAhead inflates what has come of a deflated message, so that a fault
// shows before its end. It reports whether there is none.
func (c *Conn) lookAhead() bool {
	op, payload := c.dec.beginning()
	if len(payload) == 0 || c.closeBy.Load() != 0 {
		return true
	}
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	size, fault := c.measure(f, op, payload, false)
	if fault != nil {
		c.fail(fault)
	}
	c.dec.looked(size)
	return fault == nil
}

func (c *Conn) measure(f *inflater, op Opcode, payload []byte, whole bool) (size int64, fault *ProtocolError) {
	stats := &c.server.stats
	c.server.inflating <- struct{}{} // a place is kept for no longer than it takes to inflate
	size, fault = f.measure(payload, whole, op, c.dec.maxMessage)
	<-c.server.inflating
	switch {
	case fault == nil:
	case fault.Code == StatusTooBig:
		stats.inflateTooBig.Add(1)
	default:
		stats.inflateDamaged.Add(1)
	}
	return size, fault
}

// appendMessage appends a message for c to b, deflated if that is agreed on
// and worth it.
func (c *Conn) appendMessage(b []byte, op Opcode, payload []byte) []byte {
	if c.deflate {
		if d := c.server.deflate(payload); d != nil {
			defer d.release()
			return appendDeflated(b, op, d.out, c.fragment)
		}
	}
	return appendMessage(b, op, payload, c.fragment)
}

// deflate deflates payload. The result is nil if it is to go out as it is; else
// it is to be released.
func (s *Server) deflate(payload []byte) *deflater {
	if len(payload) < minDeflate {
		s.stats.deflateSmall.Add(1)
		return nil
	}
	select {
	case s.deflating <- struct{}{}:
	default:
		s.stats.deflateBusy.Add(1) // sent as it is, for whoever waits has the others wait
		return nil
	}
	d := deflaters.Get().(*deflater)
	err := d.deflate(payload)
	<-s.deflating
	if err != nil {
		s.stats.deflateNoGain.Add(1)
		d.release()
		return nil
	}
	s.stats.deflated.Add(1)
	s.stats.deflateSaved.Add(uint64(len(payload) - len(d.out)))
	return d
}
