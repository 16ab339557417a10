package websocket

import (
	"slices"
	"strings"
	"testing"
)

// What comes of an unfinished message is inflated again and again, but a client
// pays for it: however it cuts what it sends, and whatever it sends between two
// fragments.
func TestLookAheadIsPaidFor(t *testing.T) {
	const most = 1 << 20
	part := func(payload string) []byte {
		b := clientPart(Binary, false, payload)
		b[0] |= 0x40
		return b
	}
	bomb := zipped(strings.Repeat("a", 490_000))
	long := zipped(noise(100_000))
	pings := strings.Repeat(string(clientFrame(opPing, strings.Repeat("x", 125))), 10)
	for _, test := range []struct {
		name          string
		whole, slowly []byte // what comes in one read, and behind it in one for each byte
		inflated      int64  // bytes that it stands for
		looks         int    // at most
	}{
		{"few bytes for very many, each alone", nil, part(bomb[:len(bomb)-1]), 490_000, 30},
		{"few bytes for very many, and pings", part(bomb[:len(bomb)-1]), []byte(pings), 490_000, 1},
		{"a text, each byte alone", nil, part(zipped("Hello, world!")), 13, 20},
		{"much that does not get shorter, and pings", part(long[:len(long)-1]), []byte(pings), 100_000, 1},
		{"much that does not get shorter, each byte alone", nil, part(long[:len(long)-1]), 100_000, minBuffer + 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decoder{maxMessage: most, mayDeflate: true}
			f := inflaters.Get().(*inflater)
			looks, inflated := 0, int64(0)
			take := func(b []byte) {
				for len(b) > 0 {
					_, n, err := d.next(b)
					if err != nil {
						t.Fatal(err)
					}
					b = b[n:]
				}
				if op, payload := d.beginning(); len(payload) > 0 {
					size, fault := f.measure(payload, false, op, most)
					if fault != nil {
						t.Fatal(fault)
					}
					d.looked(size)
					looks, inflated = looks+1, inflated+size
				}
			}
			take(slices.Clone(test.whole))
			for _, b := range slices.Clone(test.slowly) {
				take([]byte{b})
			}
			if bound := 2*test.inflated + minBuffer*minBuffer; looks == 0 || looks > test.looks || inflated > bound {
				t.Errorf("%d looks, %d bytes inflated; want at most %d and %d", looks, inflated, test.looks, bound)
			}
		})
	}
}
