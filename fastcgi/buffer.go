package fastcgi

import "sync"

const (
	readSize  = 32 << 10 // of a connection's read buffer
	maxPooled = 64 << 10 // larger buffers are left to the garbage collector
)

var (
	readBufs  = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}
	plainBufs = sync.Pool{New: func() any { return new([]byte) }}
)

func takeBuf() *[]byte { return plainBufs.Get().(*[]byte) }

func putBuf(b *[]byte) {
	if b == nil {
		return
	}
	poison(*b)
	if cap(*b) > maxPooled {
		return // one large request must not pin its memory for good
	}
	*b = (*b)[:0]
	plainBufs.Put(b)
}
