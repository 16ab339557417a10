package main

import (
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	goMetrics "runtime/metrics"
	"strings"
)

// tuneMemory has the garbage collector run when the heap has grown by half of
// what lives, not by all of it: memory is mostly idle connections, and a
// message leaves next to no garbage. Nearer to the limit of its control group it
// runs more often, or the kernel would kill the process for garbage. GOGC and
// GOMEMLIMIT in the environment win.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if limit := cgroupLimit(os.DirFS("/")); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 100 * memoryShare)
	}
}

// memoryShare is the part of a control group's memory that Go is to use, in
// percent. The rest is for sockets, and for what Go does not count.
const memoryShare = 85

// cgroupLimit is the tightest memory limit of the control groups of this
// process, in bytes; zero if there is none.
func cgroupLimit(root fs.FS) (limit int64) {
	self, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // no Linux
	}
	for _, file := range cgroupFiles(string(self)) {
		text, err := fs.ReadFile(root, strings.TrimPrefix(file, "/"))
		if err != nil {
			continue // the topmost group has none
		}
		if n, limited := parseMemoryMax(string(text)); limited && (limit == 0 || n < limit) {
			limit = n
		}
	}
	return limit
}

// memoryLimit is the limit that Go keeps to, in bytes; zero if there is none.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// buffersWithin is how much of buffers may be in force: a quarter of a memory
// limit. Connections need some of the rest, and under attack what is allocated
// while it is collected needs most: with half, the kernel killed the process.
func buffersWithin(buffers, limit int64) int64 {
	if limit == 0 {
		return buffers
	}
	return min(buffers, max(1, limit/4))
}

// memoryIsShort is memoryShort of this process.
func memoryIsShort() bool { return memoryShort(memoryUsed, memoryLimit()) }

// memoryShort reports whether four fifths of a memory limit are used for what
// cannot be collected; zero is no limit. Connections are most of that, so
// newcomers are kept out, before the collector has the processor to itself.
func memoryShort(used func() int64, limit int64) bool { return limit > 0 && used() > limit/5*4 }

// memoryUsed is what the last collection left on the heap, and what Go has beside
// the heap, in bytes.
func memoryUsed() int64 {
	samples := []goMetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	goMetrics.Read(samples)
	used := samples[0].Value.Uint64() + samples[1].Value.Uint64()
	for _, heap := range samples[2:] {
		used -= heap.Value.Uint64()
	}
	return int64(used)
}
