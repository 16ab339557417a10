package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A conn is one WebSocket connection: a socket and how far reading and writing
// have come.
type conn struct {
	fd     int
	number uint32 // of this connection
	seq    uint32 // of the message in flight; of a broadcast, the last one that came

	busy   bool  // its message is not answered yet
	sent   int   // bytes of it handed to the socket
	due    int64 // nanoseconds on the loop's clock: when it was to be sent
	owed   int   // with a fixed rate: messages that are due and wait for the one in flight
	turns  int64 // with a fixed rate: messages begun
	wantW  bool  // epoll is asked for writability
	pinged int

	// The answer, as far as it came.
	header  [10]byte
	have    int    // bytes of the frame header
	op      byte   // of the frame
	fin     bool   // of the frame
	left    uint64 // bytes of the frame's payload still to come
	got     int    // bytes of the message's payload that came and were right
	control []byte // payload of a control frame in progress
	pong    []byte // a pong frame not sent yet
}

// feed decodes what the server sent, up to the end of a message, which must be
// want and is compared as it comes. It says whether the message is complete,
// and gives what is behind it.
func (c *conn) feed(b, want []byte, opcode byte) (rest []byte, complete bool, err error) {
	for len(b) > 0 {
		if c.left == 0 {
			var ok bool
			if b, ok, err = c.frameHeader(b, opcode); err != nil || !ok {
				return nil, false, err
			}
		}
		n := int(min(c.left, uint64(len(b))))
		part := b[:n]
		b, c.left = b[n:], c.left-uint64(n)
		if c.op >= 8 {
			c.control = append(c.control, part...)
		} else {
			if c.got+n > len(want) || !bytes.Equal(part, want[c.got:c.got+n]) {
				return nil, false, fmt.Errorf("wrong answer at byte %d of %d", c.got, len(want))
			}
			c.got += n
		}
		if c.left > 0 {
			return nil, false, nil
		}
		c.have = 0 // the frame is over
		switch {
		case c.op == 9:
			c.answer()
		case c.op == 8:
			return nil, false, fmt.Errorf("closed with %x", c.control)
		case c.op < 8 && c.fin && c.got != len(want):
			return nil, false, fmt.Errorf("answer of %d bytes, want %d", c.got, len(want))
		case c.op < 8 && c.fin:
			c.got = 0
			return b, true, nil
		}
	}
	return nil, false, nil
}

// frameHeader collects a frame's header and says whether it is complete.
func (c *conn) frameHeader(b []byte, opcode byte) (rest []byte, ok bool, err error) {
	for c.have < headerSize(c.header[:c.have]) {
		if len(b) == 0 {
			return nil, false, nil
		}
		c.header[c.have] = b[0]
		c.have, b = c.have+1, b[1:]
	}
	c.fin, c.op = c.header[0]&0x80 != 0, c.header[0]&0x0f
	switch length := c.header[1]; {
	case length < 126:
		c.left = uint64(length)
	case length == 126:
		c.left = uint64(binary.BigEndian.Uint16(c.header[2:]))
	case length == 127:
		c.left = binary.BigEndian.Uint64(c.header[2:])
	default:
		return nil, false, errors.New("masked frame")
	}
	switch {
	case c.header[0]&0x70 != 0:
		return nil, false, errors.New("reserved bits are set")
	case c.op >= 8 && (c.op > 10 || c.left > 125 || !c.fin):
		return nil, false, fmt.Errorf("control frame %x", c.header[:2])
	case c.op >= 8:
		c.control = c.control[:0]
	case c.op == 0 && c.got == 0, c.op != 0 && (c.op != opcode || c.got > 0):
		return nil, false, fmt.Errorf("opcode %d, want %d", c.op, opcode)
	}
	return b, true, nil
}

// headerSize is how many bytes the frame header has that begins with h.
func headerSize(h []byte) int {
	switch {
	case len(h) >= 2 && h[1] == 126:
		return 4
	case len(h) >= 2 && h[1] == 127:
		return 10
	}
	return 2
}

// answer prepares the pong for a ping that has come.
func (c *conn) answer() {
	c.pinged++
	if len(c.pong) > 0 {
		return // only the latest ping wants an answer, and half a pong cannot be taken back
	}
	c.pong = append(c.pong[:0], 0x8a, 0x80|byte(len(c.control)))
	c.pong = append(c.pong, maskKey[:]...)
	for i, b := range c.control {
		c.pong = append(c.pong, b^maskKey[i&3])
	}
}
