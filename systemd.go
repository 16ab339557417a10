package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	// firstPassedFD is the first descriptor that is passed (sd_listen_fds(3)).
	firstPassedFD = 3

	// maxPassedSockets is far more than a configuration has listeners.
	maxPassedSockets = 1024
)

// passedVariables say what is passed, and to which process.
var passedVariables = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"}

// A passedSocket is a listening socket that the service manager has opened for
// us, so that clients can connect while we start, and to ports that we may not
// open. Name is its FileDescriptorName, by default that of the socket unit.
type passedSocket struct {
	name string
	net.Listener
}

// unnamed reports whether nobody gave the socket a name of its own.
func (s passedSocket) unnamed() bool {
	return s.name == "" || s.name == "unknown" || strings.HasSuffix(s.name, ".socket")
}

// receiveSockets takes over the sockets that were passed to this process, which
// are none if it was started in another way. No child gets them, nor the
// variables. To be called once, before anything is executed.
func receiveSockets() ([]passedSocket, error) {
	names, err := passedNames(os.Getenv, os.Getpid())
	for _, v := range passedVariables {
		os.Unsetenv(v)
	}
	if err != nil {
		return nil, err
	}
	var sockets []passedSocket
	for i, name := range names {
		l, err := passedListener(firstPassedFD + i)
		if err != nil {
			closeSockets(sockets)
			return nil, fmt.Errorf("systemd: descriptor %d, named %q: %w", firstPassedFD+i, name, err)
		}
		sockets = append(sockets, passedSocket{name, l})
	}
	return sockets, nil
}

// passedNames gives a name for each descriptor that is passed to process pid.
func passedNames(getenv func(string) string, pid int) ([]string, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil // they are somebody else's
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxPassedSockets {
		return nil, fmt.Errorf("systemd: LISTEN_FDS=%q: want a number up to %d", getenv("LISTEN_FDS"), maxPassedSockets)
	}
	list := getenv("LISTEN_FDNAMES")
	if list == "" {
		return make([]string, n), nil
	}
	names := strings.Split(list, ":")
	if len(names) != n {
		return nil, fmt.Errorf("systemd: LISTEN_FDNAMES=%q: want %d names", list, n)
	}
	return names, nil
}

// passedListener makes a listener of fd, which it closes in any case: the
// listener has a copy of its own, which no child gets.
func passedListener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "passed")
	defer f.Close()
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if kind != syscall.SOCK_STREAM {
		return nil, errors.New("want a stream socket (ListenStream=)")
	}
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if listening == 0 {
		return nil, errors.New("want a listening socket (Accept=no)")
	}
	return net.FileListener(f)
}

// assignSockets gives each of names its sockets, of which a socket unit may have
// several. The empty name takes those without a name of their own; if all have
// one, the first that nobody else wants. Rest is what is wanted by none. A name
// without a socket, or wanted twice, is an error, and then all of sockets are
// still the caller's.
func assignSockets(sockets []passedSocket, names []string) (taken map[string][]net.Listener, rest []passedSocket, err error) {
	taken, rest = map[string][]net.Listener{}, slices.Clone(sockets)
	take := func(name string, wanted func(passedSocket) bool) {
		rest = slices.DeleteFunc(rest, func(s passedSocket) bool {
			if !wanted(s) {
				return false
			}
			taken[name] = append(taken[name], s.Listener)
			return true
		})
	}
	for _, name := range names {
		if name != "" {
			take(name, func(s passedSocket) bool { return s.name == name })
		}
	}
	if slices.Contains(names, "") {
		take("", passedSocket.unnamed)
		if taken[""] == nil {
			take("", func(passedSocket) bool { return taken[""] == nil })
		}
	}
	for i, name := range names {
		if taken[name] == nil {
			return nil, nil, missingSocket(sockets, name)
		}
		if slices.Contains(names[:i], name) {
			return nil, nil, fmt.Errorf("systemd: two listeners want the sockets of the name %q", name)
		}
	}
	return taken, rest, nil
}

func missingSocket(sockets []passedSocket, name string) error {
	if len(sockets) == 0 {
		return errors.New("systemd: no socket was passed: enable the socket unit, and start that instead of the service")
	}
	var passed []string
	for _, s := range sockets {
		passed = append(passed, strconv.Quote(s.name))
	}
	if name == "" {
		return fmt.Errorf("systemd: no socket is left without a name: passed were %s", strings.Join(passed, ", "))
	}
	return fmt.Errorf("systemd: no socket with FileDescriptorName=%s: passed were %s", name, strings.Join(passed, ", "))
}

func closeSockets(sockets []passedSocket) {
	for _, s := range sockets {
		s.Close()
	}
}
