package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxFaults bounds the faults listed in one error; the rest is counted.
const maxFaults = 100

// A fault is one thing wrong in a file. Which of title and key are set says
// what it is about: a setting, a section, or the line or file as a whole.
type fault struct {
	line    int    // 0: the file as a whole
	title   string // the section, as [section name]; empty for the global one
	key     string
	text    string // the key's value; without a key, the line
	problem string
}

// fileError is all that is wrong with a file.
type fileError struct {
	file   string
	faults []fault
}

func newError(file string, faults []fault) *fileError {
	slices.SortStableFunc(faults, func(a, b fault) int {
		if (a.line == 0) != (b.line == 0) {
			return b.line - a.line // about the whole file: last
		}
		return cmp.Compare(a.line, b.line)
	})
	return &fileError{file, faults}
}

func (e *fileError) Error() string {
	var b strings.Builder
	for i, f := range e.faults {
		if i == maxFaults {
			b.WriteString("\n" + e.file + ": and " + strconv.Itoa(len(e.faults)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.file)
		f.appendTo(&b)
	}
	return b.String()
}

func (f fault) appendTo(b *strings.Builder) {
	if f.line > 0 {
		b.WriteString(":" + strconv.Itoa(f.line))
	}
	b.WriteString(":")
	if f.title != "" {
		b.WriteString(" " + printable(f.title))
	}
	switch {
	case f.key != "":
		b.WriteString(" " + printable(f.key) + " = " + strconv.Quote(excerpt(f.text)))
	case f.text != "":
		b.WriteString(" " + strconv.Quote(excerpt(f.text)))
	}
	if f.title != "" || f.key != "" || f.text != "" {
		b.WriteString(":")
	}
	b.WriteString(" " + f.problem)
}

// printable is a key or section as it stands in a report: quoted if a terminal
// might read it as something else.
func printable(s string) string {
	s = excerpt(s)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// excerpt is the beginning of s, if s is too long for a line of a report.
func excerpt(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
