package websocket

import (
	"encoding/binary"
	"math/bits"
)

// mask masks or unmasks b in place (RFC 6455, section 5.3), where pos is the
// position in key of the first byte, 0 to 3. It returns the position for the
// byte after b, so that a payload can be taken in parts of any size.
func mask(b []byte, key [4]byte, pos int) (next int) {
	next = (pos + len(b)) & 3

	// Little-endian keeps the key's first byte lowest, so turning the word
	// right by whole bytes moves key[pos] to the front.
	word := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*pos)
	wide := uint64(word)<<32 | uint64(word)
	for len(b) >= 32 {
		p := b[:32]
		binary.LittleEndian.PutUint64(p[0:], binary.LittleEndian.Uint64(p[0:])^wide)
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^wide)
		binary.LittleEndian.PutUint64(p[16:], binary.LittleEndian.Uint64(p[16:])^wide)
		binary.LittleEndian.PutUint64(p[24:], binary.LittleEndian.Uint64(p[24:])^wide)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide)
		wide >>= 8
	}
	return next
}
