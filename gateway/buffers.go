package gateway

import "sync"

// A message that waits for PHP is copied into memory of its own size, or not
// much more: a client may have many waiting, and what it is charged for is to be
// what they take. Those of a common size are in buffers that serve again.
const (
	minPooled = 1 << 10 // smaller ones are cheaper than a buffer that serves again, in bytes
	bodySize  = 4 << 10 // of those buffers, in bytes
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
