package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// trimInterval is how often it is looked whether a crowd has gone.
	trimInterval = 5 * time.Second

	// trimLeast is how many clients have to have gone for it to be worth a
	// collection: each leaves some 8 KiB.
	trimLeast = 512
)

// trimMemory gives back the memory of crowds that have gone, until ctx ends. Go
// collects when more is allocated, or every two minutes, and what lies in pools
// is left out once: a program that has become quiet would keep it for minutes.
func trimMemory(ctx context.Context, clients func() int) {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	var c crowd
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.left(clients()) {
			runtime.GC()         // what is in pools stays for one more
			debug.FreeOSMemory() // which is another
		}
	}
}

// A crowd is the most clients since the last time that many had gone.
type crowd int

// left takes note of the clients there are now, and reports whether many have
// gone: an eighth of them, and not few.
func (c *crowd) left(now int) bool {
	most := int(*c)
	if gone := most - now; gone >= max(most/8, trimLeast) {
		*c = crowd(now)
		return true
	}
	*c = crowd(max(most, now))
	return false
}
