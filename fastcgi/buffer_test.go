//go:build !race

package fastcgi

import "testing"

// What a buffer holds of memory is at most twice what is asked for, room for a
// frame's header apart, beyond the size that serves whatever comes.
func TestGrowBuf(t *testing.T) {
	for _, test := range []struct{ n, least, most int }{
		{1, 1, maxPlain},
		{maxPlain, maxPlain, maxPlain},
		{maxPlain + 1, minLarge, minLarge + slack},
		{minLarge + slack, minLarge + slack, minLarge + slack},
		{minLarge + slack + 1, 2 * minLarge, 2*minLarge + slack},
		{1<<20 + slack, 1<<20 + slack, 1<<20 + slack},
		{1<<20 + slack + 1, maxPooled, maxPooled + slack},
		{maxPooled + slack, maxPooled + slack, maxPooled + slack},
		{maxPooled + slack + 1, maxPooled + slack + 1, maxPooled + maxPooled/2},
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

// A reply's buffer grows so that little is copied, and never far beyond what is
// kept.
func TestReplyRoom(t *testing.T) {
	for _, test := range []struct {
		name          string
		n, size, want int
	}{
		{"the first bytes", 100, 0, 100},
		{"a short one doubles", 1100, 1000, 2000},
		{"a part longer than that", 70_000, 1000, 70_000},
		{"the last that doubles", maxPlain, maxPlain - 1, 2*maxPlain - 2},
		{"a long one grows fourfold", maxPlain + 1, maxPlain, 4 * maxPlain},
		{"a long one of a size that is kept, fourfold without what that has more", minLarge + slack + 1, minLarge + slack, 4 * minLarge},
		{"up to the largest that is kept", 1<<20 + slack + 1, 1<<20 + slack, maxPooled},
		{"and doubles from there", maxPooled + 1, maxPooled, 2 * maxPooled},
	} {
		if got := replyRoom(test.n, test.size); got != test.want {
			t.Errorf("%s: replyRoom(%d, %d) = %d, want %d", test.name, test.n, test.size, got, test.want)
		}
	}
}
