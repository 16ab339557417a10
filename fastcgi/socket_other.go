//go:build !linux

package fastcgi

import (
	"errors"
	"io"
)

// A socket does not exist here: Go's own poller waits for all connections.
type socket struct{ io.ReadWriteCloser }

func connectUnix(string) (*socket, error) { return nil, errors.ErrUnsupported }
