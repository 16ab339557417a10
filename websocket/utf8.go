package websocket

import "unicode/utf8"

// A textCheck checks that parts of a text, cut anywhere, make up UTF-8
// (RFC 6455, section 8.1). It refuses with the part that holds the first byte
// which no text could have there, be the character complete or not. The zero
// value begins a text.
type textCheck struct {
	tail [utf8.UTFMax - 1]byte // a character not yet complete
	n    uint8                 // its bytes so far
}

// add takes the next part and reports whether the text may still be UTF-8.
func (c *textCheck) add(part []byte) bool {
	for c.n > 0 && len(part) > 0 {
		var r [utf8.UTFMax]byte
		n := copy(r[:], c.tail[:c.n])
		r[n] = part[0]
		part = part[1:]
		n++
		if !utf8.FullRune(r[:n]) {
			c.n = uint8(copy(c.tail[:], r[:n]))
			continue
		}
		if _, size := utf8.DecodeRune(r[:n]); size != n {
			return false // of size 1: not a character
		}
		c.n = 0
	}

	// FullRune calls what can't become a character full, so what is cut off
	// here needs more bytes, and Valid sees all the rest.
	whole := len(part)
	for i := 1; i <= len(c.tail) && i <= len(part); i++ {
		if last := part[len(part)-i:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= i
			}
			break
		}
	}
	if whole < len(part) {
		c.n = uint8(copy(c.tail[:], part[whole:]))
	}
	return utf8.Valid(part[:whole])
}

// complete reports whether the text may end here: not inside a character.
func (c *textCheck) complete() bool { return c.n == 0 }
