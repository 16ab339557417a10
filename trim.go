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

	// trimLitter is how many bytes have to have been allocated since for a lull to
	// be worth a collection, if Go has made none.
	trimLitter = 1 << 20

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
	l := lull{last: allocations()}
	l.told = l.last
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		gone, quiet := c.left(clients()), l.begun(allocations())
		if gone || quiet || short() {
			runtime.GC()         // what is in pools stays for one more
			debug.FreeOSMemory() // which is another
			l.last = allocations()
			l.told = l.last
		}
	}
}

// collections is how many there have been so far.
func collections() uint64 {
	return runtimeMetric("/gc/cycles/total:gc-cycles").Uint64()
}

// Work is what Go has done for memory so far.
type work struct {
	collections uint64
	bytes       uint64 // allocated
}

func allocations() work {
	return work{collections(), runtimeMetric("/gc/heap/allocs:bytes").Uint64()}
}

// A lull is an interval in which no more has been allocated than Go lets lie.
type lull struct{ last, told work }

// begun takes note of the work so far, and reports whether there was some since
// it was told, but no collection of late.
func (l *lull) begun(now work) bool {
	done := now.collections != l.told.collections || now.bytes-l.told.bytes >= trimLitter
	quiet := now.collections == l.last.collections && done
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
