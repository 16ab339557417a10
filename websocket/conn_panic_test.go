package websocket

import (
	"bytes"
	"testing"
)

func TestConnPanicCostsThatConnectionOnly(t *testing.T) {
	for _, test := range []struct {
		name string
		play func(p *peer)
		want Closing
	}{
		{"in Message", func(p *peer) {
			p.onMessage = func(Opcode, []byte) bool { panic("test") }
			p.c.Start(nil)
			p.write(clientFrame(Text, "x"), clientFrame(Text, "y"))
		}, Closing{StatusAbnormal, "", ByNone}},
		{"in Message for early bytes", func(p *peer) {
			p.onMessage = func(Opcode, []byte) bool { panic("test") }
			p.c.Start(clientFrame(Text, "x"))
		}, Closing{StatusAbnormal, "", ByNone}},
		{"in Message after Resume", func(p *peer) {
			first := make(chan bool, 1)
			p.onMessage = func(Opcode, []byte) bool {
				select {
				case first <- true:
					return false
				default:
					panic("test")
				}
			}
			p.c.Start(nil)
			p.write(clientFrame(Text, "x"), clientFrame(Text, "y"))
			eventually(p.t, "the reader pauses", func() bool { return readerState(p.c.reader.Load()) == paused })
			p.c.Resume()
		}, Closing{StatusAbnormal, "", ByNone}},
		{"in Fail", func(p *peer) {
			p.onFail = func(*ProtocolError) { panic("test") }
			p.c.Start(nil)
			p.write([]byte{0xff, 0xff})
		}, Closing{StatusAbnormal, "", ByNone}},
		{"in Ended", func(p *peer) {
			p.onEnded = func() { panic("test") }
			p.c.Start(nil)
			p.Conn.Close()
		}, Closing{StatusAbnormal, "", ByNone}},
		{"in Ended after Kill", func(p *peer) {
			p.onEnded = func() { panic("test") }
			p.c.Start(nil)
			p.c.Kill()
		}, Closing{StatusAbnormal, "", ByNone}},
		{"in Shed", func(p *peer) {
			p.onShed = func() { p.c.Hold(-1000); panic("test") }
			p.c.Start(nil)
			go p.tryRead()
			p.c.Hold(1000)
		}, Closing{StatusTryAgain, "overloaded", ByServer}},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, m mode) {
				reports := make(chan any, 10)
				h := open(t, m, Options{Loops: 1, Buffers: 999, OnPanic: func(v any, stack []byte) {
					if !bytes.Contains(stack, []byte("conn_panic_test.go")) {
						t.Errorf("a stack without its cause: %s", stack)
					}
					reports <- v
				}})
				bystander := h.enter(Limits{})
				p := h.visit(Limits{})
				test.play(p)
				p.wantEnded(test.want)
				if v := receive(t, reports); v != "test" {
					t.Errorf("reported %v, want test", v)
				}
				bystander.write(clientFrame(Text, "still here"))
				bystander.wantFrame(Text, "still here")
				eventually(t, "the connection is gone", func() bool { return h.Stats().Open == 1 })
				if st := h.Stats(); st.Panics != 1 || len(p.ended) != 0 {
					t.Errorf("%d panics, %d more calls of Ended; want 1, 0", st.Panics, len(p.ended))
				}
			})
		})
	}
}
