package websocket

import (
	"crypto/tls"
	"net"
	"syscall"
)

const (
	// tcpNotsentLowat is TCP_NOTSENT_LOWAT of Linux, which package syscall
	// does not name.
	tcpNotsentLowat = 25

	// maxUnsent is how much the kernel takes of what it cannot send yet, in
	// bytes. What is under way to the client comes on top, so a fast one
	// loses nothing.
	maxUnsent = 128 << 10
)

// boundUnsent keeps the kernel from taking megabytes for a client that reads
// slowly. They would cost memory, and worse: such a socket reports room again
// only when a third of them has gone, so that a client that reads all the time
// looks as if it had stopped. It has to be done before anything is written.
func boundUnsent(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return // no socket
	}
	if _, tcp := nc.LocalAddr().(*net.TCPAddr); !tcp {
		return // a Unix socket has no such buffer
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return // it is closed, as the first read will say
	}
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, maxUnsent)
	})
}
