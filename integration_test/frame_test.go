package integration_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// opcode is a frame's type, RFC 6455 section 5.2.
type opcode byte

const (
	opContinuation opcode = 0x0
	opText         opcode = 0x1
	opBinary       opcode = 0x2
	opClose        opcode = 0x8
	opPing         opcode = 0x9
	opPong         opcode = 0xA
)

// control reports whether o is a control frame's, section 5.5.
func (o opcode) control() bool { return o&0x8 != 0 }

// lengthForm is how a frame's length is written, section 5.2.
type lengthForm int

const (
	shortest lengthForm = iota // the one form that a sender may use
	form16                     // 126 and two bytes, whatever the length
	form64                     // 127 and eight bytes, whatever the length
)

// frame is a frame to be sent. Its zero value is a masked, empty
// continuation without FIN; nothing stops a test from building one that no
// peer may send.
type frame struct {
	fin      bool
	rsv      byte // RSV1 is 4, RSV2 is 2, RSV3 is 1
	op       opcode
	unmasked bool
	key      [4]byte
	form     lengthForm
	// claim, if not nil, is the length the header says instead of the true one.
	claim   *uint64
	payload []byte
}

// appendTo appends the frame's bytes to b.
func (f frame) appendTo(b []byte) []byte {
	first := f.rsv<<4 | byte(f.op)
	if f.fin {
		first |= 0x80
	}
	length := uint64(len(f.payload))
	if f.claim != nil {
		length = *f.claim
	}
	var masked byte
	if !f.unmasked {
		masked = 0x80
	}
	switch {
	case f.form == form64 || length > 0xffff:
		b = append(b, first, masked|127)
		b = binary.BigEndian.AppendUint64(b, length)
	case f.form == form16 || length > 125:
		b = append(b, first, masked|126)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	default:
		b = append(b, first, masked|byte(length))
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	b = append(b, f.key[:]...)
	for i, c := range f.payload {
		b = append(b, c^f.key[i&3])
	}
	return b
}

// fragments cuts payload into frames of the given sizes; what is left after
// the last size is one more frame. There is always at least one frame.
func fragments(op opcode, payload []byte, sizes ...int) []frame {
	var frames []frame
	for _, size := range sizes {
		size = min(size, len(payload))
		frames = append(frames, frame{op: op, key: testKey, payload: payload[:size]})
		payload, op = payload[size:], opContinuation
	}
	return append(frames, frame{fin: true, op: op, key: testKey, payload: payload})
}

// testKey masks what the helpers send: RFC 6455's own example, so that a
// failure is repeatable.
var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// serverFrame is a frame that was received.
type serverFrame struct {
	fin     bool
	op      opcode
	payload []byte
}

// errServer is the error of whatever a server may not send.
var errServer = errors.New("the server broke RFC 6455")

// maxRead is the longest frame readFrame accepts, in bytes.
const maxRead = 64 << 20

// readFrame reads one frame and refuses all that RFC 6455 forbids a server
// without extensions to send: a mask (5.1), reserved bits, an unknown opcode,
// a length not in its shortest form (5.2), a control frame that is long or
// fragmented (5.5).
func readFrame(r *bufio.Reader) (serverFrame, error) {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return serverFrame{}, err // io.EOF only between two frames
	}
	f := serverFrame{fin: h[0]&0x80 != 0, op: opcode(h[0] & 0xf)}
	switch {
	case h[0]&0x70 != 0:
		return serverFrame{}, fmt.Errorf("%w: reserved bits in %#x", errServer, h[0])
	case f.op > opBinary && f.op < opClose || f.op > opPong:
		return serverFrame{}, fmt.Errorf("%w: opcode %#x", errServer, f.op)
	case h[1]&0x80 != 0:
		return serverFrame{}, fmt.Errorf("%w: masked frame", errServer)
	case f.op.control() && (!f.fin || h[1] > 125):
		return serverFrame{}, fmt.Errorf("%w: control frame %x fragmented or over 125 bytes", errServer, h[:2])
	}
	length, least, size := uint64(h[1]), uint64(0), 0
	switch length {
	case 126:
		least, size = 126, 2
	case 127:
		least, size = 1<<16, 8
	}
	if size > 0 {
		if _, err := io.ReadFull(r, h[:size]); err != nil {
			return serverFrame{}, unexpected(err)
		}
		length = 0
		for _, c := range h[:size] {
			length = length<<8 | uint64(c)
		}
	}
	if length < least {
		return serverFrame{}, fmt.Errorf("%w: length %d in %d bytes", errServer, length, size)
	}
	if length > maxRead {
		return serverFrame{}, fmt.Errorf("a frame of %d bytes is more than these tests read", length)
	}
	f.payload = make([]byte, length)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return serverFrame{}, unexpected(err)
	}
	return f, nil
}

// unexpected is err, where io.EOF is no good end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// closePayload is a Close frame's payload, section 5.5.1; code 0 gives an
// empty one.
func closePayload(code int, reason string) []byte {
	if code == 0 {
		return nil
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// parseClose reads a received Close frame's payload: 1005 without a code.
// A code that may not be sent (section 7.4) is the server's fault.
func parseClose(p []byte) (code int, reason string, err error) {
	if len(p) == 0 {
		return 1005, "", nil
	}
	if len(p) == 1 || !utf8.Valid(p[2:]) {
		return 0, "", fmt.Errorf("%w: Close payload %q", errServer, p)
	}
	code = int(binary.BigEndian.Uint16(p))
	switch {
	case code < 1000, code == 1004, code == 1005, code == 1006, code > 1014 && code < 3000, code > 4999:
		return 0, "", fmt.Errorf("%w: Close code %d", errServer, code)
	}
	return code, string(p[2:]), nil
}
