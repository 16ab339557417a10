package metrics

import (
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ContentType is the media type of what WriteText writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// WriteText writes all metrics in the Prometheus text format, version 0.0.4,
// sorted by name and labels, in a single Write.
func (r *Registry) WriteText(w io.Writer) error {
	_, err := w.Write(r.appendText(nil))
	return err
}

func (r *Registry) appendText(b []byte) []byte {
	for _, f := range r.snapshot() {
		b = append(b, "# HELP "+f.name+" "+escapeHelp(f.help)+"\n"...)
		b = append(b, "# TYPE "+f.name+" "+f.kind.String()+"\n"...)
		for _, s := range f.series {
			b = s.appendTo(b, f.name, s.labels)
		}
		b = appendCollected(b, f)
	}
	return b
}

// snapshot copies the families, so that what they call runs without the lock
// and may use the Registry.
func (r *Registry) snapshot() []family {
	r.mu.Lock()
	defer r.mu.Unlock()
	var families []family
	for _, name := range slices.Sorted(maps.Keys(r.families)) {
		f := *r.families[name]
		f.series = slices.Clone(f.series)
		families = append(families, f)
	}
	return families
}

func appendCollected(b []byte, f family) []byte {
	if f.collect == nil {
		return b
	}
	values := map[string]float64{}
	f.collect(func(value float64, labels ...Label) {
		values[formatLabels(labels)] = value // a reader refuses the whole text if a series comes twice
	})
	for _, labels := range slices.Sorted(maps.Keys(values)) {
		b = appendSample(b, f.name, labels, values[labels])
	}
	return b
}

func appendSample(b []byte, name, labels string, value float64) []byte {
	b = append(b, name...)
	if labels != "" {
		b = append(b, "{"+labels+"}"...)
	}
	b = append(b, ' ')
	b = appendFloat(b, value)
	return append(b, '\n')
}

// appendFloat writes whole numbers without an exponent as long as a float64
// holds them exactly.
func appendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// formatLabels writes labels sorted by name. It panics if a name is malformed
// or stands twice.
func formatLabels(labels []Label) string {
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for i, l := range labels {
		if !isName(l.Name, false) || strings.HasPrefix(l.Name, "__") || i > 0 && l.Name == labels[i-1].Name {
			panic("BUG: metrics: the label " + l.Name + " is malformed or stands twice")
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Name + `="` + escapeLabel(l.Value) + `"`)
	}
	return b.String()
}

func escapeHelp(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\ufffd"))
}

func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\ufffd"))
}
