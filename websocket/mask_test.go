package websocket

import (
	"bytes"
	"fmt"
	"testing"
)

// maskSlowly is section 5.3 of RFC 6455 to the letter.
func maskSlowly(b []byte, key [4]byte, pos int) {
	for i := range b {
		b[i] ^= key[(pos+i)%4]
	}
}

func TestMask(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	for length := range 101 {
		for align := range 9 {
			for pos := range 4 {
				whole := make([]byte, align+length+8)
				for i := range whole {
					whole[i] = byte(i * 7)
				}
				want := bytes.Clone(whole)
				maskSlowly(want[align:align+length], key, pos)
				next := mask(whole[align:align+length], key, pos)
				if !bytes.Equal(whole, want) || next != (pos+length)%4 {
					t.Errorf("mask of %d bytes, alignment %d, position %d = %d, %x; want %d, %x",
						length, align, pos, next, whole, (pos+length)%4, want)
				}
			}
		}
	}
}

func TestMaskInParts(t *testing.T) {
	key := [4]byte{1, 2, 3, 4}
	want := make([]byte, 100)
	maskSlowly(want, key, 0)
	for first := range len(want) + 1 {
		for second := first; second <= len(want); second++ {
			got := make([]byte, len(want))
			pos := mask(got[:first], key, 0)
			pos = mask(got[first:second], key, pos)
			mask(got[second:], key, pos)
			if !bytes.Equal(got, want) {
				t.Fatalf("cut at %d and %d: %x, want %x", first, second, got, want)
			}
		}
	}
}

func BenchmarkMask(b *testing.B) {
	for _, size := range []int{16, 125, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			pos := 0
			for b.Loop() {
				pos = mask(buf, [4]byte{1, 2, 3, 4}, pos)
			}
		})
	}
}
