package main

import (
	"runtime"
	gometrics "runtime/metrics"

	"ws-fpm/metrics"
)

// observeRuntime registers what Go knows of itself. Processor time is as of the
// end of the last collection: Go adds it up there.
func observeRuntime(r *metrics.Registry) {
	r.GaugeFunc("go_goroutines", "Goroutines.", func() float64 { return float64(runtime.NumGoroutine()) })
	r.GaugeFunc("go_memory_limit_bytes", "The memory limit that Go keeps to; 0 is none.", func() float64 { return float64(memoryLimit()) })
	r.GaugeFunc("go_heap_bytes", "Bytes of live and not yet collected objects.", func() float64 {
		return float64(runtimeMetric("/memory/classes/heap/objects:bytes").Uint64())
	})
	r.CounterFunc("go_heap_allocs_total", "Objects allocated.", func() float64 {
		return float64(runtimeMetric("/gc/heap/allocs:objects").Uint64() + runtimeMetric("/gc/heap/tiny/allocs:objects").Uint64())
	})
	r.CounterFunc("go_gc_cycles_total", "Collections completed.", func() float64 { return float64(collections()) })
	r.CounterFunc("go_gc_cpu_seconds_total", "Processor time of garbage collection, as of the end of the last one.", func() float64 {
		return runtimeMetric("/cpu/classes/gc/total:cpu-seconds").Float64()
	})
	r.CounterFunc("go_cpu_seconds_total", "Processor time that Go could have used, idle time too, as of the end of the last collection.", func() float64 {
		return runtimeMetric("/cpu/classes/total:cpu-seconds").Float64()
	})
}

// runtimeMetric reads one metric of package runtime/metrics. A name that this Go
// does not know gives a value whose methods panic.
func runtimeMetric(name string) gometrics.Value {
	sample := []gometrics.Sample{{Name: name}}
	gometrics.Read(sample)
	return sample[0].Value
}
