// Package metrics keeps counters, gauges and histograms and writes them in the
// Prometheus text format, version 0.0.4.
//
// Every series is fixed when it is registered: no label ever takes a value from
// a client, so that strangers cannot make the number of series grow. Counting
// is lock-free and does not allocate. Packages that know nothing of metrics
// give snapshots instead, which CounterFunc, GaugeFunc and CollectFunc read
// when the text is written.
package metrics

import (
	"slices"
	"strings"
	"sync"
)

// A Kind is the type of a metric as its TYPE line says it.
type Kind uint8

const (
	KindCounter Kind = iota
	KindGauge
	KindHistogram
)

func (k Kind) String() string {
	switch k {
	case KindCounter:
		return "counter"
	case KindGauge:
		return "gauge"
	case KindHistogram:
		return "histogram"
	}
	panic("BUG: a metric of an unknown kind")
}

// A Label is one name and value of a series.
type Label struct{ Name, Value string }

// A Registry holds metrics by name. The zero value is empty and ready to use.
// All methods may be called at the same time from several goroutines.
//
// Registering panics if a name or label is malformed, if a series exists
// already, or if two series of one name differ in kind or help: each is a fault
// of the program.
type Registry struct {
	mu       sync.Mutex // guards what follows
	families map[string]*family
}

// A family is all series of one name.
type family struct {
	name, help string
	kind       Kind
	series     []series
	collect    func(emit func(value float64, labels ...Label)) // nil, or the only source of series
}

// A series is what has a value now.
type series struct {
	labels string // `a="x",b="y"`, escaped
	appendTo
}

// appendTo appends the lines of a series to b.
type appendTo func(b []byte, name, labels string) []byte

// Counter registers a counter: a number that only grows, named …_total.
func (r *Registry) Counter(name, help string, labels ...Label) *Counter {
	c := new(Counter)
	r.register(name, help, KindCounter, labels, func(b []byte, name, labels string) []byte {
		return appendSample(b, name, labels, float64(c.Value()))
	})
	return c
}

// CounterFunc registers a counter whose value f gives when it is asked for. No
// two calls of f may disagree on what has been counted: it never goes down.
func (r *Registry) CounterFunc(name, help string, f func() float64, labels ...Label) {
	r.register(name, help, KindCounter, labels, func(b []byte, name, labels string) []byte {
		return appendSample(b, name, labels, f())
	})
}

// Gauge registers a gauge: a number that goes up and down.
func (r *Registry) Gauge(name, help string, labels ...Label) *Gauge {
	g := new(Gauge)
	r.register(name, help, KindGauge, labels, func(b []byte, name, labels string) []byte {
		return appendSample(b, name, labels, float64(g.Value()))
	})
	return g
}

// GaugeFunc registers a gauge whose value f gives when it is asked for.
func (r *Registry) GaugeFunc(name, help string, f func() float64, labels ...Label) {
	r.register(name, help, KindGauge, labels, func(b []byte, name, labels string) []byte {
		return appendSample(b, name, labels, f())
	})
}

// Histogram registers a histogram. Bounds are the upper bounds of its buckets,
// each above the one before it; one without bound is added.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...Label) *Histogram {
	h := newHistogram(bounds)
	r.register(name, help, KindHistogram, labels, h.appendText)
	return h
}

// CollectFunc registers a counter or gauge whose series f emits when they are
// asked for, each set of labels once. The labels' values must come from the
// configuration or the program, never from a client. Other series of this name
// cannot be registered.
func (r *Registry) CollectFunc(name, help string, kind Kind, f func(emit func(value float64, labels ...Label))) {
	if kind == KindHistogram {
		panic("BUG: metric " + name + ": a histogram cannot be collected")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, exists := r.families[name]; exists {
		panic("BUG: metric " + name + " is registered twice")
	}
	r.familyLocked(name, help, kind).collect = f
}

func (r *Registry) register(name, help string, kind Kind, labels []Label, f appendTo) {
	text := formatLabels(labels)
	if kind == KindHistogram && slices.ContainsFunc(labels, func(l Label) bool { return l.Name == "le" }) {
		panic("BUG: metric " + name + ": the label le is the histogram's own")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fam := r.familyLocked(name, help, kind)
	if fam.kind != kind || fam.help != help || fam.collect != nil {
		panic("BUG: metric " + name + " is registered twice and differently")
	}
	at, exists := slices.BinarySearchFunc(fam.series, text, func(s series, text string) int {
		return strings.Compare(s.labels, text)
	})
	if exists {
		panic("BUG: metric " + name + "{" + text + "} is registered twice")
	}
	fam.series = slices.Insert(fam.series, at, series{text, f})
}

func (r *Registry) familyLocked(name, help string, kind Kind) *family {
	if !isName(name, true) {
		panic("BUG: metric " + name + ": want letters, digits, underscores and colons")
	}
	if r.families == nil {
		r.families = map[string]*family{}
	}
	fam := r.families[name]
	if fam == nil {
		fam = &family{name: name, help: help, kind: kind}
		r.families[name] = fam
	}
	return fam
}

// isName reports whether s can name a metric or, without colons, a label.
func isName(s string, colons bool) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || colons && c == ':'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
