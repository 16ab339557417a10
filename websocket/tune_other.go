//go:build !linux

package websocket

import "net"

// tuneConn leaves sockets as package net has set them up, which is well where
// send buffers do not grow by themselves.
func tuneConn(net.Conn) {}
