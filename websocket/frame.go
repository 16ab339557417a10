package websocket

import (
	"encoding/binary"
	"math"
)

// An Opcode is the low nibble of a frame's first byte (RFC 6455, section 5.2).
// Of a message it says how its payload is to be read.
type Opcode byte

// The opcodes of messages. The payload of a Text message is UTF-8.
const (
	Text   Opcode = 0x1
	Binary Opcode = 0x2
)

const (
	opContinuation Opcode = 0x0
	opClose        Opcode = 0x8
	opPing         Opcode = 0x9
	opPong         Opcode = 0xA
)

// String returns the name of op in lower case, "text" for example.
func (op Opcode) String() string {
	switch op {
	case opContinuation:
		return "continuation"
	case Text:
		return "text"
	case Binary:
		return "binary"
	case opClose:
		return "close"
	case opPing:
		return "ping"
	case opPong:
		return "pong"
	}
	return "reserved"
}

func (op Opcode) control() bool { return op&0x8 != 0 }

func (op Opcode) known() bool {
	switch op {
	case opContinuation, Text, Binary, opClose, opPing, opPong:
		return true
	}
	return false
}

// Sizes of section 5.2 and 5.5, in bytes.
const (
	maxHeader  = 14  // two fixed bytes, eight of length, four of mask
	maxControl = 125 // longest payload of a control frame
)

const (
	bitFin  = 0x80 // of the first byte
	bitsRSV = 0x70
	bitRSV1 = 0x40
	bitMask = 0x80 // of the second byte

	length16 = 126 // the length is in the next two bytes
	length64 = 127 // the length is in the next eight bytes
)

// A header is a frame header. Of the reserved bits only RSV1 has a field, for
// no extension that we agree on uses another.
type header struct {
	fin      bool
	deflated bool // RSV1, of a message's first frame: the message is (RFC 7692, section 6)
	op       Opcode
	masked   bool
	key      [4]byte
	length   uint64 // below 2^63; stays unsigned until compared with a limit
}

// parseHeader decodes the header at the start of b and returns its size.
// A size of zero with a nil error means that b ends before the header does.
//
// RSV1 is a fault but on the first frame of a message where messages may be
// deflated.
//
// It accepts one encoding of each header: a length not in its shortest form is
// an error (section 5.2), so appendHeader gives back the bytes parsed. A fault
// is an error as soon as b holds the field that shows it.
func parseHeader(b []byte, mayDeflate bool) (h header, n int, err *ProtocolError) {
	if len(b) == 0 {
		return header{}, 0, nil
	}
	op, fin := Opcode(b[0]&0xF), b[0]&bitFin != 0
	deflated := b[0]&bitsRSV == bitRSV1 && mayDeflate && (op == Text || op == Binary)
	switch {
	case b[0]&bitsRSV != 0 && !deflated:
		return header{}, 0, violation("reserved bit set")
	case !op.known():
		return header{}, 0, violation("reserved opcode %#x", byte(op))
	case op.control() && !fin:
		return header{}, 0, violation("fragmented %v", op)
	}

	if len(b) < 2 {
		return header{}, 0, nil
	}
	length, masked := uint64(b[1]&^bitMask), b[1]&bitMask != 0
	if op.control() && length > maxControl {
		return header{}, 0, violation("%v of more than %d bytes", op, maxControl)
	}

	n = 2
	switch length {
	case length16:
		if len(b) < n+2 {
			return header{}, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[n:]))
		if length < length16 {
			return header{}, 0, violation("length not in its shortest form")
		}
		n += 2
	case length64:
		if len(b) < n+8 {
			return header{}, 0, nil
		}
		length = binary.BigEndian.Uint64(b[n:])
		if length > math.MaxInt64 {
			return header{}, 0, violation("length of more than 63 bits")
		}
		if length <= math.MaxUint16 {
			return header{}, 0, violation("length not in its shortest form")
		}
		n += 8
	}

	h = header{fin: fin, deflated: deflated, op: op, masked: masked, length: length}
	if masked {
		if len(b) < n+4 {
			return header{}, 0, nil
		}
		n += copy(h.key[:], b[n:])
	}
	return h, n, nil
}

// headerSize is how long the header of a frame is that is not masked.
func headerSize(length int) int {
	switch {
	case length < length16:
		return 2
	case length <= math.MaxUint16:
		return 4
	}
	return 10
}

// appendHeader appends the wire form of h to b, its length in the shortest
// form.
func appendHeader(b []byte, h header) []byte {
	first, second := byte(h.op), byte(0)
	if h.fin {
		first |= bitFin
	}
	if h.deflated {
		first |= bitRSV1
	}
	if h.masked {
		second |= bitMask
	}
	switch {
	case h.length < length16:
		b = append(b, first, second|byte(h.length))
	case h.length <= math.MaxUint16:
		b = append(b, first, second|length16)
		b = binary.BigEndian.AppendUint16(b, uint16(h.length))
	default:
		b = append(b, first, second|length64)
		b = binary.BigEndian.AppendUint64(b, h.length)
	}
	if h.masked {
		b = append(b, h.key[:]...)
	}
	return b
}
