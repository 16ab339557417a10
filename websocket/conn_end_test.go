package websocket

import (
	"strings"
	"testing"
)

// A client whose stream ends is owed nothing, wherever it ends: what was whole
// is handed on, what was not is forgotten, and no close frame is made up for it.
func TestConnEndsWhereverTheStreamEnds(t *testing.T) {
	long := string(clientFrame(Binary, strings.Repeat("x", 70_000)))
	fragment := string(clientPart(Text, false, "frag"))
	for _, test := range []struct{ name, wire string }{
		{"before the first byte", ""},
		{"behind the first byte of a header", long[:1]},
		{"in a length", long[:6]},
		{"in a mask", long[:12]},
		{"behind a header", long[:14]},
		{"in a payload", long[:40_000]},
		{"one byte before the end", long[:len(long)-1]},
		{"between two fragments", fragment},
		{"in the second fragment", fragment + string(clientPart(opContinuation, true, "ment"))[:8]},
		{"in a ping", string(clientFrame(opPing, "ping"))[:8]},
		{"in a close frame", string(clientClose(1000, "why"))[:9]},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, m mode) {
				h := open(t, m, Options{})
				p := h.visit(Limits{})
				messages := 0
				p.onMessage = func(Opcode, []byte) bool { messages++; return true }
				p.c.Start(nil)
				p.write(clientFrame(Text, "whole"), []byte(test.wire))
				if m.pipe {
					p.Conn.Close()
				} else {
					p.Conn.(interface{ CloseWrite() error }).CloseWrite()
					p.wantEOF()
				}
				p.wantEnded(Closing{StatusAbnormal, "", ByNone})
				if messages != 1 || len(p.fails) != 0 {
					t.Errorf("%d messages, %d failures; want the whole one, no failure", messages, len(p.fails))
				}
			})
		})
	}
}

// What a client says after our close frame, before it has seen it, is read and
// not handed on.
func TestConnHandsNothingOnAfterItsOwnClose(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		p := open(t, m, Options{}).visit(Limits{})
		p.onMessage = func(op Opcode, payload []byte) bool {
			t.Errorf("handed on %v %q", op, payload)
			return true
		}
		p.c.Start(nil)
		p.c.Close(4000, "enough")
		p.wantClose(4000, "enough")
		p.write(clientFrame(Text, "late"), clientFrame(opPing, "late"), clientClose(4000, ""))
		p.wantEOF()
		p.Conn.Close()
		p.wantEnded(Closing{4000, "enough", ByServer})
	})
}
