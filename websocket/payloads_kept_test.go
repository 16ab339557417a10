//go:build !race

package websocket

import (
	"strings"
	"testing"
)

// A message that gathered in a buffer allocates nothing once there is one. (With
// the race detector a sync.Pool drops things at random.)
func TestDecoderKeepsBuffers(t *testing.T) {
	wire := frame(last, Binary, strings.Repeat("x", 300_000))
	d, b := decoder{maxMessage: 1 << 20}, make([]byte, len(wire))
	allocs := testing.AllocsPerRun(50, func() {
		copy(b, wire)
		for rest := b; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
			d.next(rest[:min(len(rest), 1000)])
		}
		d.release()
	})
	if allocs > 6 { // the sizes below minPayload, and whatever the collector takes from the pools
		t.Errorf("%v allocations, want at most 6", allocs)
	}
}
