package main

import (
	"runtime"

	"ws-fpm/metrics"
)

// observeRuntime registers what Go knows of itself.
func observeRuntime(r *metrics.Registry) {
	r.GaugeFunc("go_goroutines", "Goroutines.", func() float64 { return float64(runtime.NumGoroutine()) })
	r.GaugeFunc("go_memory_limit_bytes", "The memory limit that Go keeps to; 0 is none.", func() float64 { return float64(memoryLimit()) })
	r.GaugeFunc("go_heap_bytes", "Bytes of live and not yet collected objects.", func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	})
}
