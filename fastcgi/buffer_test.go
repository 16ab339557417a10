//go:build !race

package fastcgi

import "testing"

// What a buffer holds of memory is at most twice what is asked for, beyond the
// size that serves whatever comes.
func TestGrowBuf(t *testing.T) {
	for _, test := range []struct{ n, least, most int }{
		{1, 1, maxPlain},
		{maxPlain, maxPlain, maxPlain},
		{maxPlain + 1, minLarge, minLarge},
		{minLarge, minLarge, minLarge},
		{minLarge + 1, 2 * minLarge, 2 * minLarge},
		{1 << 20, 1 << 20, 1 << 20},
		{1<<20 + 1, maxPooled, maxPooled},
		{maxPooled, maxPooled, maxPooled},
		{maxPooled + 1, maxPooled + 1, maxPooled + maxPooled/2},
	} {
		for range 2 { // made, and then kept
			b := []byte("content")
			got := growBuf(&b, test.n)
			if string(*got) != "content" || cap(*got) < test.least || cap(*got) > test.most {
				t.Errorf("growBuf(%d): %q, room for %d, want %d to %d", test.n, *got, cap(*got), test.least, test.most)
			}
			putBuf(got)
		}
	}
}
