//go:build linux

package websocket

import (
	"testing"
	"time"
)

// What a loop is asked to wait for is read by it, until it is told to stop or
// ends itself.
func TestWatch(t *testing.T) {
	s, err := NewServer(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	client, server := tcpPair(t)
	defer client.Close()
	defer server.Close()
	sock := newWaited(server)
	got := make(chan string, 10)
	ready := func(buf []byte) (n int) {
		if buf == nil {
			got <- "ended"
			return 0
		}
		if len(buf) != guestSize {
			t.Errorf("a buffer of %d bytes, want %d", len(buf), guestSize)
		}
		n, err := sock.tryRead(buf)
		if err != nil {
			t.Error(err)
		}
		got <- string(buf[:n])
		return n
	}
	expect := func(want string) {
		t.Helper()
		select {
		case g := <-got:
			if g != want {
				t.Fatalf("read %q, want %q", g, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no call, want one with %q", want)
		}
	}
	stop, err := s.Watch(sock.raw, ready)
	if err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("first"))
	expect("first")
	client.Write([]byte("second"))
	expect("second")

	stop()
	client.Write([]byte("third"))
	if again, err := s.Watch(sock.raw, ready); err != nil {
		t.Fatal(err)
	} else {
		expect("third") // once: nobody else had it
		defer again()
	}
	s.Close()
	expect("ended")
	if _, err := s.Watch(sock.raw, ready); err == nil {
		t.Error("a server that is closed watches")
	}
	if len(got) > 0 {
		t.Errorf("one call too many: %q", <-got)
	}
}

// Others wait among the connections, and are none.
func TestGuestsAreNotConnections(t *testing.T) {
	l := &loop{}
	c, w := new(Conn), new(watch)
	kc, kw := l.table.add(c), l.table.add(w)
	if l.table.find(kc) != c || l.table.find(kw) != w {
		t.Errorf("tickets %v and %v do not find whom they were given to", kc, kw)
	}
	if n := l.table.len(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	if conns := tenantsOf[*Conn](nil, &l.table, 0, 1); len(conns) != 1 || conns[0] != c {
		t.Errorf("the connections are %v", conns)
	}
	if others := tenantsOf[*watch](nil, &l.table, 0, 1); len(others) != 1 || others[0] != w {
		t.Errorf("the others are %v", others)
	}
}

func TestNobodyWatchesWithoutAPoller(t *testing.T) {
	s, err := NewServer(Options{Blocking: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, server := tcpPair(t)
	defer server.Close()
	if _, err := s.Watch(newWaited(server).raw, func([]byte) int { return 0 }); err == nil {
		t.Error("watched")
	}
}
