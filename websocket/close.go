package websocket

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// A StatusCode is the reason a connection closes (RFC 6455, section 7.4).
type StatusCode uint16

// The codes this server sends or reports. StatusNoCode and StatusAbnormal are
// never on the wire: they stand for a close frame without a code, and for the
// lack of a close frame.
const (
	StatusNormal        StatusCode = 1000
	StatusGoingAway     StatusCode = 1001
	StatusProtocolError StatusCode = 1002
	StatusUnsupported   StatusCode = 1003 // a kind of message that is not accepted
	StatusNoCode        StatusCode = 1005
	StatusAbnormal      StatusCode = 1006
	StatusInvalidData   StatusCode = 1007 // text that is not UTF-8
	StatusPolicy        StatusCode = 1008
	StatusTooBig        StatusCode = 1009
	StatusInternal      StatusCode = 1011
	StatusRestart       StatusCode = 1012
	StatusTryAgain      StatusCode = 1013
)

// Valid reports whether c may stand in a close frame: a code that RFC 6455,
// section 7.4.1, or the registry it began defines for that, or one from the
// ranges for libraries (3000) and applications (4000) of section 7.4.2.
func (c StatusCode) Valid() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014:
		return true
	}
	return c >= 3000 && c <= 4999
}

// maxReason is the longest reason of a close frame, in bytes: a control frame
// without the code.
const maxReason = maxControl - 2

// parseClose decodes the payload of a close frame (section 5.5.1). An empty
// one gives StatusNoCode.
func parseClose(payload []byte) (code StatusCode, reason string, err *ProtocolError) {
	switch len(payload) {
	case 0:
		return StatusNoCode, "", nil
	case 1:
		return 0, "", violation("close frame with half a code")
	}
	code = StatusCode(binary.BigEndian.Uint16(payload))
	if !code.Valid() {
		return 0, "", violation("close frame with code %d", code)
	}
	if !utf8.Valid(payload[2:]) {
		return 0, "", &ProtocolError{StatusInvalidData, "close reason is not UTF-8"}
	}
	return code, string(payload[2:]), nil
}

// appendClose appends the payload of a close frame to b; appendControl makes
// the frame of it. StatusNoCode gives an empty payload. A reason that is not
// UTF-8 is mended, a longer one than maxReason is cut between two characters.
func appendClose(b []byte, code StatusCode, reason string) []byte {
	if code == StatusNoCode {
		return b
	}
	if !code.Valid() {
		panic("BUG: close code that must not be sent")
	}
	reason = strings.ToValidUTF8(reason, string(utf8.RuneError))
	if len(reason) > maxReason {
		end := maxReason
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}
