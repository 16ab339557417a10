package integration_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"sync"
	"testing"
	"time"
)

// bomb is a text message of a few kilobytes that becomes size bytes when it is
// inflated (RFC 7692, section 7.2.1).
func bomb(t testing.TB, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// TestAbuseBombs: many clients at once send 64 KiB that inflate to 64 MiB. Each
// is closed for it with 1009, for little of the processor, and no memory.
func TestAbuseBombs(t *testing.T) {
	peers := scaled(50, 500)
	s := besiege(t, "13 bombs", besiegeOptions{keeps: peers, routes: []string{"/deflate echo.php\ncompression = on"}})
	payload := bomb(t, 64<<20)
	wire := frame{fin: true, rsv: 4, op: opBinary, key: testKey, payload: payload}.appendTo(nil)
	var clients []*client
	for i := range peers {
		conn, err := dialFrom(s.g.addresses[0], i/1000)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := newClient(conn)
		if err := c.open(s.g.at("/deflate", "Sec-WebSocket-Extensions: permessage-deflate")); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	cpu, rss := s.g.cpu(), s.g.memory("status", "VmRSS")
	var work sync.WaitGroup
	codes := make(chan int, peers)
	for _, c := range clients {
		work.Go(func() {
			c.timeout = 30 * time.Second
			c.write(wire)
			_, _, err := c.message()
			if closed, is := errors.AsType[*closeError](err); is {
				codes <- closed.code
			} else {
				t.Errorf("instead of a close frame: %v", err)
			}
		})
	}
	most := rss
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-time.After(5 * time.Millisecond):
			most = max(most, s.g.memory("status", "VmRSS"))
		}
	}
	close(codes)
	for code := range codes {
		if code != 1009 {
			t.Errorf("closed with %d, want 1009", code)
		}
	}
	each := (s.g.cpu() - cpu) / time.Duration(peers)
	figure(t, s.name, "%d at once, each %d bytes for 64 MiB: %v of the processor each, canaries included; RSS at most %+d KiB", peers, len(payload), each, most-rss)
	if grown := most - rss; grown > peers<<10 {
		t.Errorf("%d bombs cost %d KiB, want at most 1 MiB each", peers, grown)
	}
	for _, c := range clients {
		c.conn.Close()
	}
	s.until(20*time.Second, "they have gone", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
	s.over()
}
