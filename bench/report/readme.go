package report

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// WriteReadme puts the figures into a README, between the marks of a name:
// bench for all but pushing to many, which is fanout's.
func (d Data) WriteReadme(path, name string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b strings.Builder
	if name == "fanout" {
		d.pushing(&b)
	} else {
		d.markdown(&b)
	}
	text, err := splice(string(old), name, b.String())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// splice replaces what stands between the marks of a name.
func splice(text, name, figures string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("it has no %q … %q", begin, end)
	}
	return before + begin + figures + end + after, nil
}

// pushing has a row for each target and, of each crowd, the figures of a
// delivery.
func (d Data) pushing(w io.Writer) {
	head := []string{""}
	var cells []Cell
	for _, c := range d.Cells() {
		if c.Mode == "broadcast" && c.Rate == 0 {
			cells = append(cells, c)
			head = append(head, fmt.Sprintf("%s: deliveries/s", figure(float64(c.Conns))), "p50 / p99 µs", "CPU µs")
		}
	}
	t := table{head}
	for _, target := range d.Targets {
		row := []string{target.Name}
		for _, c := range cells {
			row = append(row, d.show(c, target.Key, Rate), d.show(c, target.Key, P50, P99), d.times(c, target.Key, CPU))
		}
		t = append(t, row)
	}
	fmt.Fprintf(w, "256 bytes pushed to all subscribers of a channel, the next when all have it; CPU of the server's own processes, per delivery.\n"+
		"Written by `./dev bench fanout`: median of the rounds (%d) in which all take turns, %s.\n\n", d.Spread(d.find("broadcast", "stub", 0, 0), ours, Rate).N, d.System)
	t.markdown(w)
}

func (d Data) markdown(w io.Writer) {
	fmt.Fprintf(w, "Messages of 1 KiB on 50 connections; CPU of the gateway's own processes, per message; in brackets how many times ws-fpm's. The stub is a\n"+
		"FastCGI responder that answers at once, php-fpm runs a one-line script in 4 children. Median of the rounds (%d) in which all take turns: %s.\n\n", d.Rounds, d.System)
	d.overview().markdown(w)
	fmt.Fprintf(w, "\nCPU µs per message by size, on the stub:\n\n")
	d.bySize().markdown(w)
	fmt.Fprintf(w, "\n<img src=\"bench/cpu.svg\" alt=\"CPU per message of each gateway\"> <img src=\"bench/memory.svg\" alt=\"Memory per connection of each gateway\">\n\n"+
		"The spread, the other cells and how it is measured: `./dev bench`, [bench/README.md](bench/README.md).\n")
}

// overview has a row for each target and the figures that most ask for.
func (d Data) overview() table {
	t := table{{"", "stub: messages/s", "p50 / p99 µs", "CPU µs", "php-fpm: messages/s", "p50 / p99 µs", "CPU µs",
		"memory per idle connection / after a message", "CPU µs per handshake"}}
	stub, php := d.find("echo", "stub", 1<<10, 50), d.find("echo", "php-fpm", 1<<10, 50)
	connect, idle := d.find("connect", "stub", 0, 0), d.find("idle", "stub", 0, 0)
	for _, target := range d.Targets {
		row := []string{target.Name}
		for _, c := range []Cell{stub, php} {
			row = append(row, d.show(c, target.Key, Rate), d.show(c, target.Key, P50, P99), d.times(c, target.Key, CPU))
		}
		memory := d.show(idle, target.Key, Idle, Used)
		if memory != "–" && memory != "fails" {
			memory += " B"
		}
		row = append(row, memory, d.times(connect, target.Key, CPU))
		if strings.Trim(strings.Join(row[1:], ""), "–") != "" {
			t = append(t, row)
		}
	}
	return t
}

// bySize has a column for each size of message.
func (d Data) bySize() table {
	head := []string{""}
	var cells []Cell
	for _, c := range d.Cells() {
		if c.Mode == "echo" && c.Backend == "stub" && c.Conns == mainConns && !c.Long {
			cells = append(cells, c)
			size, _, _ := strings.Cut(c.Name, ",")
			head = append(head, size)
		}
	}
	t := table{head}
	for _, target := range d.Targets {
		row := []string{target.Name}
		n := 0
		for _, c := range cells {
			text := d.times(c, target.Key, CPU)
			if row = append(row, text); text != "–" {
				n++
			}
		}
		if n > 1 {
			t = append(t, row)
		}
	}
	return t
}

// find gives the first cell of a kind; zero is any.
func (d Data) find(mode, backend string, size, conns int) Cell {
	for _, c := range d.Cells() {
		if c.Mode == mode && c.Backend == backend && c.Rate == 0 && !c.Long && (size == 0 || c.Size == size) && (conns == 0 || c.Conns == conns) {
			return c
		}
	}
	return Cell{}
}

// show writes figures with a stroke between them, or one if there are none.
func (d Data) show(cell Cell, target string, metrics ...Metric) string {
	var all []string
	for _, m := range metrics {
		v, ok := d.Median(cell, target, m)
		if !ok {
			if d.Failure(cell, target) != "" {
				return "fails"
			}
			return "–"
		}
		all = append(all, figure(v))
	}
	return strings.Join(all, " / ")
}

// times writes a figure and how many times ours it is.
func (d Data) times(cell Cell, target string, m Metric) string {
	text := d.show(cell, target, m)
	if q := d.Ratio(cell, target, ours, m); q.N > 0 && target != ours {
		text += " (" + figure(q.Median) + "×)"
	}
	return text
}
