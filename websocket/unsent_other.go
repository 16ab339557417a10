//go:build !linux

package websocket

import "net"

// boundUnsent does nothing where send buffers do not grow by themselves.
func boundUnsent(net.Conn) {}
