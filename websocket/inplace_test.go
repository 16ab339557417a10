package websocket

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestHeaderSize(t *testing.T) {
	for _, n := range []int{0, 1, length16 - 1, length16, math.MaxUint16, math.MaxUint16 + 1, 1 << 30} {
		if got, want := headerSize(n), len(appendHeader(nil, header{fin: true, op: Binary, length: uint64(n)})); got != want {
			t.Errorf("headerSize(%d) = %d, want %d", n, got, want)
		}
	}
}

// A message in place goes out as any other, whatever becomes of its buffer then,
// and no byte of the payload or far in front of it is written to.
func TestWriteInPlace(t *testing.T) {
	for _, test := range []struct {
		name   string
		size   int
		room   int
		limits Limits
		frames int
	}{
		{"nothing", 0, FrameRoom, Limits{}, 1},
		{"the longest of a short header", length16 - 1, FrameRoom, Limits{}, 1},
		{"a byte more", length16, FrameRoom, Limits{}, 1},
		{"the longest of a header of four bytes", math.MaxUint16, FrameRoom, Limits{}, 1},
		{"a byte more, which is a whole fragment", math.MaxUint16 + 1, FrameRoom, Limits{}, 1},
		{"a byte more than a fragment", math.MaxUint16 + 2, FrameRoom, Limits{}, 2},
		{"more room than it takes", 1000, 64, Limits{}, 1},
		{"less room than a header may take", 1000, FrameRoom - 1, Limits{}, 1},
		{"no room", 1000, 0, Limits{}, 1},
		{"deflated", 1000, FrameRoom, Limits{Deflate: deflate}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, m mode) {
				p := open(t, m, Options{}).enter(test.limits)
				payload := []byte(strings.Repeat("in place ", test.size/9+1)[:test.size])
				b := append(bytes.Repeat([]byte{0xee}, test.room), payload...)
				p.aside.Go(func() { // a pipe has no room
					if err := p.c.WriteInPlace(Binary, b, test.room); err != nil {
						t.Error(err)
					}
					p.accepted.Add(1)
					if !bytes.Equal(b[test.room:], payload) || bytes.Count(b[:max(0, test.room-FrameRoom)], []byte{0xee}) != max(0, test.room-FrameRoom) {
						t.Error("more than the room was written to")
					}
					clear(b) // it is the caller's again
					p.send(Text, []byte("next"))
				})
				var got []byte
				for i := range test.frames {
					if test.limits.Deflate != noDeflate {
						text, deflated := p.inflated()
						if !deflated {
							t.Error("not deflated")
						}
						got = append(got, text...)
						continue
					}
					f := p.read()
					if want := i == test.frames-1; f.fin != want {
						t.Errorf("frame %d: fin %t, want %t", i, f.fin, want)
					}
					got = append(got, f.payload...)
				}
				if !bytes.Equal(got, payload) {
					t.Errorf("%d bytes came, want %d", len(got), len(payload))
				}
				p.wantFrame(Text, "next")
			})
		})
	}
}
