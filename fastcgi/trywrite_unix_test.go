//go:build unix

package fastcgi

import (
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// A Unix socket that has not enough room is given what the system allows, before
// anybody waits.
func TestTryWriteMakesRoom(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() (raw syscall.RawConn, room func() int, end func() int64) {
		nc, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = nc.(*net.UnixConn).SyscallConn(); err != nil {
			t.Fatal(err)
		}
		return raw, func() (n int) {
				raw.Control(func(fd uintptr) { n, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF) })
				return n
			}, func() int64 {
				nc.Close()
				n, _ := io.Copy(io.Discard, peer)
				peer.Close()
				return n
			}
	}
	raw, room, end := dial()
	small := room()
	raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendRoom) })
	large := room() // what the system allows
	end()

	for _, test := range []struct {
		name string
		tcp  bool
		want int
	}{{"a Unix socket", false, large}, {"one that makes itself room, as TCP does", true, small}} {
		t.Run(test.name, func(t *testing.T) {
			raw, room, end := dial()
			w := newTryWriter(raw, test.tcp)
			if n, err := w.try([]byte("little")); n != 6 || err != nil || room() != small {
				t.Errorf("a short write: %d, %v, then room for %d; want %d", n, err, room(), small)
			}
			wire := make([]byte, 16<<20) // more than any socket takes
			n, err := w.try(wire)
			if err != nil || n == 0 || n == len(wire) {
				t.Errorf("a long write: %d of %d, %v", n, len(wire), err)
			}
			if room() != test.want {
				t.Errorf("room for %d bytes, want %d", room(), test.want)
			}
			if more, err := w.try(wire); more != 0 || err != nil {
				t.Errorf("a write to a full socket: %d, %v", more, err)
			}
			if came := end(); came != int64(6+n) {
				t.Errorf("%d bytes came, want %d", came, 6+n)
			}
		})
	}
}
