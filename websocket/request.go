package websocket

import (
	"bytes"
	"strings"
)

// MaxRequestHead is the longest request head that ParseRequest reads, in
// bytes, and maxRequestFields the most header fields.
const (
	MaxRequestHead   = 16 << 10
	maxRequestFields = 100
)

// A RequestHead is a GET request as browsers send it, taken apart: the text is
// as it came. Its strings are parts of one that ParseRequest has made.
type RequestHead struct {
	Target string         // begins with a slash
	Fields []RequestField // in the order in which they came
}

// A RequestField is a header field: a token, and a value without the white
// space around it and without control characters but tabs.
type RequestField struct{ Name, Value string }

// ParseRequest decodes the head of the request at the start of b (RFC 9112),
// if that is a GET of HTTP/1.1 in its plainest form and all of it is there, and
// gives the number of bytes it takes. Fields is memory to use.
//
// Anything else it leaves to a parser for the whole of HTTP: it gives zero, and
// that says nothing against the request. What it takes has one reading only:
// each line ends in CR LF, none is folded, no name has white space behind it.
func ParseRequest(b []byte, fields []RequestField) (head RequestHead, n int) {
	const start, end = "GET /", " HTTP/1.1"
	if !bytes.HasPrefix(b, []byte(start)) {
		return RequestHead{}, 0
	}
	n = bytes.Index(b[:min(len(b), MaxRequestHead)], []byte("\r\n\r\n")) + 4
	if n < 4 {
		return RequestHead{}, 0
	}
	text := string(b[:n-2])
	line, rest, _ := strings.Cut(text, "\r\n")
	target := len(line) - len(end)
	if target < len(start) || line[target:] != end || !all(line[len(start)-1:target], targetByte) {
		return RequestHead{}, 0
	}
	head.Target, head.Fields = line[len(start)-1:target], fields[:0]
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		f, ok := parseField(line)
		if !ok || len(head.Fields) == maxRequestFields {
			return RequestHead{}, 0
		}
		head.Fields = append(head.Fields, f)
	}
	return head, n
}

func parseField(line string) (f RequestField, ok bool) {
	colon := 0
	for colon < len(line) && tokenByte(line[colon]) {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return RequestField{}, false
	}
	first, last := colon+1, len(line)
	for first < last && blank(line[first]) {
		first++
	}
	for first < last && blank(line[last-1]) {
		last--
	}
	f = RequestField{line[:colon], line[first:last]}
	for i := range len(f.Value) {
		if c := f.Value[i]; !valueByte(c) && c != '\t' {
			return RequestField{}, false
		}
	}
	return f, true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// targetByte is the class of what may stand in a request target: what is
// visible in ASCII.
func targetByte(c byte) bool { return c > ' ' && c < 0x7f }
