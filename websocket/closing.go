package websocket

// A Side is who sent the first close frame.
type Side uint8

// ByNone is for a connection that ended, or goes on, without a close frame.
const (
	ByNone Side = iota
	ByClient
	ByServer
)

// String returns "none", "client" or "server".
func (s Side) String() string {
	switch s {
	case ByNone:
		return "none"
	case ByClient:
		return "client"
	case ByServer:
		return "server"
	}
	panic("BUG: unknown side of a connection")
}

// A Closing says how a connection ended: by its first close frame. Without a
// code in that frame Code is StatusNoCode; without a close frame it is
// StatusAbnormal, By is ByNone.
type Closing struct {
	Code   StatusCode
	Reason string
	By     Side
}

// A closeState is where the closing handshake of a connection stands (RFC
// 6455, section 7.1). Each question about it is a method.
type closeState uint8

const (
	closeNone     closeState = iota // neither side has sent a close frame
	closeSent                       // ours was sent, the peer's is awaited
	closeReceived                   // the peer's came, ours is owed
	closeDone                       // all frames there will be were sent; end TCP
	closeLost                       // TCP has ended
)

// maySendMessage reports whether messages may still be sent.
func (s closeState) maySendMessage() bool {
	switch s {
	case closeNone:
		return true
	case closeSent, closeReceived, closeDone, closeLost:
		// After our close frame section 5.5.1 forbids it; after the peer's
		// nobody is left to read it.
		return false
	}
	panic("BUG: unknown closeState")
}

// maySendControl reports whether a control frame with op may still be sent.
func (s closeState) maySendControl(op Opcode) bool {
	switch s {
	case closeNone:
		return true
	case closeReceived:
		return op == opClose
	case closeSent, closeDone, closeLost:
		return false
	}
	panic("BUG: unknown closeState")
}

// owesClose reports whether the peer's close frame is to be answered.
func (s closeState) owesClose() bool {
	switch s {
	case closeReceived:
		return true
	case closeNone, closeSent, closeDone, closeLost:
		return false
	}
	panic("BUG: unknown closeState")
}

// awaitsClose reports whether the peer's close frame is the one thing missing,
// so that the wait for it has to be bounded.
func (s closeState) awaitsClose() bool {
	switch s {
	case closeSent:
		return true
	case closeNone, closeReceived, closeDone, closeLost:
		return false
	}
	panic("BUG: unknown closeState")
}

// endsTCP reports whether it is for us to end TCP once all is written: the
// server does it first (section 7.1.1).
func (s closeState) endsTCP() bool {
	switch s {
	case closeDone:
		return true
	case closeNone, closeSent, closeReceived, closeLost:
		return false
	}
	panic("BUG: unknown closeState")
}

// A closing is the closing handshake of a connection, as far as it has come.
// The zero value is that of an open connection. Each event is a method.
type closing struct {
	state   closeState
	counted bool    // as cut, by its first cause
	first   Closing // zero until the first close frame, or the end of TCP
}

// sent notes that our close frame goes out. Ask maySendControl first.
func (c *closing) sent(code StatusCode, reason string) {
	switch c.state {
	case closeNone:
		c.state, c.first = closeSent, Closing{code, reason, ByServer}
	case closeReceived:
		c.state = closeDone
	default:
		panic("BUG: second close frame")
	}
}

// received notes the peer's close frame.
func (c *closing) received(code StatusCode, reason string) {
	switch c.state {
	case closeNone:
		c.state, c.first = closeReceived, Closing{code, reason, ByClient}
	case closeSent:
		c.state = closeDone
	case closeReceived, closeDone, closeLost:
		// Nothing after the first one counts.
	default:
		panic("BUG: unknown closeState")
	}
}

// failed notes that the connection is failed (section 7.1.7) and reports
// whether a close frame with code and reason is to be sent before TCP ends.
// What the peer sends is no longer looked at, so no answer is awaited.
func (c *closing) failed(code StatusCode, reason string) (send bool) {
	switch c.state {
	case closeNone:
		c.state, c.first = closeDone, Closing{code, reason, ByServer}
		return true
	case closeReceived:
		c.state = closeDone
		return true
	case closeSent:
		c.state = closeDone
		return false
	case closeDone, closeLost:
		return false
	}
	panic("BUG: unknown closeState")
}

// lost notes that TCP has ended, or that a write failed so that nothing more
// can be sent.
func (c *closing) lost() {
	if c.first.By == ByNone {
		c.first = Closing{Code: StatusAbnormal}
	}
	c.state = closeLost
}
