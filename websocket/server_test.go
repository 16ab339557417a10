package websocket

import (
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"testing"
)

func TestOptionsRefuseWhatIsNegative(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Options
	}{
		{"a negative Ping", Options{Ping: -1}},
		{"a negative Pong", Options{Pong: -1}},
		{"a negative Buffers", Options{Buffers: -1}},
		{"a negative Loops", Options{Loops: -1}},
	} {
		if s, err := NewServer(test.o); err == nil {
			s.Close()
			t.Errorf("%s was accepted", test.name)
		}
	}
}

func TestLimitsHaveDefaultsAndNoWayToTurnThemOff(t *testing.T) {
	want := Limits{MaxMessage: 1 << 20, MessageRate: 200, Fragment: 64 << 10, Outbox: 1 << 20}
	for _, l := range []Limits{{}, {MaxMessage: -1, MessageRate: -1, Fragment: -1, Outbox: -1}} {
		if got := l.withDefaults(); got != want {
			t.Errorf("%+v becomes %+v, want %+v", l, got, want)
		}
	}
}

// Connections in each state there is, and some being made.
func TestServerCloseEndsEachConnectionOnce(t *testing.T) {
	for _, m := range []mode{polled, blocking, piped} {
		t.Run(m.name, func(t *testing.T) {
			h := open(t, m, Options{})
			h.visit(Limits{}) // not started
			h.enter(Limits{})
			waiting := h.enter(Limits{Outbox: 64 << 20})
			waiting.send(Binary, make([]byte, 32<<20))
			pausing := h.visit(Limits{})
			pausing.onMessage = func(Opcode, []byte) bool { return false }
			pausing.c.Start(clientFrame(Text, "x"))
			closing := h.enter(Limits{})
			closing.c.Close(4000, "")
			busy := h.enter(Limits{})
			go readOn(busy)
			go func() {
				for {
					if _, err := busy.Conn.Write(clientFrame(Text, "x")); err != nil {
						return
					}
				}
			}()
			last := h.visit(Limits{})
			var all sync.WaitGroup
			all.Go(func() { last.c.Start(clientFrame(Text, "x")); pausing.c.Resume() })
			all.Go(h.Server.Close)
			h.Server.Close()
			all.Wait()
			for i, p := range h.peers {
				receive(t, p.ended)
				if len(p.ended) != 0 {
					t.Errorf("connection %d ended twice", i)
				}
			}
			late := h.visit(Limits{})
			late.c.Start(nil)
			late.wantEnded(Closing{StatusAbnormal, "", ByNone})
		})
	}
}

func TestServerGivesAllThatAreOpen(t *testing.T) {
	h := open(t, polled, Options{Loops: 3})
	for range 10 {
		h.enter(Limits{})
	}
	h.peers[4].c.Kill()
	seen := map[*Conn]bool{}
	for c := range h.All() {
		seen[c] = true
		if c.Handler().(*peer).c != c {
			t.Error("a connection with the handler of another")
		}
	}
	if len(seen) != 9 || seen[h.peers[4].c] {
		t.Errorf("%d connections, want the 9 that are open", len(seen))
	}
	for range h.All() {
		break
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// 1,000 clients each claim a message of 2^40 bytes: 10 MB for all of them.
func TestServerAllocatesNothingForALengthClaimed(t *testing.T) {
	claim := append([]byte{0x82, 0xff}, binary.BigEndian.AppendUint64(nil, 1<<40)...)
	claim = append(claim, 1, 2, 3, 4, 'x', 'y', 'z')
	for _, test := range []struct {
		name  string
		limit int64
		held  bool
	}{{"over the default limit", 0, false}, {"below a limit of 2^41", 1 << 41, true}} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, polled, Options{})
			for range 1000 {
				h.enter(Limits{MaxMessage: test.limit})
			}
			before := heap()
			for _, p := range h.peers {
				p.write(claim)
			}
			eventually(t, "all claims are read", func() bool {
				if !test.held {
					return h.Stats().Violations == 1000
				}
				return h.Stats().Held >= 3000
			})
			eventually(t, "all of them are charged", func() bool {
				for _, p := range h.peers {
					if test.held && p.c.begun.Load() == 0 {
						return false
					}
				}
				return true
			})
			if grown := heap() - before; grown > 10<<20 {
				t.Errorf("the claims cost %d bytes, want at most 10 MB", grown)
			}
			if held := h.Stats().Held; held > 10<<20 {
				t.Errorf("%d bytes held, want at most 10 MB", held)
			}
		})
	}
}

func TestServerHoldsNoGoroutineForAnIdleConnection(t *testing.T) {
	const count = 2000
	h := open(t, polled, Options{})
	if h.loops[0].poll == nil {
		t.Skip("no poller on this system: a goroutine waits for each connection")
	}
	var clients []net.Conn
	quiet := &peer{t: t, server: h.Server, ended: make(chan Closing, count)}
	goroutines, before := runtime.NumGoroutine(), heap()
	for range count {
		client, server := tcpPair(t)
		clients = append(clients, client)
		h.NewConn(server, quiet, Limits{}).Start(nil)
	}
	grown := heap() - before
	t.Logf("%d idle connections: %d goroutines more, %d bytes of heap each, with the client's socket",
		count, runtime.NumGoroutine()-goroutines, grown/count)
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if grown/count > 4<<10 {
		t.Errorf("%d bytes each, want at most 4 KB", grown/count)
	}
	for _, c := range clients {
		c.Close()
	}
	for range count {
		receive(t, quiet.ended)
	}
}
