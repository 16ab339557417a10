package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// trimInterval is how often it is looked whether a crowd has gone. The memory
	// of work that is done is back after two of them.
	trimInterval = 4 * time.Second

	// trimLeast is how many clients have to have gone for it to be worth a
	// collection: each leaves some 8 KiB.
	trimLeast = 512
)

// trimMemory gives back the memory of crowds that have gone and of work that is
// done, until ctx ends. Go collects when more is allocated, or every two minutes,
// and what lies in pools is left out once: a program that has become quiet would
// keep it for minutes. And when memory is short nobody comes in, so that nothing
// would show that there is room again.
func trimMemory(ctx context.Context, clients func() int, short func() bool) {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	var c crowd
	l := lull{last: collections()}
	l.told = l.last
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		gone, quiet := c.left(clients()), l.begun(collections())
		if gone || quiet || short() {
			runtime.GC()         // what is in pools stays for one more
			debug.FreeOSMemory() // which is another
			l.told = collections()
			l.last = l.told
		}
	}
}

// collections is how many there have been so far.
func collections() uint64 {
	return runtimeMetric("/gc/cycles/total:gc-cycles").Uint64()
}

// A lull is an interval in which no more has been allocated than Go lets lie.
type lull struct{ last, told uint64 }

// begun takes note of how many collections there have been, and reports whether
// there were some since it was told, but none of late.
func (l *lull) begun(now uint64) bool {
	quiet := now == l.last && now != l.told
	l.last = now
	return quiet
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
