package control

import (
	"fmt"
	"net"
	"syscall"
)

// peersKnown reports whether this system says who uses a unix socket.
const peersKnown = true

// peerOf gives the process that connected nc, a unix socket (SO_PEERCRED,
// unix(7)).
func peerOf(nc net.Conn) (peer, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return peer{}, fmt.Errorf("%T is no socket", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return peer{}, err
	}
	if failed != nil {
		return peer{}, failed
	}
	return peer{cred.Uid, cred.Gid}, nil
}
