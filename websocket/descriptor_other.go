//go:build !linux

package websocket

import "net"

// A descriptor does not exist here: all sockets are waited for by goroutines.
type descriptor struct{ socket }

func (*descriptor) take(net.Conn) (ok bool) { return false }
