package gateway

import "sync"

// A message that waits for PHP is copied into memory of its own size, or, if that
// is a common one, into a buffer that serves again. A client may have many
// waiting, and is charged for what they take.
const (
	minPooled = 1 << 10 // the shortest message, in bytes, that a buffer is not too large for
	bodySize  = 4 << 10 // of those buffers, and the longest message in one, in bytes
)

// bodies holds them. A session takes one for a message and gives it back when
// PHP has had it; nobody else ever holds one.
var bodies = sync.Pool{New: func() any { return new([bodySize]byte) }}

// copyBody gives a copy of payload.
func copyBody(payload []byte) []byte {
	if n := len(payload); n < minPooled || n > bodySize {
		b := make([]byte, n)
		copy(b, payload)
		return b
	}
	return append(bodies.Get().(*[bodySize]byte)[:0], payload...)
}

// giveBody takes a copy back.
func giveBody(b []byte) {
	poison(b)
	if cap(b) == bodySize {
		bodies.Put((*[bodySize]byte)(b[:bodySize]))
	}
}
