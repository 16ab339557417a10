package websocket

import "fmt"

// appendMessage appends a message to b, in frames of at most fragment bytes of
// payload each (RFC 6455, section 5.4). An empty message is one empty frame.
// Frames of a server are not masked (section 5.1).
func appendMessage(b []byte, op Opcode, payload []byte, fragment int) []byte {
	return appendFrames(b, header{op: op}, payload, fragment)
}

// appendDeflated is appendMessage for a message whose payload is deflated.
func appendDeflated(b []byte, op Opcode, payload []byte, fragment int) []byte {
	return appendFrames(b, header{op: op, deflated: true}, payload, fragment)
}

// appendFrames appends a message; h is the beginning of its first header.
func appendFrames(b []byte, h header, payload []byte, fragment int) []byte {
	if h.op != Text && h.op != Binary || fragment < 1 {
		panic(fmt.Sprintf("BUG: %v message in frames of %d bytes", h.op, fragment))
	}
	for {
		part := payload[:min(len(payload), fragment)]
		payload = payload[len(part):]
		h.fin, h.length = len(payload) == 0, uint64(len(part))
		b = appendHeader(b, h)
		b = append(b, part...)
		if h.fin {
			return b
		}
		h.op, h.deflated = opContinuation, false
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
	h, n, err := parseHeader(b, true)
	if err != nil {
		panic("BUG: not a frame of ours: " + err.Reason)
	}
	if n == 0 || h.length > uint64(len(b)-n) {
		return 0
	}
	return n + int(h.length)
}
