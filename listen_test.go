package main

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ws-fpm/config"
)

// listenAt listens on a Unix socket, and closes it when the test ends.
func listenAt(t *testing.T, path string) (net.Listener, error) {
	t.Helper()
	l, err := listenPlain(context.Background(), config.Listener{Network: "unix", Address: path, Mode: 0o660})
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

// abandoned leaves a socket at path, as a process that is killed does.
func abandoned(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestListenUnix(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string // in the error; empty: it listens
	}{
		{"nothing there", func(*testing.T, string) {}, ""},
		{"a socket that was left", abandoned, ""},
		{"a socket of a living process", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "another process answers there"},
		{"a socket of a process too busy to answer", busySocket, "another process may be there"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("keep"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "it exists and is no socket"},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "it exists and is no socket"},
		{"a link to a socket that was left", func(t *testing.T, path string) {
			abandoned(t, path+"2")
			if err := os.Symlink(path+"2", path); err != nil {
				t.Fatal(err)
			}
		}, "it exists and is no socket"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			test.prepare(t, path)
			before, _ := os.Lstat(path)
			l, err := listenAt(t, path)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("listen: %v; want %q for %s", err, test.want, path)
				}
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("what was there is not any more: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("listen: %v", err)
			}
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatalf("it does not listen: %v", err)
			}
			c.Close()
			l.Close()
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("the socket is left behind: %v", err)
			}
		})
	}
}

// busySocket makes a socket whose queue of clients is full.
func busySocket(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c, err := net.Dial("unix", path)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this system's queue of clients does not fill")
}

func TestListenMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o660, 0o666, 0o777} {
		path := filepath.Join(t.TempDir(), "s")
		gid := os.Getgid()
		l, err := listenPlain(context.Background(), config.Listener{Network: "unix", Address: path, Mode: mode, Group: groupFor(gid)})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("the mode is %v, want %v", info.Mode().Perm(), mode)
		}
		if got := groupOf(info); got != groupNumber(gid) {
			t.Errorf("the group is %d, want %d", got, groupNumber(gid))
		}
		l.Close()
	}
}

// groupFor is a group that we may give a socket: any if we are root.
func groupFor(gid int) string {
	if os.Getuid() == 0 {
		return "65534"
	}
	return strconv.Itoa(gid)
}

func groupNumber(gid int) int {
	if os.Getuid() == 0 {
		return 65534
	}
	return gid
}

func groupOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Gid) }

// A listener that cannot have its group is not left open to all, and neither
// are those before it.
func TestListenAllOrNone(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	listeners, err := listenAll(context.Background(), []config.Listener{
		{Network: "unix", Address: first, Mode: 0o600},
		{Network: "tcp", Address: "127.0.0.1:0"},
		{Network: "unix", Address: second, Mode: 0o600, Group: "no-such-group-here"},
	}, nil, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "no-such-group-here") || listeners != nil {
		t.Errorf("listenAll: %v, %v; want an error of the group", listeners, err)
	}
	for _, path := range []string{first, second} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}

func TestListenTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listenPlain(context.Background(), config.Listener{Network: "tcp", Address: l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("listen on a port that is taken: %v", err)
	}
}
