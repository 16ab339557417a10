package main

import (
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestPassedNames(t *testing.T) {
	const pid = 42
	tests := []struct {
		name          string
		pid, n, names string
		want          []string
		err           string
	}{
		{"nothing is passed", "", "", "", nil, ""},
		{"sockets for another process", "41", "2", "a:b", nil, ""},
		{"nonsense for another process", "x", "x", "", nil, ""},
		{"no sockets", "42", "0", "", []string{}, ""},
		{"a socket without a name", "42", "1", "", []string{""}, ""},
		{"a socket with a name", "42", "1", "web", []string{"web"}, ""},
		{"two sockets", "42", "2", "web:ws-fpm.socket", []string{"web", "ws-fpm.socket"}, ""},
		{"two sockets of one name", "42", "2", "web:web", []string{"web", "web"}, ""},
		{"an empty name among others", "42", "2", "web:", []string{"web", ""}, ""},
		{"as many as can be", "42", "1024", "", make([]string, 1024), ""},
		{"one more", "42", "1025", "", nil, `systemd: LISTEN_FDS="1025": want a number up to 1024`},
		{"a negative number", "42", "-1", "", nil, `systemd: LISTEN_FDS="-1": want a number up to 1024`},
		{"no number", "42", "", "", nil, `systemd: LISTEN_FDS="": want a number up to 1024`},
		{"too few names", "42", "2", "web", nil, `systemd: LISTEN_FDNAMES="web": want 2 names`},
		{"too many names", "42", "1", "web:b", nil, `systemd: LISTEN_FDNAMES="web:b": want 1 names`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"LISTEN_PID": test.pid, "LISTEN_FDS": test.n, "LISTEN_FDNAMES": test.names}
			got, err := passedNames(func(name string) string { return env[name] }, pid)
			if !slices.Equal(got, test.want) || message(err) != test.err {
				t.Errorf("passedNames() = %q, %v; want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}

// message is an error's text; empty for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A namedListener is a listener of tests, that nobody listens on.
type namedListener struct {
	net.Listener
	name string
}

func TestAssignSockets(t *testing.T) {
	tests := []struct {
		name   string
		passed string // names; a number makes those of one name differ
		wanted []string
		want   map[string][]string
		rest   []string
		err    string
	}{
		{"nothing is passed or wanted", "", nil, map[string][]string{}, nil, ""},
		{"the unit's name is none of its own", "ws-fpm.socket", []string{""}, map[string][]string{"": {"ws-fpm.socket"}}, nil, ""},
		{"several of one unit", "ws-fpm.socket#1 ws-fpm.socket#2", []string{""},
			map[string][]string{"": {"ws-fpm.socket#1", "ws-fpm.socket#2"}}, nil, ""},
		{"an unknown name is none", "unknown", []string{""}, map[string][]string{"": {"unknown"}}, nil, ""},
		{"a name", "web", []string{"web"}, map[string][]string{"web": {"web"}}, nil, ""},
		{"the unit's name, asked for", "ws-fpm.socket", []string{"ws-fpm.socket"},
			map[string][]string{"ws-fpm.socket": {"ws-fpm.socket"}}, nil, ""},
		{"several of one name", "web#1 b web#2", []string{"web", "b"},
			map[string][]string{"web": {"web#1", "web#2"}, "b": {"b"}}, nil, ""},
		{"without a name before the first", "web ws-fpm.socket", []string{""},
			map[string][]string{"": {"ws-fpm.socket"}}, []string{"web"}, ""},
		{"the first if all have names", "web b", []string{""}, map[string][]string{"": {"web"}}, []string{"b"}, ""},
		{"the first that nobody else wants", "web b c", []string{"", "web"},
			map[string][]string{"": {"b"}, "web": {"web"}}, []string{"c"}, ""},
		{"one that nobody wants", "web b", []string{"b"}, map[string][]string{"b": {"b"}}, []string{"web"}, ""},
		{"nothing is passed", "", []string{""}, nil, nil,
			"systemd: no socket was passed: enable the socket unit, and start that instead of the service"},
		{"no socket of that name", "web b", []string{"wbe"}, nil, nil,
			`systemd: no socket with FileDescriptorName=wbe: passed were "web", "b"`},
		{"all are taken by name", "web", []string{"web", ""}, nil, nil,
			`systemd: no socket is left without a name: passed were "web"`},
		{"a name wanted twice", "web", []string{"web", "web"}, nil, nil, `systemd: two listeners want the sockets of the name "web"`},
		{"no name wanted twice", "a b", []string{"", ""}, nil, nil, `systemd: two listeners want the sockets of the name ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var sockets []passedSocket
			for _, name := range strings.Fields(test.passed) {
				of, _, _ := strings.Cut(name, "#")
				sockets = append(sockets, passedSocket{of, namedListener{name: name}})
			}
			taken, rest, err := assignSockets(sockets, test.wanted)
			if message(err) != test.err {
				t.Fatalf("assignSockets() = %v; want %q", err, test.err)
			}
			got := map[string][]string{}
			for name, list := range taken {
				for _, l := range list {
					got[name] = append(got[name], l.(namedListener).name)
				}
			}
			var left []string
			for _, s := range rest {
				left = append(left, s.Listener.(namedListener).name)
			}
			if err == nil && !maps.EqualFunc(got, test.want, slices.Equal) || !slices.Equal(left, test.rest) {
				t.Errorf("assignSockets() = %q, rest %q; want %q, rest %q", got, left, test.want, test.rest)
			}
		})
	}
}

func TestPassedListener(t *testing.T) {
	bound := func(t *testing.T, kind int) int {
		fd, err := syscall.Socket(syscall.AF_INET, kind, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	tests := []struct {
		name string
		open func(t *testing.T) int
		err  string
	}{
		{"a listening socket", func(t *testing.T) int {
			fd := bound(t, syscall.SOCK_STREAM)
			if err := syscall.Listen(fd, 5); err != nil {
				t.Fatal(err)
			}
			return fd
		}, ""},
		{"a socket that does not listen", func(t *testing.T) int { return bound(t, syscall.SOCK_STREAM) },
			"want a listening socket (Accept=no)"},
		{"a socket of datagrams", func(t *testing.T) int { return bound(t, syscall.SOCK_DGRAM) },
			"want a stream socket (ListenStream=)"},
		{"a pipe", func(t *testing.T) int {
			var fds [2]int
			if err := syscall.Pipe(fds[:]); err != nil {
				t.Fatal(err)
			}
			syscall.Close(fds[1])
			return fds[0]
		}, "getsockopt: socket operation on non-socket"},
		{"nothing", func(t *testing.T) int { return 1 << 19 }, "getsockopt: bad file descriptor"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fd := test.open(t)
			l, err := passedListener(fd)
			if message(err) != test.err {
				t.Errorf("passedListener() = %v; want %q", err, test.err)
			}
			if err == nil {
				l.Close()
			}
			if err := syscall.Close(fd); err != syscall.EBADF {
				t.Errorf("closing the passed descriptor once more: %v; want it to be closed", err)
			}
		})
	}
}
