package websocket

import (
	"math/bits"
	"sync"
)

// A message that does not come in one piece gathers in a buffer of a power of
// two, in bytes. Those from minPayload to maxPayload are kept for the next, each
// size apart, so that none waits in a buffer much larger than itself; a larger
// one must not pin its memory, and a smaller one is not worth it.
const (
	minPayload   = 16 << 10
	maxPayload   = 2 << 20
	payloadSizes = 8
)

// payloads are the buffers that nobody uses. Whoever takes one, which is a
// decoder, gives it back when the message has been taken or given up.
var payloads = [payloadSizes]sync.Pool{}

// payloadHeaders holds the slice headers that the pools want boxed, so that
// giving a buffer back allocates nothing.
var payloadHeaders = sync.Pool{New: func() any { return new([]byte) }}

// payloadSize is the size of the buffer for a message of which n bytes have come,
// and most in all may come: at most twice what has, header included, and no
// larger than it takes.
func payloadSize(n int, most uint64) int {
	twice := 1 << (bits.Len(uint(2*(n+maxHeader))) - 1)
	if most > uint64(twice) {
		return twice
	}
	return 1 << bits.Len64(most-1)
}

// takePayload gives an empty buffer with room for n bytes.
func takePayload(n int) []byte {
	if kept(n) {
		if p, ok := payloads[payloadIndex(n)].Get().(*[]byte); ok {
			b := *p
			*p = nil
			payloadHeaders.Put(p)
			return b
		}
	}
	return make([]byte, 0, n)
}

// givePayload takes a buffer back.
func givePayload(b []byte) {
	poison(b)
	if n := cap(b); kept(n) {
		p := payloadHeaders.Get().(*[]byte)
		*p = b[:0]
		payloads[payloadIndex(n)].Put(p)
	}
}

func kept(n int) bool { return n >= minPayload && n <= maxPayload && n&(n-1) == 0 }

func payloadIndex(n int) int { return bits.Len(uint(n/minPayload)) - 1 }
