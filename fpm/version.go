package fpm

import (
	"cmp"
	"strconv"
	"strings"
)

// version is that of a PHP, such as 8.2.36 or 8.5.0RC2.
type version struct {
	text  string
	parts [3]int
	pre   bool // alpha, beta, RC or dev: before the release of the same number
}

// parseVersion reads the first line that php-fpm -v prints. It is not ok
// unless the program says that it is php-fpm: php-cli and php-cgi look the
// same otherwise.
func parseVersion(out string) (v version, ok bool) {
	line, _, _ := strings.Cut(out, "\n")
	rest, isPHP := strings.CutPrefix(line, "PHP ")
	text, rest, _ := strings.Cut(rest, " ")
	if !isPHP || !strings.HasPrefix(rest, "(fpm-fcgi)") {
		return version{}, false
	}
	v.text = text
	end := 0
	for end < len(text) && (text[end] == '.' || text[end] >= '0' && text[end] <= '9') {
		end++
	}
	numbers := strings.Split(text[:end], ".")
	if len(numbers) != len(v.parts) {
		return version{}, false
	}
	for i, number := range numbers {
		n, err := strconv.Atoi(number)
		if err != nil {
			return version{}, false
		}
		v.parts[i] = n
	}
	// Distributions append to a release with a dash and a digit: 7.4.3-4ubuntu2.
	suffix := strings.ToLower(strings.TrimPrefix(text[end:], "-"))
	for _, pre := range []string{"alpha", "beta", "rc", "dev"} {
		v.pre = v.pre || strings.HasPrefix(suffix, pre)
	}
	return v, true
}

// compare is negative if v comes before w, positive if after.
func (v version) compare(w version) int {
	for i := range v.parts {
		if c := cmp.Compare(v.parts[i], w.parts[i]); c != 0 {
			return c
		}
	}
	switch {
	case v.pre && !w.pre:
		return -1
	case !v.pre && w.pre:
		return 1
	}
	return 0
}
