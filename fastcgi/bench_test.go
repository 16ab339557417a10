package fastcgi

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// BenchmarkEcho is one message to a server in this process, over a kept unix
// socket.
func BenchmarkEcho(b *testing.B) {
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				reply := append(whole(1, "", "hello"), resultRecord("0")...)
				buf := make([]byte, 4096)
				for { // a request comes in one read here
					if _, err := nc.Read(buf); err != nil {
						return
					}
					nc.Write(reply)
				}
			})
		}
	})
	c, err := New(Options{Network: "unix", Address: l.Addr().String(), KeepAlive: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	req := &Request{Params: []Params{params(b, "SCRIPT_FILENAME", "/x.php")}, Body: []byte("hello")}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		r, err := c.Do(context.Background(), req)
		if err != nil {
			b.Fatal(err)
		}
		if buf, err = r.AppendBody(buf[:0], 1<<20); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
	c.Close(context.Background())
	l.Close()
	wg.Wait()
}
