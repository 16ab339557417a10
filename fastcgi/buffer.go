package fastcgi

import (
	"math/bits"
	"slices"
	"sync"
)

const (
	readSize   = 32 << 10 // of a connection's read buffer
	maxPlain   = 16 << 10 // a buffer up to this size serves whatever comes: many requests may wait in one each
	maxPooled  = 2 << 20  // larger buffers are left to the garbage collector
	minLarge   = 2 * maxPlain
	largeSizes = 7 // minLarge, twice that, and so on up to maxPooled

	// Each of the large sizes has so many bytes more: a body of a power of two
	// bytes is to find room behind BodyRoom, and not to take twice its size.
	slack = BodyRoom
)

var (
	readBufs  = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}
	plainBufs = sync.Pool{New: func() any { return new([]byte) }}

	// largeBufs are kept apart by size, so that what waits never holds more
	// than twice the memory that it counts for.
	largeBufs = [largeSizes]sync.Pool{}
)

func takeBuf() *[]byte { return plainBufs.Get().(*[]byte) }

// growBuf gives a buffer with the content of b and room for n bytes in all. It
// takes b back if it gives another.
func growBuf(b *[]byte, n int) *[]byte {
	switch {
	case n <= cap(*b):
		return b
	case n <= maxPlain || n > maxPooled+slack:
		*b = slices.Grow(*b, n-len(*b))
		return b
	}
	i := sizeOf(n)
	next, ok := largeBufs[i].Get().(*[]byte)
	if !ok {
		made := make([]byte, 0, minLarge<<i+slack)
		next = &made
	}
	*next = append(*next, *b...)
	putBuf(b)
	return next
}

// replyRoom is how large the buffer of a reply gets that had size bytes, when n
// are needed. By itself it would grow by a quarter, and be copied each time.
func replyRoom(n, size int) int {
	if size >= maxPlain {
		size &^= slack
		return max(n, 2*size, min(4*size, maxPooled))
	}
	return max(n, 2*size)
}

// sizeOf is the first of the large sizes that has room for n bytes.
func sizeOf(n int) int { return bits.Len(uint((n - slack - 1) / minLarge)) }

func putBuf(b *[]byte) {
	if b == nil {
		return
	}
	poison(*b)
	switch n := cap(*b); {
	case n <= maxPlain:
		*b = (*b)[:0]
		plainBufs.Put(b)
	case n > maxPlain && n <= maxPooled+slack && n == minLarge<<sizeOf(n)+slack:
		*b = (*b)[:0]
		largeBufs[sizeOf(n)].Put(b)
	}
	// Any other size is not worth keeping: one large request must not pin its
	// memory for good.
}
