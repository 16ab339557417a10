//go:build !unix

package fastcgi

import (
	"errors"
	"syscall"
)

var errNothing = errors.New("nothing to read")

// A tryReader reads what a socket has, without waiting: here it cannot, so that
// a goroutine reads.
type tryReader struct{}

func newTryReader(syscall.RawConn) tryReader { return tryReader{} }

func (*tryReader) able() bool { return false }

func (*tryReader) read([]byte) (int, error) { return 0, errNothing }
