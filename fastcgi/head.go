package fastcgi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Field is one line of a reply's head.
type Field struct{ Name, Value string }

// A Header holds the fields of a reply in the order PHP sent them, repeated
// ones included.
type Header []Field

// Get returns the value of the first field called name, in any case, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Values returns the values of all fields called name, in any case.
func (h Header) Values(name string) []string {
	var vs []string
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			vs = append(vs, h[i].Value)
		}
	}
	return vs
}

var (
	errHeadTooLong = errors.New("head of the reply over the limit")
	errHeadLines   = errors.New("head of the reply has too many lines")
	errStatus      = errors.New("malformed Status")
)

// A headReader collects the head of a CGI response (RFC 3875 section 6), which
// may come in any number of records. Lines end with LF or CRLF.
type headReader struct {
	maxBytes, maxLines int

	buf   []byte // what came so far; never over maxBytes
	lines int    // complete lines in buf
	line  int    // where the line begins that is not complete
}

// feed takes bytes from b up to the end of the head, and returns how many it
// took and whether the head is complete.
func (h *headReader) feed(b []byte) (n int, done bool, err error) {
	for n < len(b) {
		part := b[n:]
		i := bytes.IndexByte(part, '\n')
		if i >= 0 {
			part = part[:i+1]
		}
		if len(h.buf)+len(part) > h.maxBytes {
			return n, false, fmt.Errorf("%w of %d bytes", errHeadTooLong, h.maxBytes)
		}
		h.buf = append(h.buf, part...)
		n += len(part)
		if i < 0 {
			return n, false, nil
		}
		if len(trimEOL(h.buf[h.line:])) == 0 {
			return n, true, nil
		}
		h.line = len(h.buf)
		if h.lines++; h.lines > h.maxLines {
			return n, false, fmt.Errorf("%w, over %d", errHeadLines, h.maxLines)
		}
	}
	return n, false, nil
}

func trimEOL(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// A head is what a reply's head says. Malformed lines, which php-fpm passes on
// as a script wrote them, are left out and counted.
type head struct {
	status  int
	reason  string
	fields  Header
	skipped int
}

// parse decodes the complete head. Content-Length and Transfer-Encoding are
// left out: how long a body is only FastCGI's records say.
func (h *headReader) parse() (head, error) {
	out := head{fields: make(Header, 0, h.lines)}
	text := string(h.buf) // once: all values are cut from it
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			break
		}
		f, ok := parseField(line)
		switch {
		case !ok:
			out.skipped++
		case strings.EqualFold(f.Name, "Status"):
			if out.status != 0 {
				out.skipped++ // the first counts
				continue
			}
			var err error
			if out.status, out.reason, err = parseStatus(f.Value); err != nil {
				return head{}, err
			}
		case strings.EqualFold(f.Name, "Content-Length"), strings.EqualFold(f.Name, "Transfer-Encoding"):
		default:
			out.fields = append(out.fields, f)
		}
	}
	if out.status == 0 {
		out.status = 200
		if out.fields.Get("Location") != "" {
			out.status = 302 // RFC 3875 section 6.2.3
		}
	}
	return out, nil
}

// parseField decodes a line as RFC 9110 section 5 defines a field. A value may
// be empty. It may hold control characters but NUL and CR, since PHP lets them
// pass: whoever acts on a value has to see it, for to overlook a header because
// of a byte in it would let a client switch off what its words stand in.
func parseField(line string) (f Field, ok bool) {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" {
		return Field{}, false
	}
	for i := range len(name) {
		if !isToken(name[i]) {
			return Field{}, false
		}
	}
	value = strings.Trim(value, " \t")
	if strings.ContainsAny(value, "\x00\r") {
		return Field{}, false
	}
	return Field{name, value}, true
}

func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// parseStatus decodes "404 Not Found": three digits and, perhaps, a reason.
func parseStatus(s string) (code int, reason string, err error) {
	digits, reason, _ := strings.Cut(s, " ")
	if len(digits) != 3 || digits[0] == '0' {
		return 0, "", fmt.Errorf("%w: %.20q", errStatus, s)
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, "", fmt.Errorf("%w: %.20q", errStatus, s)
		}
		code = 10*code + int(digits[i]-'0')
	}
	return code, strings.TrimSpace(reason), nil
}

// A knownHead is the head that came last, parsed. A script's replies mostly
// begin alike, and what is the same need not be parsed again.
type knownHead struct {
	text string
	head head
}

// begins reports whether b begins with the head, and how long that is.
func (k *knownHead) begins(b []byte) (n int, ok bool) {
	n = len(k.text)
	return n, n > 0 && len(b) >= n && string(b[:n]) == k.text
}

// parse is [headReader.parse]. The fields it gives are shared: they must not be
// changed.
func (k *knownHead) parse(h *headReader) (head, error) {
	parsed, err := h.parse()
	if err != nil {
		return head{}, err
	}
	parsed.fields = slices.Clip(parsed.fields)
	*k = knownHead{string(h.buf), parsed}
	return parsed, nil
}
