package websocket

import "fmt"

// A ProtocolError says how the peer broke RFC 6455 or passed one of our
// limits. The connection has to be failed (section 7.1.7): Code goes into the
// close frame, Reason is for the log and is never sent.
type ProtocolError struct {
	Code   StatusCode
	Reason string
}

func (e *ProtocolError) Error() string { return "websocket: reading from peer: " + e.Reason }

// violation returns the error for a breach of the framing rules.
func violation(format string, args ...any) *ProtocolError {
	return &ProtocolError{StatusProtocolError, fmt.Sprintf(format, args...)}
}
