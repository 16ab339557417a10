//go:build poison

package websocket

// poison overwrites a buffer that its user gives back, all of it, so that the
// tests see whoever still reads it.
func poison(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xdb
	}
}
