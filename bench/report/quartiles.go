package report

import (
	"fmt"
	"slices"
	"strconv"
)

// Quartiles are of a number of values; all are zero if there is none.
type Quartiles struct {
	Low, Median, High float64
	N                 int
}

func quartilesOf(values []float64) Quartiles {
	if len(values) == 0 {
		return Quartiles{}
	}
	v := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 {
		x := q * float64(len(v)-1)
		i := min(int(x), len(v)-1)
		next := min(i+1, len(v)-1)
		return v[i] + (x-float64(i))*(v[next]-v[i])
	}
	return Quartiles{at(0.25), at(0.5), at(0.75), len(v)}
}

// String is such as 0.87 (0.85–0.91).
func (q Quartiles) String() string {
	if q.N == 0 {
		return "–"
	}
	if q.N == 1 {
		return figure(q.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", figure(q.Median), figure(q.Low), figure(q.High))
}

// figure writes a number with as many digits as it is worth.
func figure(v float64) string {
	switch {
	case v >= 1000:
		whole := strconv.Itoa(int(v + 0.5))
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + "," + whole[i:]
		}
		return whole
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
