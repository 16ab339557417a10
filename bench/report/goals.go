package report

import (
	"fmt"
	"strconv"
)

// Goals are bounds for ws-fpm: for ratios to the best peer, to the floor and to
// itself elsewhere, and for a few figures as they are.
const (
	smallLimit     = 0.9  // CPU to the best peer's, up to smallSize
	largeLimit     = 0.9  // the same above it with keep_alive_body = 8M
	shippedLimit   = 1.0  // the same up to shippedSize with what is the default
	latencyLimit   = 1.0  // to the peer with the best p50, or p99
	memoryLimit    = 2500 // bytes per connection
	memoryShare    = 0.25 // to the best peer's
	rareLimit      = 1.7  // CPU of a message where many send rarely to that where few always do
	growthLimit    = 1.05 // CPU of a long connection's last messages to that of its first
	handshakeLimit = 1.0  // CPU to nginx's
	floorLimit     = 1.2  // CPU to the floor's
	callsLimit     = 4.2  // system calls per message
	collectedLimit = 3    // percent of the CPU

	smallSize   = 1 << 10
	shippedSize = 60 << 10
	mainSize    = 1 << 10 // of all but the comparison of sizes
	mainConns   = 50
)

// A scorecard is the table of goals: which, its bound, what was measured with
// its quartiles over the rounds, beside whom, and whether it is met.
type scorecard struct{ table }

// add says whether a goal is met, if it was measured: its median is not above limit.
func (s *scorecard) add(number int, name string, limit float64, unit string, q Quartiles, beside string) {
	if q.N == 0 {
		return
	}
	met := "yes"
	if q.Median > limit {
		met = "NO"
	}
	spread := "–"
	if q.N > 1 {
		spread = figure(q.Low) + "–" + figure(q.High)
	}
	s.table = append(s.table, []string{strconv.Itoa(number) + " " + name, figure(limit) + unit, figure(q.Median) + unit, spread, beside, met})
}

// goals says of each goal that was measured whether it is met.
func (d Data) goals() table {
	s := &scorecard{table{{"goal", "at most", "measured", "quartiles", "beside", "met"}}}
	d.costs(s)
	d.latencies(s)
	d.memory(s)
	d.constancy(s)
	connect := d.find("connect", "stub", 0, 0)
	s.add(4, "CPU per handshake", handshakeLimit, "×", d.Ratio(connect, ours, "nginx", CPU), "nginx")
	d.distance(s)
	d.garbage(s)
	return s.table
}

// costs is CPU per message beside the best peer's, by backend and size.
func (d Data) costs(s *scorecard) {
	for _, c := range d.Cells() {
		if c.Mode != "echo" || c.Rate > 0 || c.Long || c.Conns != mainConns {
			continue
		}
		best := d.Best(c, CPU)
		name := "CPU, " + c.Name
		switch {
		case c.Size <= smallSize:
			s.add(1, name, smallLimit, "×", d.Ratio(c, ours, best, CPU), best)
		case c.Size <= shippedSize:
			s.add(1, name+", as shipped", shippedLimit, "×", d.Ratio(c, ours, best, CPU), best)
		}
		if c.Size > smallSize {
			s.add(1, name+", keep_alive_body = 8M", largeLimit, "×", d.Ratio(c, oursLarge, best, CPU), best)
		}
	}
}

// latencies are beside those of the peer that has the best p50, or p99.
func (d Data) latencies(s *scorecard) {
	for _, conns := range []int{1, mainConns, 500} {
		c := d.find("echo", "stub", mainSize, conns)
		for _, l := range []struct {
			name   string
			metric Metric
		}{{"p50", P50}, {"p99", P99}} {
			best := d.Best(c, l.metric)
			s.add(1, l.name+", "+c.Name, latencyLimit, "×", d.Ratio(c, ours, best, l.metric), best)
		}
	}
}

// memory is what a connection takes, by itself and beside the best peer's.
func (d Data) memory(s *scorecard) {
	for _, c := range d.Cells() {
		if c.Mode != "idle" {
			continue
		}
		for _, m := range []struct {
			name   string
			metric Metric
		}{{"idle", Idle}, {"after a message", Used}} {
			name := fmt.Sprintf("memory, %s connections, %s", figure(float64(c.Conns)), m.name)
			best := d.Best(c, m.metric)
			s.add(2, name, memoryLimit, " B", d.Spread(c, ours, m.metric), "")
			s.add(2, name, memoryShare, "×", d.Ratio(c, ours, best, m.metric), best)
		}
	}
}

// constancy is what a message costs where many connections send rarely, and
// late on a connection, each in turns with what it is compared with.
func (d Data) constancy(s *scorecard) {
	long := d.long()
	for _, c := range d.Cells() {
		if c.Mode == "echo" && c.Rate > 0 {
			often := func(target string) Quartiles { return ratios(d.values(c, target, CPU), d.values(long, target, CPU)) }
			beside := fmt.Sprintf("%d that always do", long.Conns)
			if floor := often("floor"); floor.N > 0 { // waking up costs it as much
				beside += "; floor " + figure(floor.Median) + "×"
			}
			s.add(3, fmt.Sprintf("CPU, %s connections that rarely send", figure(float64(c.Conns))), rareLimit, "×", often(ours), beside)
		}
	}
	s.add(3, "CPU, the last tenth of long connections", growthLimit, "×", d.Spread(long, ours, Growth), "their first tenth")
}

// distance is how far it is to the floor.
func (d Data) distance(s *scorecard) {
	c := d.find("echo", "stub", mainSize, mainConns)
	s.add(5, "CPU, "+c.Name, floorLimit, "×", d.Ratio(c, ours, "floor", CPU), "floor")
	if n, ok := d.Calls[c.Name][ours]; ok {
		beside := ""
		if floor, ok := d.Calls[c.Name]["floor"]; ok {
			beside = "floor " + figure(floor)
		}
		s.add(5, "system calls per message", callsLimit, "", quartilesOf([]float64{n}), beside)
	}
}

// garbage is what is allocated and collected at full load.
func (d Data) garbage(s *scorecard) {
	if d.Allocations != "" {
		met := "NO"
		if d.Allocations == "none" {
			met = "yes"
		}
		// What the whole program allocates meanwhile is shown beside it: timers and
		// the like are not of a message.
		beside := ""
		if q := d.Spread(d.long(), ours, Allocs); q.N > 0 {
			beside = strconv.FormatFloat(q.Median, 'f', 4, 64) + " of all that runs"
		}
		s.table = append(s.table, []string{"6 allocations per message, echo path", "none", d.Allocations, "–", beside, met})
	}
	s.add(6, "garbage collection's part of the CPU, full load", collectedLimit, " %", d.Spread(d.long(), ours, Collected), "")
}

// long is the cell of long connections.
func (d Data) long() Cell {
	for _, c := range d.Cells() {
		if c.Long {
			return c
		}
	}
	return Cell{}
}
