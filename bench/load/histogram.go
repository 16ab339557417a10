package load

import (
	"math/bits"
	"time"
)

// subBuckets is how many buckets each power of two has: values are kept to
// within 1/64.
const subBuckets = 64

// A histogram counts durations in buckets of a width that grows with them. It
// allocates nothing when a value is added.
type histogram struct {
	buckets [60 * subBuckets]uint64
	count   uint64
	max     time.Duration
}

// bucket gives the index of a value, and the largest value it holds.
func bucket(d time.Duration) (index int, top time.Duration) {
	v := uint64(max(d, 0))
	if v < subBuckets {
		return int(v), time.Duration(v)
	}
	shift := bits.Len64(v) - bits.Len64(subBuckets) // v>>shift is 64 to 127
	index = shift*subBuckets + int(v>>shift)
	return index, time.Duration((v>>shift+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	i, _ := bucket(d)
	h.buckets[min(i, len(h.buckets)-1)]++
	h.count++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.max = max(h.max, other.max)
}

// quantile gives a value that a share q of all values does not exceed. Zero
// values give zero.
func (h *histogram) quantile(q float64) time.Duration {
	want := uint64(q * float64(h.count))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; n > 0 && seen > want || n > 0 && seen == h.count {
			return min(bucketTop(i), h.max)
		}
	}
	return 0
}

// bucketTop is the largest value of a bucket.
func bucketTop(i int) time.Duration {
	if i < 2*subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	return time.Duration(uint64(i-shift*subBuckets+1)<<shift - 1)
}

// into sets what a result says of latency.
func (h *histogram) into(r *Result) {
	r.Messages, r.P50, r.P99, r.Max = h.count, h.quantile(0.5), h.quantile(0.99), h.max
}
