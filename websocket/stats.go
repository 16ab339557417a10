package websocket

import "sync/atomic"

// Stats is what a Server has done since its start, and what it holds now.
type Stats struct {
	Open int   // connections
	Held int64 // bytes in all queues together

	MessagesIn, BytesIn   uint64 // whole messages and their payload
	MessagesOut, BytesOut uint64 // messages wholly handed to sockets; bytes of any kind

	Pings uint64 // sent

	// Times that a client was not read, for it sent too many of them.
	ThrottledMessages, ThrottledControl uint64

	Encoded uint64 // times that a message for several connections was encoded
	Drains  uint64 // times that what a socket did not take was left to be written later

	Inflated uint64 // messages that came deflated
	Deflated uint64 // messages that were deflated, for one connection or several
	Saved    uint64 // bytes that they were longer before

	// Messages that could not be inflated, by cause.
	InflateTooBig  uint64 // they hold more than MaxMessage
	InflateDamaged uint64 // they are not deflated data, or not UTF-8

	// Messages that were sent as they are where they might have been deflated.
	DeflateSmall  uint64 // they are short
	DeflateNoGain uint64 // they get no shorter
	DeflateBusy   uint64 // so many others were being deflated

	// Messages accepted for sending and dropped, by cause.
	DroppedClosed uint64 // the connection closed, or was lost, before their turn
	DroppedSlow   uint64 // the client did not read
	DroppedShed   uint64 // all queues together held too much

	// Messages refused, for the connection was closing or gone.
	Refused uint64

	// Connections cut, by cause.
	PongTimeouts, MessageTimeouts, WriteTimeouts, CloseTimeouts uint64
	Slow, Shed, ShedMessages, Violations, Panics                uint64
}

type counters struct {
	messagesIn, bytesIn, messagesOut, bytesOut, pings             atomic.Uint64
	throttledMessages, throttledControl                           atomic.Uint64
	droppedClosed, droppedSlow, droppedShed, refused              atomic.Uint64
	pongTimeouts, messageTimeouts, writeTimeouts, closeTimeouts   atomic.Uint64
	slow, shed, shedMessages, violations, panics, encoded, drains atomic.Uint64

	inflated, inflateTooBig, inflateDamaged                          atomic.Uint64
	deflated, deflateSaved, deflateSmall, deflateNoGain, deflateBusy atomic.Uint64
}

// Stats gives a snapshot; its figures are each right but not of one instant.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{
		Held:              s.budget.total.Load(),
		MessagesIn:        c.messagesIn.Load(),
		BytesIn:           c.bytesIn.Load(),
		MessagesOut:       c.messagesOut.Load(),
		BytesOut:          c.bytesOut.Load(),
		Pings:             c.pings.Load(),
		Encoded:           c.encoded.Load(),
		Drains:            c.drains.Load(),
		ThrottledMessages: c.throttledMessages.Load(),
		ThrottledControl:  c.throttledControl.Load(),
		DroppedClosed:     c.droppedClosed.Load(),
		DroppedSlow:       c.droppedSlow.Load(),
		DroppedShed:       c.droppedShed.Load(),
		Refused:           c.refused.Load(),
		PongTimeouts:      c.pongTimeouts.Load(),
		MessageTimeouts:   c.messageTimeouts.Load(),
		WriteTimeouts:     c.writeTimeouts.Load(),
		CloseTimeouts:     c.closeTimeouts.Load(),
		Slow:              c.slow.Load(),
		Shed:              c.shed.Load(),
		ShedMessages:      c.shedMessages.Load(),
		Violations:        c.violations.Load(),
		Panics:            c.panics.Load(),
		Inflated:          c.inflated.Load(),
		InflateTooBig:     c.inflateTooBig.Load(),
		InflateDamaged:    c.inflateDamaged.Load(),
		Deflated:          c.deflated.Load(),
		Saved:             c.deflateSaved.Load(),
		DeflateSmall:      c.deflateSmall.Load(),
		DeflateNoGain:     c.deflateNoGain.Load(),
		DeflateBusy:       c.deflateBusy.Load(),
	}
	for _, l := range s.loops {
		st.Open += l.table.len()
	}
	return st
}
