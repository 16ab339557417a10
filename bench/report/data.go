// Package report turns measurements into tables and pictures.
package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"ws-fpm/bench/load"
)

// Kind says what a target is to the reader.
type Kind int

// Peers are what ws-fpm is compared with; the floor is no gateway.
const (
	Peer Kind = iota
	Ours
	Floor
)

// A Target is a program that was measured.
type Target struct {
	Key  string // on the command line
	Name string // in tables
	Kind Kind
	// MaxSize is the longest message it can answer; zero is any that is measured.
	MaxSize int
}

// A Cell is one kind of measurement.
type Cell struct {
	Name    string // in tables
	Backend string // stub or php-fpm
	Mode    string // of the load
	Size    int
	Conns   int
	Rate    float64 // messages a second; zero is a closed loop
	Slow    int     // subscribers that do not read
	Long    bool    // its first tenth is compared with its last, and garbage is looked at
}

// A Sample is what one measurement of one target gave.
type Sample struct {
	Cell   Cell
	Target string
	Round  int
	Result load.Result
	Error  string // if not empty, there is no result
}

// Data is all that one run measured.
type Data struct {
	System  string // what it ran on
	Rounds  int
	Targets []Target
	Samples []Sample
	Calls   map[string]map[string]float64 // system calls per message, by cell and target
	// Allocations is what the test of the echo path's allocations said: "none", or
	// its fault; empty if it was not run.
	Allocations string
}

// Cells are those that were measured, in the order of their first samples.
func (d Data) Cells() (cells []Cell) {
	for _, s := range d.Samples {
		if !slices.Contains(cells, s.Cell) {
			cells = append(cells, s.Cell)
		}
	}
	return cells
}

// A Metric is one figure of a result.
type Metric func(load.Result) float64

// The figures that tables show, in the units of their headings.
var (
	CPU  Metric = func(r load.Result) float64 { return r.CPU() }
	Rate Metric = func(r load.Result) float64 { return float64(r.Messages) / r.Seconds }
	P50  Metric = func(r load.Result) float64 { return float64(r.P50.Microseconds()) }
	P99  Metric = func(r load.Result) float64 { return float64(r.P99.Microseconds()) }
	Idle Metric = func(r load.Result) float64 { return r.Idle }
	Used Metric = func(r load.Result) float64 { return r.After }
	// Growth is what a message costs at the end of a long connection to what it
	// costs at the beginning.
	Growth Metric = func(r load.Result) float64 { return ratio(r.Last, r.First) }
	// Allocs is allocations per message, Collected the percentage of the CPU that
	// garbage collection takes.
	Allocs    Metric = func(r load.Result) float64 { return ratio(float64(r.Allocs), float64(r.Messages)) }
	Collected Metric = func(r load.Result) float64 { return 100 * ratio(r.Collecting.Seconds(), r.Server.Seconds()) }
	// Generator is the load's share of all processor time that was there.
	Generator Metric = func(r load.Result) float64 { return r.Own.Seconds() / r.Seconds }
)

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// values are a target's figures of a cell, by round.
func (d Data) values(cell Cell, target string, m Metric) map[int]float64 {
	v := map[int]float64{}
	for _, s := range d.Samples {
		if s.Cell == cell && s.Target == target && s.Error == "" {
			v[s.Round] = m(s.Result)
		}
	}
	return v
}

// Spread is the quartiles of a target's figure of a cell over the rounds.
func (d Data) Spread(cell Cell, target string, m Metric) Quartiles {
	return quartilesOf(slices.Collect(maps.Values(d.values(cell, target, m))))
}

// Median is a target's figure of a cell. Without one, ok is false.
func (d Data) Median(cell Cell, target string, m Metric) (value float64, ok bool) {
	q := d.Spread(cell, target, m)
	return q.Median, q.N > 0
}

// Ratio compares two targets: the quartiles of their ratios in each round. What
// disturbs the machine for longer than a round disturbs both.
func (d Data) Ratio(cell Cell, target, base string, m Metric) Quartiles {
	return ratios(d.values(cell, target, m), d.values(cell, base, m))
}

// ratios are those of the rounds that both have.
func ratios(values, bases map[int]float64) Quartiles {
	var all []float64
	for round, v := range values {
		if b := bases[round]; b > 0 {
			all = append(all, v/b)
		}
	}
	return quartilesOf(all)
}

// Best is the peer with the lowest figure of a cell; empty if none has one.
func (d Data) Best(cell Cell, m Metric) (key string) {
	lowest := 0.0
	for _, t := range d.Targets {
		if t.Kind != Peer {
			continue
		}
		if v, ok := d.Median(cell, t.Key, m); ok && (key == "" || v < lowest) {
			key, lowest = t.Key, v
		}
	}
	return key
}

// Failure is why a target has no figure in a cell; empty if it has one, or was
// not to be measured.
func (d Data) Failure(cell Cell, target string) string {
	failure := ""
	for _, s := range d.Samples {
		if s.Cell == cell && s.Target == target {
			if s.Error == "" {
				return ""
			}
			failure = s.Error
		}
	}
	return failure
}

// Save keeps all figures in a file.
func (d Data) Save(path string) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// Load reads what Save has written.
func Load(path string) (d Data, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}
