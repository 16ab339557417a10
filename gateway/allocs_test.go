//go:build !race && !poison

package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// A stub answers every request at once with the same bytes, and allocates
// nothing for that.
func stub(t testing.TB, body string) *fastcgi.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	answer := stdoutRecord("X-Powered-By: PHP/8.2\r\nContent-type: text/html; charset=UTF-8\r\n\r\n" + body)
	answer = append(answer, 1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	answer = append(answer, "\x01\x0a\x00\x00\x00\x12\x00\x00\x0f\x01FCGI_MPXS_CONNS0"...)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				in, n := make([]byte, 1<<20), 0
				for {
					m, err := nc.Read(in[n:])
					if err != nil {
						return
					}
					if n += m; bytes.HasSuffix(in[:n], []byte("FCGI_MPXS_CONNS")) {
						n = 0
						nc.Write(answer)
					}
				}
			})
		}
	})
	client, err := fastcgi.New(fastcgi.Options{Network: "unix", Address: path, KeepAlive: time.Minute, KeepAliveBody: 1 << 20, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close(context.Background())
		l.Close()
		serving.Wait()
	})
	return client
}

func stdoutRecord(content string) []byte {
	return append([]byte{1, 6, 0, 1, byte(len(content) >> 8), byte(len(content)), 0, 0}, content...)
}

// A message on its way to PHP and back allocates nothing, once all is warm.
func TestEchoAllocatesNothing(t *testing.T) {
	for _, size := range []int{16, 1024, 16 << 10} {
		body := string(bytes.Repeat([]byte("x"), size))
		g := newGateway(t, Options{
			Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: stub(t, body), MessageRate: 1e6}},
			Logger: slog.New(slog.DiscardHandler),
		})
		c := dial(t, serve(t, g))
		message := frame(text, body)
		answer := make([]byte, len(message)-4)
		roundTrip := func() {
			c.Write(message)
			if _, err := io.ReadFull(c.in, answer); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			roundTrip()
		}
		if n := testing.AllocsPerRun(2000, roundTrip); n != 0 {
			t.Errorf("%d bytes: %v allocations a message, want none", size, n)
		}
	}
}

// A handshake that comes in one piece allocates what the connection is, and
// little else: under a storm of them it would be collecting that takes the time.
func TestHandshakeAllocatesLittle(t *testing.T) {
	g := newGateway(t, Options{
		Routes:         []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: stub(t, "")}},
		MaxConnections: 1000,
		Logger:         slog.New(slog.DiscardHandler),
	})
	at := netip.MustParseAddrPort(serve(t, g))
	to := &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	request := []byte(strings.Replace(chromium, "/ws/room/1?token=a%20b&x=%C3%A9", "/ws", 1))
	request = bytes.ReplaceAll(request, []byte("https://"), []byte("http://"))
	answer := make([]byte, 512)
	comeAndGo := func() {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		if err := syscall.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		syscall.Write(fd, request)
		if n, err := syscall.Read(fd, answer); err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 101 ")) {
			t.Fatalf("answered %q, %v", answer[:n], err)
		}
	}
	for range 200 {
		comeAndGo()
	}
	const runs = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		comeAndGo()
	}
	runtime.ReadMemStats(&after)
	objects, size := (after.Mallocs-before.Mallocs)/runs, (after.TotalAlloc-before.TotalAlloc)/runs
	t.Logf("figure: a handshake allocates %d objects, %d bytes", objects, size)
	if objects > 40 || size > 4096 {
		t.Errorf("a handshake allocates %d objects of %d bytes, want 40 and 4096 at most", objects, size)
	}
}
