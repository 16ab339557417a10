//go:build linux

package epoll

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// backlog is how many connections may wait to be accepted; the system's own
// bound is usually 4096.
const backlog = 4096

// Listen opens a non-blocking listener on an address such as unix:/run/x.sock
// or 127.0.0.1:8080.
func Listen(address string) (int, error) {
	fd, to, err := socket(address)
	if err != nil {
		return -1, err
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		syscall.Unlink(path)
	} else {
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = syscall.Bind(fd, to)
	}
	if err == nil {
		err = syscall.Listen(fd, backlog)
	}
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("listening on %s: %w", address, err)
	}
	return fd, nil
}

// Dial connects, blocking, and gives a non-blocking socket.
func Dial(address string) (int, error) {
	fd, to, err := socket(address)
	if err != nil {
		return -1, err
	}
	if err = syscall.Connect(fd, to); err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", address, err)
	}
	return fd, nil
}

func socket(address string) (int, syscall.Sockaddr, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		return fd, &syscall.SockaddrUnix{Name: path}, err
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Is4() {
		return -1, nil, fmt.Errorf("address %q: want unix:/path or an IPv4 address and port", address)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	return fd, &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, err
}
