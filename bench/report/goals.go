package report

import (
	"fmt"
	"io"
	"strconv"
)

// goals compares ws-fpm with the best peer, and with the floor, in each cell.
func (d Data) goals() table {
	t := table{{"ws-fpm beside the best", "CPU", "of", "p50", "of", "p99", "of", "CPU: floor"}}
	beside := func(c Cell, us string, m Metric) (ratio, best string) {
		best = d.Best(c, m)
		return d.Ratio(c, us, best, m).String(), best
	}
	for _, c := range d.Cells() {
		for _, target := range d.Targets {
			if target.Kind != Ours {
				continue
			}
			if _, ok := d.Median(c, target.Key, CPU); !ok || d.Best(c, CPU) == "" && d.Ratio(c, target.Key, "floor", CPU).N == 0 {
				continue
			}
			row := []string{c.Name + ": " + target.Key}
			if c.Mode == "idle" {
				idle, best := beside(c, target.Key, Idle)
				used, bestUsed := beside(c, target.Key, Used)
				t = append(t, append(row, "idle "+idle, best, "after "+used, bestUsed))
				continue
			}
			for _, m := range []Metric{CPU, P50, P99} {
				ratio, best := beside(c, target.Key, m)
				row = append(row, ratio, best)
			}
			t = append(t, append(row, d.Ratio(c, target.Key, "floor", CPU).String()))
		}
	}
	return t
}

// busy compares CPU per message of many connections that rarely send with that
// of 50 that always do.
func (d Data) busy(w io.Writer) {
	often := d.find("echo", "stub", 1<<10, 50)
	for _, c := range d.Cells() {
		if c.Rate == 0 || c.Mode != "echo" {
			continue
		}
		for _, t := range d.Targets {
			rare, ok := d.Median(c, t.Key, CPU)
			base, okBase := d.Median(often, t.Key, CPU)
			if ok && okBase && base > 0 {
				fmt.Fprintf(w, "%s: %s takes %s times the CPU per message of %s connections\n", c.Name, plain(t.Name), figure(rare/base), strconv.Itoa(often.Conns))
			}
		}
	}
}
