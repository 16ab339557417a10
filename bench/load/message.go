package load

import (
	"bytes"
	"encoding/binary"
)

// maskKey masks all we send; not zero, so that the server has work to do.
var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// idSize is the part of a message that is its own: connection and sequence
// number, eight hexadecimal digits each. All behind it is the same in every
// message.
const idSize = 16

// A message is a frame being sent by one loop: the buffer is filled once, and
// only its id changes from message to message.
type message struct {
	plain []byte // the payload, whose first idSize bytes are the id's room
	wire  []byte // the masked frame
	body  int    // where the payload begins in wire
}

func newMessage(size int, binaryType bool) *message {
	m := &message{plain: bytes.Repeat([]byte("ws-fpm"), size/6+1)[:size]}
	first := byte(0x81)
	if binaryType {
		first = 0x82
	}
	switch {
	case size < 126:
		m.wire = append(m.wire, first, 0x80|byte(size))
	case size < 1<<16:
		m.wire = binary.BigEndian.AppendUint16(append(m.wire, first, 0x80|126), uint16(size))
	default:
		m.wire = binary.BigEndian.AppendUint64(append(m.wire, first, 0x80|127), uint64(size))
	}
	m.wire = append(m.wire, maskKey[:]...)
	m.body = len(m.wire)
	for i, b := range m.plain {
		m.wire = append(m.wire, b^maskKey[i&3])
	}
	return m
}

// set writes the id of a connection's message.
func (m *message) set(number, seq uint32) {
	id := uint64(number)<<32 | uint64(seq)
	for i := range idSize {
		b := "0123456789abcdef"[id>>(60-4*i)&15]
		m.plain[i] = b
		m.wire[m.body+i] = b ^ maskKey[i&3]
	}
}
