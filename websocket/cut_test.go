package websocket

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A connection is counted once, by what it was cut for: not by what comes of that.
func TestConnIsCutForOneCause(t *testing.T) {
	for _, test := range []struct {
		name  string
		play  func(p *peer)
		count func(Stats) uint64
	}{
		{"the outbox is full, and nothing is read after that either", func(p *peer) {
			for p.send(Text, []byte(strings.Repeat("x", 100))) == nil {
			}
		}, func(st Stats) uint64 { return st.Slow }},
		{"no byte is taken", func(p *peer) { p.send(Text, []byte("x")) }, func(st Stats) uint64 { return st.WriteTimeouts }},
		{"a message is not finished", func(p *peer) { p.Conn.Write(clientPart(Text, false, "x")) }, func(st Stats) uint64 { return st.MessageTimeouts }},
		{"a bad frame, and our close frame is not read", func(p *peer) { p.Conn.Write([]byte{0xff, 0}) }, func(st Stats) uint64 { return st.Violations }},
		{"a close frame that is not answered", func(p *peer) { drink(p); p.c.Close(StatusNormal, "") }, func(st Stats) uint64 { return st.CloseTimeouts }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, piped, Options{})
				p := h.enter(Limits{Outbox: 1000})
				test.play(p)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				st := h.Stats()
				all := st.Slow + st.Shed + st.ShedMessages + st.Violations + st.PongTimeouts + st.MessageTimeouts + st.WriteTimeouts + st.CloseTimeouts
				if test.count(st) != 1 || all != 1 || st.Open != 0 {
					t.Errorf("counted %d times, and %d times in all, %d open; want 1, 1, 0", test.count(st), all, st.Open)
				}
			})
		})
	}
}
