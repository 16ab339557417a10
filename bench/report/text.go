package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"ws-fpm/bench/load"
)

// A table is rows of cells, the first of them headings.
type table [][]string

// text aligns a table for a terminal: the first column left, the others right.
func (t table) text(w io.Writer) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		var b strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + space)
			} else {
				b.WriteString("  " + space + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// markdown writes it as GitHub shows it.
func (t table) markdown(w io.Writer) {
	for i, row := range t {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
}

// plain takes the marks out of a name.
func plain(name string) string { return strings.NewReplacer("*", "", "`", "").Replace(name) }

// Text writes all that was measured, a table for each cell.
func (d Data) Text(w io.Writer) {
	fmt.Fprintf(w, "%s; %d rounds in turns; ratio: this target's CPU to ws-fpm's, median (quartiles) over the rounds\n", d.System, d.Rounds)
	for _, cell := range d.Cells() {
		fmt.Fprintf(w, "\n%s\n", cell.Name)
		t, notes := d.cellTable(cell)
		t.text(w)
		for _, note := range notes {
			fmt.Fprintf(w, "  %s\n", note)
		}
	}
	if goals := d.goals(); len(goals) > 1 {
		fmt.Fprintln(w)
		goals.text(w)
	}
}

// cellTable gives a cell's table, and what is to be said below it.
func (d Data) cellTable(cell Cell) (t table, notes []string) {
	if cell.Mode == "idle" {
		t = append(t, []string{"", "bytes idle", "after a message", "ratio"})
	} else {
		t = append(t, []string{"", "/s", "p50 µs", "p99 µs", "CPU µs", "ratio", "calls", "load's CPUs"})
	}
	if cell.Mode == "broadcast" {
		notes = d.conservation(cell)
	}
	if cell.Long {
		notes = d.aging(cell)
	}
	show := func(target string, m Metric) string {
		if v, ok := d.Median(cell, target, m); ok {
			return figure(v)
		}
		return "–"
	}
	for _, target := range d.Targets {
		if failure := d.Failure(cell, target.Key); failure != "" {
			notes = append(notes, plain(target.Name)+": "+failure)
			continue
		}
		if _, ok := d.Median(cell, target.Key, CPU); !ok {
			continue
		}
		row := []string{plain(target.Name)}
		if cell.Mode == "idle" {
			row = append(row, show(target.Key, Idle), show(target.Key, Used), d.Ratio(cell, target.Key, ours, Idle).String())
		} else {
			calls := "–"
			if n, ok := d.Calls[cell.Name][target.Key]; ok {
				calls = figure(n)
			}
			row = append(row, show(target.Key, Rate), show(target.Key, P50), show(target.Key, P99), show(target.Key, CPU),
				d.Ratio(cell, target.Key, ours, CPU).String(), calls, show(target.Key, Generator))
		}
		t = append(t, row)
	}
	return t, notes
}

// ours is the target that the others are compared with, oursLarge the same with
// connections to php-fpm kept after large messages too.
const (
	ours      = "ws-fpm"
	oursLarge = "ws-fpm-8M"
)

// aging says what a message costs early and late on long connections.
func (d Data) aging(cell Cell) (notes []string) {
	for _, target := range d.Targets {
		if q := d.Spread(cell, target.Key, Growth); q.N > 0 {
			notes = append(notes, fmt.Sprintf("%s: the last tenth takes %s times the CPU per message of the first", plain(target.Name), q))
		}
	}
	return notes
}

// conservation says what has become of all that was published, in all rounds.
func (d Data) conservation(cell Cell) (notes []string) {
	for _, target := range d.Targets {
		var sum load.Result
		for _, s := range d.Samples {
			if s.Cell == cell && s.Target == target.Key && s.Error == "" {
				r := s.Result
				sum.Publish, sum.Sent, sum.Missed, sum.Lost = sum.Publish+r.Publish, sum.Sent+r.Sent, sum.Missed+r.Missed, sum.Lost+r.Lost
				sum.Meant, sum.Unaccounted = sum.Meant+r.Meant, sum.Unaccounted+r.Unaccounted
			}
		}
		if sum.Publish == 0 {
			continue
		}
		note := fmt.Sprintf("%s: published %d, to those who read %d; missed %d, cut off %d", plain(target.Name), sum.Publish, sum.Sent, sum.Missed, sum.Lost)
		if sum.Meant > 0 {
			note += fmt.Sprintf("; of the %d that it counts itself, %d neither sent nor dropped", sum.Meant, sum.Unaccounted)
		}
		notes = append(notes, note)
	}
	return notes
}
