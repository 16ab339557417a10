// Package floor holds programs that do nothing but the system calls that any
// gateway must make, for the distance to them to be seen. They keep no limit,
// check nothing and serve nobody but this module's own load.
package floor

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

var errFrame = errors.New("floor: not a frame of this module's load")

// frame finds the one masked frame at the start of b, and unmasks its payload
// in place. Without an error and a payload, it is not complete.
func frame(b []byte) (payload []byte, err error) {
	if len(b) < 6 {
		return nil, nil
	}
	if b[0]&0x8e == 0x88 || b[1] < 128 {
		return nil, errFrame // a control frame, or one without a mask
	}
	size, at := int(b[1]&127), 2
	switch {
	case size == 126 && len(b) >= 4:
		size, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case size == 127 && len(b) >= 10:
		size, at = int(binary.BigEndian.Uint64(b[2:])), 10
	case size >= 126:
		return nil, nil
	}
	if len(b) < at+4+size {
		return nil, nil
	}
	key := uint64(binary.LittleEndian.Uint32(b[at:]))
	key |= key << 32
	payload = b[at+4:][:size]
	rest := payload
	for ; len(rest) >= 8; rest = rest[8:] {
		binary.LittleEndian.PutUint64(rest, binary.LittleEndian.Uint64(rest)^key)
	}
	for i := range rest {
		rest[i] ^= byte(key >> (8 * i))
	}
	return payload, nil
}

// appendHeader appends the header of a text frame to a client.
func appendHeader(b []byte, size int) []byte {
	switch {
	case size < 126:
		return append(b, 0x81, byte(size))
	case size < 1<<16:
		return append(b, 0x81, 126, byte(size>>8), byte(size))
	}
	return binary.BigEndian.AppendUint64(append(b, 0x81, 127), uint64(size))
}

// switching gives the answer to a handshake's request, or nothing if b does
// not hold a whole one.
func switching(b []byte) []byte {
	const field = "\r\nSec-WebSocket-Key: "
	at := bytes.Index(b, []byte(field))
	if at < 0 || !bytes.HasSuffix(b, []byte("\r\n\r\n")) || len(b) < at+len(field)+24 {
		return nil
	}
	key := string(b[at+len(field):][:24])
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
}
