package websocket

import (
	"testing"
	"testing/synctest"
	"time"
)

// inRoom starts WaitRoom(100) behind a message that makes a frame of size bytes,
// none of which the client has read, and gives its result once it has one.
func inRoom(t *testing.T, size int) (p *peer, result chan error) {
	p = open(t, piped, Options{}).enter(Limits{})
	if err := p.send(Binary, make([]byte, size-2)); err != nil {
		t.Fatal(err)
	}
	result = make(chan error, 1)
	go func() { result <- p.c.WaitRoom(100) }()
	synctest.Wait()
	return p, result
}

func TestWaitRoomWaitsForFewerBytes(t *testing.T) {
	for _, test := range []struct {
		name  string
		size  int
		waits bool
	}{
		{"one byte less is queued", 99, false},
		{"as many bytes are queued", 100, true},
		{"one byte more is queued", 101, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, result := inRoom(t, test.size)
				if waits := len(result) == 0; waits != test.waits {
					t.Errorf("waits: %v, want %v", waits, test.waits)
				}
				p.read()
				synctest.Wait()
				select {
				case err := <-result:
					if err != nil {
						t.Errorf("WaitRoom: %v", err)
					}
				default:
					t.Error("still waits, and all has been read")
				}
				if err := p.c.WaitRoom(100); err != nil {
					t.Errorf("WaitRoom with nothing queued: %v", err)
				}
			})
		})
	}
}

// Whoever waits is told when nothing can be sent any more, whatever ended it.
func TestWaitRoomEndsWithItsConnection(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(p *peer)
	}{
		{"by a close frame of ours", func(p *peer) { p.c.Close(StatusNormal, "") }},
		{"by the client's", func(p *peer) { p.write(clientClose(StatusNormal, "")) }},
		{"by the end of the socket", func(p *peer) { p.Conn.Close() }},
		{"by a write that fails, before the reader knows", func(p *peer) {
			p.c.mu.Lock()
			p.c.breakLocked()
			p.c.unlock()
		}},
		{"by Kill", func(p *peer) { p.c.Kill() }},
		{"by the end of the server", func(p *peer) { p.server.Close() }},
		{"by the memory it holds", func(p *peer) { p.c.shedLoad(&p.c.server.stats.shed) }},
		{"by a full outbox", func(p *peer) {
			for p.send(Binary, make([]byte, 1<<19)) == nil {
			}
		}},
		{"by a client that reads nothing for 10 s", func(*peer) { time.Sleep(writeTimeout + time.Second) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, result := inRoom(t, 1000)
				if len(result) > 0 {
					t.Fatalf("WaitRoom: %v, with 1,000 bytes queued", <-result)
				}
				test.end(p)
				synctest.Wait()
				select {
				case err := <-result:
					if err != ErrClosed {
						t.Errorf("WaitRoom: %v, want %v", err, ErrClosed)
					}
				default:
					t.Error("still waits")
				}
				if err := p.c.WaitRoom(1 << 30); err != ErrClosed {
					t.Errorf("WaitRoom after that: %v, want %v", err, ErrClosed)
				}
			})
		})
	}
}

// A connection is closed when its time is up, within a sweep cycle, and the
// last word on that counts.
func TestExpireAfter(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls []time.Duration // a second apart
		after time.Duration   // from the last call
	}{
		{"a second", []time.Duration{time.Second}, time.Second},
		{"ten seconds", []time.Duration{10 * time.Second}, 10 * time.Second},
		{"put off", []time.Duration{3 * time.Second, 10 * time.Second}, 10 * time.Second},
		{"brought forward", []time.Duration{20 * time.Second, 3 * time.Second}, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, piped, Options{}).enter(Limits{})
				for i, d := range test.calls {
					if i > 0 {
						time.Sleep(time.Second)
					}
					p.c.ExpireAfter(d)
				}
				begun := time.Now()
				p.wantClose(StatusPolicy, "expired")
				if took := time.Since(begun); took < test.after || took > test.after+sweepCycle {
					t.Errorf("closed after %v, want %v and at most %v more", took, test.after, sweepCycle)
				}
				p.write(clientClose(StatusPolicy, ""))
				p.wantEnded(Closing{StatusPolicy, "expired", ByServer})
			})
		})
	}
}
