package websocket

import "fmt"

// appendMessage appends a message to b, in frames of at most fragment bytes of
// payload each (RFC 6455, section 5.4). An empty message is one empty frame.
// Frames of a server are not masked (section 5.1).
func appendMessage(b []byte, op Opcode, payload []byte, fragment int) []byte {
	if op != Text && op != Binary || fragment < 1 {
		panic(fmt.Sprintf("BUG: %v message in frames of %d bytes", op, fragment))
	}
	for {
		part := payload[:min(len(payload), fragment)]
		payload = payload[len(part):]
		last := len(payload) == 0
		b = appendHeader(b, header{fin: last, op: op, length: uint64(len(part))})
		b = append(b, part...)
		if last {
			return b
		}
		op = opContinuation
	}
}

// appendControl appends a control frame to b. Its payload has at most
// maxControl bytes (section 5.5).
func appendControl(b []byte, op Opcode, payload []byte) []byte {
	if !op.control() || len(payload) > maxControl {
		panic(fmt.Sprintf("BUG: %v frame of %d bytes", op, len(payload)))
	}
	b = appendHeader(b, header{fin: true, op: op, length: uint64(len(payload))})
	return append(b, payload...)
}

// nextFrame returns the length in bytes of the frame at the start of b, which
// appendMessage or appendControl wrote: header and payload. It returns zero if
// b ends before the frame does. Between two frames others may be put.
func nextFrame(b []byte) int {
	h, n, err := parseHeader(b)
	if err != nil {
		panic("BUG: not a frame of ours: " + err.Reason)
	}
	if n == 0 || h.length > uint64(len(b)-n) {
		return 0
	}
	return n + int(h.length)
}
