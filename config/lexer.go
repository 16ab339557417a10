package config

import (
	"strings"
	"unicode/utf8"
)

// A line is one section header or setting. Blank lines and comments are none.
type line struct {
	number int
	kind   lineKind

	section, name string // of a header: [section name]
	key           string // of a setting
	value         value  // of a setting

	text    string // of a line that is neither
	problem string // what is wrong with the line, if not empty
}

type lineKind uint8

const (
	unreadable lineKind = iota
	header
	setting
)

// A value is what stands behind the equals sign, without a comment.
type value struct {
	text  string   // read as one value
	items []string // read as a list
	one   bool     // text is meant: no quoted item stands among others
}

// lex splits a file into lines. A fault stays with its line, so that the rest
// of the file is read too.
func lex(data string) []line {
	var lines []line
	data = strings.TrimPrefix(data, "\ufeff") // some editors begin a file so
	number := 0
	for text := range strings.Lines(data) {
		number++
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		trimmed := strings.Trim(text, " \t")
		if trimmed == "" || trimmed[0] == ';' || trimmed[0] == '#' {
			if problem := checkText(text); problem != "" {
				lines = append(lines, line{number: number, text: trimmed, problem: problem})
			}
			continue
		}
		l := lexLine(trimmed)
		l.number = number
		if problem := checkText(text); problem != "" {
			l.problem = problem
		}
		lines = append(lines, l)
	}
	return lines
}

func checkText(s string) (problem string) {
	if !utf8.ValidString(s) {
		return "want UTF-8 text"
	}
	for _, r := range s {
		if r < ' ' && r != '\t' || 0x7f <= r && r < 0xa0 {
			return "want no control characters"
		}
	}
	return ""
}

func lexLine(s string) line {
	if s[0] == '[' {
		return lexHeader(s)
	}
	equals := strings.IndexByte(s, '=')
	if equals < 0 || indexComment(s[:equals]) >= 0 {
		return line{text: s, problem: `want key = value, [section] or ; comment`}
	}
	l := line{kind: setting, key: strings.TrimRight(s[:equals], " \t")}
	if l.key == "" {
		return line{text: s, problem: "want a key before the ="}
	}
	l.value, l.problem = lexValue(s[equals+1:])
	return l
}

// lexHeader splits [section name]. The name is a single word.
func lexHeader(s string) line {
	l := line{kind: header, text: s}
	inside, after, closed := strings.Cut(s[1:], "]")
	if !closed {
		l.problem = "want a ] behind the section's name"
		return l
	}
	words := strings.Fields(inside)
	if len(words) > 0 {
		l.section = words[0]
	}
	if len(words) > 1 {
		l.name = strings.Join(words[1:], " ")
	}
	rest := strings.TrimLeft(after, " \t")
	switch {
	case rest != "" && (len(rest) == len(after) || rest[0] != ';' && rest[0] != '#'):
		l.problem = "want nothing behind the ] but a comment, which begins with white space and ; or #"
	case len(words) == 0:
		l.problem = "want a section's name between [ and ]"
	}
	return l
}

// lexValue reads what follows the equals sign both as one value and as a list.
func lexValue(s string) (v value, problem string) {
	quoted := 0
	begin := skipBlank(s, 0)
	i := begin
	for {
		i = skipBlank(s, i)
		var item string
		if i < len(s) && s[i] == '"' {
			item, i, problem = lexQuoted(s, i)
			quoted++
		} else {
			item, i, problem = lexBare(s, i)
		}
		if problem != "" {
			return value{text: strings.TrimSpace(s)}, problem
		}
		v.items = append(v.items, item)
		if i == len(s) || s[i] != ',' {
			break
		}
		i++
	}
	if v.one = quoted == 0 || len(v.items) == 1; quoted == 1 && v.one {
		v.text = v.items[0]
	} else if begin < i {
		v.text = strings.TrimRight(s[begin:i], " \t")
	}
	return v, ""
}

// lexBare reads an item without quotes from s[i:]; next is where it ends: at a
// comma, a comment or the end of s.
func lexBare(s string, i int) (item string, next int, problem string) {
	for next = i; next < len(s) && s[next] != ',' && !commentAt(s, next); next++ {
		if s[next] == '"' {
			return "", 0, `want quotes around the whole value, and \" for a quote inside`
		}
	}
	return strings.TrimRight(s[i:next], " \t"), next, ""
}

// lexQuoted reads an item in quotes from s[i:].
func lexQuoted(s string, i int) (item string, next int, problem string) {
	var b strings.Builder
	for i++; ; i++ {
		if i >= len(s) {
			return "", 0, `want a closing quote`
		}
		if s[i] == '"' {
			break
		}
		if s[i] == '\\' {
			if i++; i >= len(s) || s[i] != '"' && s[i] != '\\' {
				return "", 0, `want \" or \\ where a backslash stands inside quotes`
			}
		}
		b.WriteByte(s[i])
	}
	next = skipBlank(s, i+1)
	if next < len(s) && s[next] != ',' && !commentAt(s, next) {
		return "", 0, "want a comma or nothing behind the closing quote"
	}
	return b.String(), next, ""
}

func skipBlank(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	return i
}

// commentAt reports whether a comment begins at s[i]: white space must stand
// before it, so that "text/plain;charset=utf-8" is one value.
func commentAt(s string, i int) bool {
	return (s[i] == ';' || s[i] == '#') && i > 0 && (s[i-1] == ' ' || s[i-1] == '\t')
}

func indexComment(s string) int {
	for i := range len(s) {
		if commentAt(s, i) {
			return i
		}
	}
	return -1
}
