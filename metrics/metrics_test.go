package metrics

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
)

func text(t *testing.T, r *Registry) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteText(t *testing.T) {
	tests := []struct {
		name     string
		register func(r *Registry)
		want     string
	}{
		{"nothing registered writes nothing", func(r *Registry) {}, ""},
		{"a counter", func(r *Registry) { r.Counter("a_total", "Events.").Add(3) },
			"# HELP a_total Events.\n# TYPE a_total counter\na_total 3\n"},
		{"a gauge below zero", func(r *Registry) { g := r.Gauge("g", "Things."); g.Set(2); g.Add(-5) },
			"# HELP g Things.\n# TYPE g gauge\ng -3\n"},
		{"functions are asked when the text is written", func(r *Registry) {
			n := 0.0
			r.GaugeFunc("g", "G.", func() float64 { return n })
			r.CounterFunc("c_total", "C.", func() float64 { return 2 * n })
			n = 21
		}, "# HELP c_total C.\n# TYPE c_total counter\nc_total 42\n# HELP g G.\n# TYPE g gauge\ng 21\n"},
		{"names and labels are sorted, whatever the order of registering", func(r *Registry) {
			r.Counter("b_total", "B.", Label{"z", "1"}, Label{"a", "2"})
			r.Counter("a_total", "A.")
			r.Counter("b_total", "B.", Label{"a", "1"}, Label{"z", "2"})
		}, "# HELP a_total A.\n# TYPE a_total counter\na_total 0\n# HELP b_total B.\n# TYPE b_total counter\n" +
			"b_total{a=\"1\",z=\"2\"} 0\nb_total{a=\"2\",z=\"1\"} 0\n"},
		{"help escapes backslash and newline but no quote", func(r *Registry) { r.Gauge("g", "a \\ b\nc \"d\"") },
			"# HELP g a \\\\ b\\nc \"d\"\n# TYPE g gauge\ng 0\n"},
		{"a label's value escapes backslash, newline and quote", func(r *Registry) { r.Gauge("g", "G.", Label{"l", "a\\b\nc\"d\""}) },
			"# HELP g G.\n# TYPE g gauge\ng{l=\"a\\\\b\\nc\\\"d\\\"\"} 0\n"},
		{"a label's value that is not UTF-8 is made so", func(r *Registry) { r.Gauge("g", "G.", Label{"l", "\xff"}) },
			"# HELP g G.\n# TYPE g gauge\ng{l=\"\ufffd\"} 0\n"},
		{"special values", func(r *Registry) {
			for i, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), 0.25, 1 << 52, 1e21} {
				r.GaugeFunc("g", "G.", func() float64 { return v }, Label{"i", string(rune('0' + i))})
			}
		}, "# HELP g G.\n# TYPE g gauge\ng{i=\"0\"} +Inf\ng{i=\"1\"} -Inf\ng{i=\"2\"} NaN\ng{i=\"3\"} 0.25\n" +
			"g{i=\"4\"} 4503599627370496\ng{i=\"5\"} 1e+21\n"},
		{"a histogram counts below, at and above its bounds", func(r *Registry) {
			h := r.Histogram("h", "H.", []float64{0.5, 1})
			for _, v := range []float64{0.25, 0.5, 0.75, 1, 2, math.NaN()} {
				h.Observe(v)
			}
		}, "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 2\nh_bucket{le=\"1\"} 4\nh_bucket{le=\"+Inf\"} 5\nh_sum 4.5\nh_count 5\n"},
		{"a histogram with a label and no bounds", func(r *Registry) {
			r.Histogram("h", "H.", nil, Label{"pool", "www"}).Observe(2)
		}, "# HELP h H.\n# TYPE h histogram\nh_bucket{pool=\"www\",le=\"+Inf\"} 1\nh_sum{pool=\"www\"} 2\nh_count{pool=\"www\"} 1\n"},
		{"collected series are sorted, and one that comes twice stands once", func(r *Registry) {
			r.CollectFunc("c_total", "C.", KindCounter, func(emit func(float64, ...Label)) {
				emit(2, Label{"pool", "b"})
				emit(1, Label{"pool", "a"})
				emit(3, Label{"pool", "b"})
			})
		}, "# HELP c_total C.\n# TYPE c_total counter\nc_total{pool=\"a\"} 1\nc_total{pool=\"b\"} 3\n"},
		{"a function may use the registry", func(r *Registry) {
			r.GaugeFunc("g", "G.", func() float64 { return float64(len(r.snapshot())) })
		}, "# HELP g G.\n# TYPE g gauge\ng 1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r Registry
			test.register(&r)
			for range 3 { // the same every time
				if got := text(t, &r); got != test.want {
					t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
				}
			}
		})
	}
}

func collectNothing(emit func(float64, ...Label)) {}

func TestFaultsOfTheProgramPanic(t *testing.T) {
	tests := []struct {
		name     string
		register func(r *Registry)
	}{
		{"the same series twice", func(r *Registry) { r.Counter("a", "A."); r.Counter("a", "A.") }},
		{"the same labels in another order", func(r *Registry) {
			r.Gauge("a", "A.", Label{"x", "1"}, Label{"y", "2"})
			r.Gauge("a", "A.", Label{"y", "2"}, Label{"x", "1"})
		}},
		{"one name, two kinds", func(r *Registry) { r.Counter("a", "A."); r.Gauge("a", "A.", Label{"x", "1"}) }},
		{"one name, two helps", func(r *Registry) { r.Counter("a", "A."); r.Counter("a", "B.", Label{"x", "1"}) }},
		{"collected and registered", func(r *Registry) { r.CollectFunc("a", "A.", KindGauge, collectNothing); r.Gauge("a", "A.") }},
		{"registered and collected", func(r *Registry) { r.Gauge("a", "A."); r.CollectFunc("a", "A.", KindGauge, collectNothing) }},
		{"collected twice", func(r *Registry) {
			r.CollectFunc("a", "A.", KindGauge, collectNothing)
			r.CollectFunc("a", "A.", KindGauge, collectNothing)
		}},
		{"a collected histogram", func(r *Registry) { r.CollectFunc("a", "A.", KindHistogram, collectNothing) }},
		{"an empty name", func(r *Registry) { r.Counter("", "A.") }},
		{"a name with a dash", func(r *Registry) { r.Counter("a-b", "A.") }},
		{"a name that begins with a digit", func(r *Registry) { r.Counter("1a", "A.") }},
		{"a label with a colon", func(r *Registry) { r.Counter("a", "A.", Label{"a:b", ""}) }},
		{"a reserved label", func(r *Registry) { r.Counter("a", "A.", Label{"__a", ""}) }},
		{"a label twice", func(r *Registry) { r.Counter("a", "A.", Label{"a", "1"}, Label{"a", "2"}) }},
		{"the label le on a histogram", func(r *Registry) { r.Histogram("a", "A.", nil, Label{"le", ""}) }},
		{"bounds that do not ascend", func(r *Registry) { r.Histogram("a", "A.", []float64{1, 1}) }},
		{"an infinite bound", func(r *Registry) { r.Histogram("a", "A.", []float64{math.Inf(1)}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("recovered %q, want BUG: …", s)
				}
			}()
			test.register(new(Registry))
		})
	}
}

// Eight goroutines count and register while the text is written: nothing is
// lost, and buckets never disagree with their count.
func TestConcurrentUse(t *testing.T) {
	const each = 1000
	var r Registry
	c, g, h := r.Counter("c_total", "C."), r.Gauge("g", "G."), r.Histogram("h", "H.", []float64{1})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r.Gauge("later", "L.", Label{"i", string(rune('0' + i))})
			for range each {
				c.Inc()
				g.Add(1)
				g.Add(-1)
				h.Observe(0.5)
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			r.appendText(nil)
		}
	})
	wg.Wait()
	got := text(t, &r)
	for _, want := range []string{"\nc_total 8000\n", "\ng 0\n", `h_bucket{le="1"} 8000`, `h_bucket{le="+Inf"} 8000`, "h_sum 4000\n", "h_count 8000\n", `later{i="7"} 0`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	var r Registry
	c, g := r.Counter("c_total", "C."), r.Gauge("g", "G.")
	h := r.Histogram("h", "H.", []float64{0.001, 0.01, 0.1, 1, 10})
	if n := testing.AllocsPerRun(100, func() {
		c.Inc()
		c.Add(2)
		g.Set(1)
		g.Add(1)
		h.Observe(0.05)
	}); n != 0 {
		t.Errorf("%v allocations a run, want 0", n)
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteTextGivesTheWritersError(t *testing.T) {
	if err := new(Registry).WriteText(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("err = %v, want %v", err, errBroken)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := newHistogram([]float64{0.001, 0.01, 0.1, 1, 10})
	for b.Loop() {
		h.Observe(0.05)
	}
}
