package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"ws-fpm/metrics"
)

// tuneMemory has the garbage collector run when the heap has grown by half of
// what lives, not by all of it: memory is mostly idle connections, and a
// message leaves next to no garbage. GOGC in the environment wins.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// observeRuntime registers what Go knows of itself.
func observeRuntime(r *metrics.Registry) {
	r.GaugeFunc("go_goroutines", "Goroutines.", func() float64 { return float64(runtime.NumGoroutine()) })
	r.GaugeFunc("go_heap_bytes", "Bytes of live and not yet collected objects.", func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	})
}
