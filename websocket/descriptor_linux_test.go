package websocket

import (
	"net"
	"sync"
	"syscall"
	"testing"
)

// A socket is closed once, and not while a system call is under way: its
// number would be another's in the midst of it.
func TestDescriptorIsClosedBehindTheLastCall(t *testing.T) {
	isOpen := func(d *descriptor) bool {
		_, err := syscall.GetsockoptInt(int(d.fd), syscall.SOL_SOCKET, syscall.SO_TYPE)
		return err == nil
	}
	for _, test := range []struct {
		name  string
		calls int // under way
	}{
		{"no call", 0},
		{"one call", 1},
		{"several calls", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := tcpPair(t)
			defer client.Close()
			d := descriptorOf(t, server)
			for range test.calls {
				if !d.use() {
					t.Fatal("an open socket cannot be used")
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			for i := range test.calls {
				if d.use() {
					t.Error("a closed socket can be used")
				}
				if !isOpen(d) {
					t.Errorf("closed with %d calls under way", test.calls-i)
				}
				d.done()
			}
			if isOpen(d) {
				t.Error("still open")
			}
			b := make([]byte, 1)
			if n, err := d.tryRead(b); n != 0 || err != net.ErrClosed {
				t.Errorf("reading: %d, %v; want %v", n, err, net.ErrClosed)
			}
			if n, err := d.tryWrite(b); n != 0 || err != net.ErrClosed {
				t.Errorf("writing: %d, %v; want %v", n, err, net.ErrClosed)
			}
			if err := d.closeWrite(); err != net.ErrClosed {
				t.Errorf("ending the stream: %v; want %v", err, net.ErrClosed)
			}
			// The number may be another's now.
			tenant, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(tenant)
			d.Close()
			if tenant == int(d.fd) && !isOpen(d) {
				t.Error("a second Close has closed the next tenant's socket")
			}
		})
	}
}

// Whatever calls are made while it is closed, it is closed once.
func TestDescriptorClosedInTurmoil(t *testing.T) {
	for range 200 {
		client, server := tcpPair(t)
		d := descriptorOf(t, server)
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				for d.use() {
					d.done()
				}
			})
		}
		calls.Go(func() { d.Close() })
		calls.Go(func() { d.Close() })
		calls.Wait()
		if n := d.state.Load(); n != descriptorClosed {
			t.Fatalf("state %#x, want closed and no call", n)
		}
		if _, err := syscall.GetsockoptInt(int(d.fd), syscall.SOL_SOCKET, syscall.SO_TYPE); err == nil {
			t.Fatal("still open")
		}
		client.Close()
	}
}
