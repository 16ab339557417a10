package fpm

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	const ms = time.Millisecond
	var b backoff
	for i, step := range []struct{ lived, want time.Duration }{
		{0, 100 * ms},
		{0, 200 * ms},
		{0, 400 * ms},
		{0, 800 * ms},
		{0, 1600 * ms},
		{0, 3200 * ms},
		{0, 5 * time.Second},
		{30*time.Second - 1, 5 * time.Second},
		{30 * time.Second, 100 * ms},
		{0, 200 * ms},
	} {
		if got := b.next(step.lived); got != step.want {
			t.Errorf("step %d: next(%v) = %v, want %v", i, step.lived, got, step.want)
		}
	}
}
