package report

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"os"
	"slices"
)

// A bar is one line of a picture.
type bar struct {
	name  string
	ours  bool
	value float64
	text  string
}

// A chart is a picture of bars, the shortest first.
type chart struct {
	title string
	bars  []bar
}

// Sizes of a picture, in pixels.
const (
	chartWidth = 860
	nameWidth  = 430
	barWidth   = 290
	rowHeight  = 26
	topHeight  = 44
)

// svg draws it. Nothing is taken from elsewhere, and colours follow the
// reader's: an image has no other way to know about a dark page.
func (c chart) svg(w io.Writer) {
	longest := 0.0
	for _, b := range c.bars {
		longest = max(longest, b.value)
	}
	height := topHeight + rowHeight*len(c.bars) + 10
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		chartWidth, height, chartWidth, height, html.EscapeString(c.title))
	io.WriteString(w, `<style>
text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 16px }
.ours { fill: #1a7f37 }
.other { fill: #8c959f }
text.ours { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #3fb950 }
  .other { fill: #6e7681 }
}
</style>
`)
	fmt.Fprintf(w, `<text class="title" x="12" y="26">%s</text>`+"\n", html.EscapeString(c.title))
	for i, b := range c.bars {
		y := topHeight + i*rowHeight
		class, label := "other", ""
		if b.ours {
			class, label = "ours", ` class="ours"`
		}
		long := 1.0
		if longest > 0 {
			long = max(1, b.value/longest*barWidth)
		}
		fmt.Fprintf(w, `<text%s x="%d" y="%d" text-anchor="end">%s</text>`+"\n", label, nameWidth-8, y+16, html.EscapeString(b.name))
		fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="3"/>`+"\n", class, nameWidth, y+2, long, rowHeight-6)
		fmt.Fprintf(w, `<text%s x="%.1f" y="%d">%s</text>`+"\n", label, nameWidth+long+8, y+16, html.EscapeString(b.text))
	}
	io.WriteString(w, "</svg>\n")
}

// chart makes a picture of one figure of a cell.
func (d Data) chart(title string, cell Cell, m Metric, unit string, scale float64) chart {
	c := chart{title: title}
	for _, t := range d.Targets {
		if v, ok := d.Median(cell, t.Key, m); ok {
			c.bars = append(c.bars, bar{plain(t.Name), t.Kind == Ours, v / scale, figure(v/scale) + " " + unit})
		}
	}
	slices.SortStableFunc(c.bars, func(a, b bar) int { return cmp.Compare(a.value, b.value) })
	return c
}

// WritePictures draws what the README shows.
func (d Data) WritePictures(cpu, memory string) error {
	pictures := map[string]chart{
		cpu: d.chart("CPU per message: 1 KiB, 50 connections, php-fpm's part not counted", d.find("echo", "stub", 1<<10, 50), CPU, "µs", 1),
		memory: d.chart("Memory per connection: 10,000 connections, a minute after a message each", d.find("idle", "stub", 0, 0), Used,
			"KiB", 1024),
	}
	for path, c := range pictures {
		if len(c.bars) == 0 {
			continue // not measured: the old picture stays
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		c.svg(f)
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
