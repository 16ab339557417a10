package websocket

import (
	"testing"
	"time"
)

// A client that reads slowly, but all the time, is not one that has stopped
// reading: at 60 KB/s it is served for longer than writeTimeout, whatever the
// kernel's buffers would hold.
func TestSlowReaderIsServed(t *testing.T) {
	s, err := NewServer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client, server := tcpPair(t)
	h := &tlsEcho{ended: make(chan Closing, 1)}
	h.c = s.NewConn(server, h, Limits{Outbox: 1 << 20})
	h.c.Start(nil)

	// What is written goes at the client's pace, as for a stream of PHP.
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		chunk := make([]byte, 64<<10)
		for h.c.WaitRoom(64<<10) == nil && h.c.WriteMessage(Binary, chunk) == nil {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	buf := make([]byte, 6<<10)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for time.Since(begin) < writeTimeout+4*time.Second {
		select {
		case how := <-h.ended:
			t.Fatalf("ended with %v after %v of steady reading", how, time.Since(begin))
		case <-tick.C:
		}
		if _, err := client.Read(buf); err != nil {
			t.Fatalf("after %v of steady reading: %v", time.Since(begin), err)
		}
	}
}
