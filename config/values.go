package config

import (
	"math"
	"strconv"
	"strings"
)

// A unit is what may stand behind a number, and what it multiplies with.
type unit struct {
	name string
	size int64
}

// parseCount reads a decimal number without a sign.
func parseCount(s string) (n int64, ok bool) {
	digits, rest := cutDigits(s)
	if rest != "" {
		return 0, false
	}
	return parseDigits(digits)
}

// parseSize reads a number of bytes: 512, 64k, 1M, 2G. The letters, in either
// case as php and nginx take them, are powers of 1024.
func parseSize(s string) (n int64, ok bool) {
	digits, name := cutDigits(s)
	n, ok = parseDigits(digits)
	if !ok {
		return 0, false
	}
	switch name {
	case "":
		return n, true
	case "k", "K":
		return multiply(n, 1<<10)
	case "m", "M":
		return multiply(n, 1<<20)
	case "g", "G":
		return multiply(n, 1<<30)
	}
	return 0, false
}

// parseTime reads a time as Go writes one, without fractions: 500ms, 25s,
// 1h30m. The result is in nanoseconds. A number needs its unit, zero alone does
// not.
func parseTime(s string) (ns int64, ok bool) {
	if s == "0" {
		return 0, true
	}
	units := [...]unit{{"h", 3600e9}, {"ms", 1e6}, {"m", 60e9}, {"s", 1e9}} // ms is tried before m
	last := int64(math.MaxInt64)
	for s != "" {
		digits, rest := cutDigits(s)
		n, ok := parseDigits(digits)
		if !ok {
			return 0, false
		}
		found := false
		for _, u := range units {
			if after, is := strings.CutPrefix(rest, u.name); is && u.size < last {
				n, ok = multiply(n, u.size)
				s, last, found = after, u.size, true
				break
			}
		}
		if !found || !ok || ns > math.MaxInt64-n {
			return 0, false
		}
		ns += n
	}
	return ns, last != math.MaxInt64
}

// parseMode reads the permission bits of a file in octal: 0660 or 660.
func parseMode(s string) (mode uint32, ok bool) {
	if len(s) < 3 || len(s) > 4 || len(s) == 4 && s[0] != '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 8, 32)
	return uint32(n), err == nil // three digits: at most 0777
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

func parseDigits(s string) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func multiply(n, by int64) (product int64, ok bool) {
	if n > math.MaxInt64/by {
		return 0, false
	}
	return n * by, true
}

// checkPath says what is wrong with the path of a file: it is taken as it
// stands, never relative to where the program was started.
func checkPath(s string) (problem string) {
	if !strings.HasPrefix(s, "/") {
		return "want an absolute path, which begins with /"
	}
	if len(s) > 4095 {
		return "want a path of at most 4095 bytes"
	}
	if strings.HasSuffix(s, "/") {
		return "want a path without a / at the end"
	}
	return checkSegments(s)
}

// checkPrefix says what is wrong with a route's prefix, which is compared with
// the decoded path of a request. A path with such a segment or byte is refused
// before routes are looked at, so such a prefix would never match.
func checkPrefix(s string) (problem string) {
	switch {
	case !strings.HasPrefix(s, "/"):
		return "want [route /prefix], the beginning of a URL's path"
	case strings.ContainsAny(s, `\%?# "*`), len(s) > 255:
		return `want a prefix of at most 255 bytes, without \ % ? # " * or white space; it matches whole segments by itself`
	}
	return checkSegments(s)
}

func checkSegments(s string) (problem string) {
	for i, part := range strings.Split(strings.TrimSuffix(s[1:], "/"), "/") {
		if part == "." || part == ".." || part == "" && (i > 0 || len(s) > 1) {
			return "want a path without //, /./ or /../"
		}
	}
	return ""
}

// isName reports whether s can name a pool or a listener.
func isName(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && !strings.ContainsRune("_.-", rune(s[i])) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 64
}

// isAccount reports whether s can be the name or number of a user or group.
func isAccount(s string) bool {
	return len(s) <= 255 && !strings.ContainsAny(s, ":/,\"")
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// isMediaType reports whether s is a media type, with or without parameters
// (RFC 9110 section 8.3.1). The parameters are PHP's to read.
func isMediaType(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	essence, _, _ := strings.Cut(s, ";")
	kind, subtype, _ := strings.Cut(strings.TrimRight(essence, " "), "/")
	return len(s) <= 255 && isToken(kind) && isToken(subtype)
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
