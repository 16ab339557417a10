package metrics

import (
	"math"
	"slices"
	"sync/atomic"
)

// A Counter counts events. Its zero value is ready to use, also outside a
// Registry.
type Counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value returns what has been counted so far.
func (c *Counter) Value() uint64 { return c.n.Load() }

// A Gauge is a number of things there are now. Its zero value is ready to use,
// also outside a Registry.
type Gauge struct{ n atomic.Int64 }

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Value returns the value.
func (g *Gauge) Value() int64 { return g.n.Load() }

// A Histogram counts values by size, in buckets fixed from the start.
type Histogram struct {
	bounds []float64       // upper bounds, ascending
	counts []atomic.Uint64 // one more: above the last bound
	sum    atomic.Uint64   // the bits of a float64
}

func newHistogram(bounds []float64) *Histogram {
	for i, b := range bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= bounds[i-1] {
			panic("BUG: the bounds of a histogram must be finite and ascend")
		}
	}
	return &Histogram{bounds: slices.Clone(bounds), counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts v. A value equal to a bound is in that bound's bucket. NaN is
// not counted: it would be the sum for ever.
func (h *Histogram) Observe(v float64) {
	if math.IsNaN(v) {
		return
	}
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// appendText appends the histogram's lines. Buckets and count always agree; the
// sum may lag behind an Observe in progress.
func (h *Histogram) appendText(b []byte, name, labels string) []byte {
	var total uint64
	for i := range h.counts {
		total += h.counts[i].Load()
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		le := `le="` + string(appendFloat(nil, bound)) + `"`
		if labels != "" {
			le = labels + "," + le
		}
		b = appendSample(b, name+"_bucket", le, float64(total))
	}
	b = appendSample(b, name+"_sum", labels, math.Float64frombits(h.sum.Load()))
	return appendSample(b, name+"_count", labels, float64(total))
}
