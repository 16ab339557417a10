package gateway

import (
	"bytes"
	"testing"
)

// A message that waits is in memory of its own size, those of a common size in
// a buffer; whatever has waited before.
func TestCopyBody(t *testing.T) {
	for _, test := range []struct{ size, takes int }{
		{0, 0},
		{1, 1},
		{minPooled - 1, minPooled - 1},
		{minPooled, bodySize},
		{bodySize, bodySize},
		{bodySize + 1, bodySize + 1},
		{1 << 20, 1 << 20},
	} {
		for range 2 { // made, and then kept
			payload := bytes.Repeat([]byte("x"), test.size)
			b := copyBody(payload)
			clear(payload)
			if bytes.Count(b, []byte("x")) != test.size || cap(b) != test.takes {
				t.Errorf("%d bytes: a copy of %d takes %d, want %d", test.size, len(b), cap(b), test.takes)
			}
			giveBody(b)
		}
	}
}

// A client is charged for what its waiting messages take.
func TestWaitingIsCharged(t *testing.T) {
	for _, test := range []struct{ size, takes int }{
		{10, 10},
		{minPooled, bodySize},
		{bodySize + 1, bodySize + 1},
	} {
		g, b, address := open(t, nil)
		c := dial(t, address)
		c.say("hold 0")
		b.began("hold 0")
		before := count(g, "ws_fpm_buffered_bytes")
		c.say(sized(1, test.size))
		want := before + test.takes + messageCost
		eventually(t, "it is charged", func() bool { return count(g, "ws_fpm_buffered_bytes") == want })
		b.releaseAll()
		eventually(t, "and let go", func() bool { return count(g, "ws_fpm_buffered_bytes") == before })
	}
}
