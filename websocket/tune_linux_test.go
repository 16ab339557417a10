package websocket

import (
	"syscall"
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

// Each client's socket is set up, however it came: by inheritance, or one by one.
func TestClientsSocketsAreTuned(t *testing.T) {
	want := map[string]int{"TCP_NODELAY": 1, "TCP_NOTSENT_LOWAT": 128 << 10, "SO_KEEPALIVE": 1,
		"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
	tuned := func(t *testing.T, fd int) {
		t.Helper()
		for name, option := range map[string][2]int{
			"TCP_NODELAY": {syscall.IPPROTO_TCP, syscall.TCP_NODELAY}, "TCP_NOTSENT_LOWAT": {syscall.IPPROTO_TCP, tcpNotsentLowat},
			"SO_KEEPALIVE": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}, "TCP_KEEPIDLE": {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
			"TCP_KEEPINTVL": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}, "TCP_KEEPCNT": {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
		} {
			if got, err := syscall.GetsockoptInt(fd, option[0], option[1]); err != nil || got != want[name] {
				t.Errorf("%s is %d, %v; want %d", name, got, err, want[name])
			}
		}
	}
	for _, test := range []struct {
		name      string
		multipath bool
	}{
		{"of TCP", false},
		{"of Multipath TCP", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			fds, seen := make(chan int), make(chan struct{})
			d := &doorkeeper{greet: func(a *Arrival, _ []byte) { fds <- a.fd; <-seen; a.Close() }}
			_, address, _, _ := receiveAt(t, d, time.Minute, test.multipath)
			knock(t, address).Write([]byte("x"))
			tuned(t, receive(t, fds))
			close(seen)
		})
	}
	t.Run("that was handed over", func(t *testing.T) {
		s, err := NewServer(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		client, server := tcpPair(t)
		defer client.Close()
		c := s.NewConn(server, &tlsEcho{ended: make(chan Closing, 1)}, Limits{})
		defer c.Kill()
		tuned(t, int(c.fd.fd))
	})
}
