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

// TCP keepalive, for who has gone without a word while nobody pings: a client
// that is paused, or in its handshake. In seconds, and probes.
const (
	keepAliveIdle     = 30
	keepAliveInterval = 10
	keepAliveCount    = 3
)

// tuneConn tunes the socket of nc, if it is one of TCP.
func tuneConn(nc net.Conn) {
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
	raw.Control(func(fd uintptr) { tune(int(fd)) })
}

// tune sets up a TCP socket of a client, or the listening one that it comes
// from: the kernel hands these on, so that no accepted socket costs a call. It
// has to be done before anything is written.
//
// The bound of what is unsent keeps the kernel from taking megabytes for a
// client that reads slowly. They would cost memory, and worse: such a socket
// reports room again only when a third of them has gone, so that a client that
// reads all the time looks as if it had stopped.
func tune(fd int) {
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotsentLowat, maxUnsent)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveIdle)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveInterval)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount)
	syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
}
