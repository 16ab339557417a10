package gateway

import "sync"

// bodies holds messages on their way to PHP. A session takes a buffer for a
// message and gives it back when PHP has had it; nobody else ever holds one.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// minBody and maxBody are the smallest and largest buffer kept, in bytes. A
// larger message has one of its own size, so that it does not pin its memory.
const (
	minBody = 4 << 10
	maxBody = 64 << 10
)

// takeBody gives an empty buffer with room for n bytes.
func takeBody(n int) []byte {
	if n > maxBody {
		return make([]byte, 0, n)
	}
	p := bodies.Get().(*[]byte)
	b := *p
	*p = nil
	headers.Put(p)
	if cap(b) < n {
		b = make([]byte, 0, max(n, minBody))
	}
	return b[:0]
}

// headers holds the slice headers that the pool wants boxed, so that giving a
// buffer back allocates nothing.
var headers = sync.Pool{New: func() any { return new([]byte) }}

// giveBody takes a buffer back.
func giveBody(b []byte) {
	poison(b)
	if cap(b) < minBody || cap(b) > maxBody {
		return
	}
	p := headers.Get().(*[]byte)
	*p = b
	bodies.Put(p)
}
