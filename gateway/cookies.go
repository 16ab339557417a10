package gateway

import (
	"strconv"
	"strings"
)

// A cookieChange is what a reply's Set-Cookie does to one cookie.
type cookieChange struct {
	name, value string
	deleted     bool
}

// A setCookie is a Set-Cookie field as far as it matters here.
type setCookie struct {
	cookieChange
	maxAge, expires string // as they were sent
}

// parseSetCookie reads a Set-Cookie field as browsers do (RFC 6265, section
// 5.2): any name and value count, as PHP's "cart[size]" does, and the value
// stays as it was sent, for PHP's own encoding of it must come back. Max-Age
// decides over Expires, and the last of each counts.
func parseSetCookie(line string) (c setCookie, ok bool) {
	pair, rest, _ := strings.Cut(line, ";")
	name, value, found := strings.Cut(pair, "=")
	c.name, c.value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	if !found || c.name == "" {
		return setCookie{}, false
	}
	for attribute := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(attribute, "=")
		value = strings.Trim(value, " \t")
		switch strings.ToLower(strings.Trim(name, " \t")) {
		case "max-age":
			if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
				c.maxAge, c.deleted = value, seconds <= 0
			}
		case "expires":
			c.expires = value
		}
	}
	return c, true
}

// mergeCookies gives the Cookie header that a browser would send after the
// changes. Without it PHP would see a new visitor with every message: the
// session that the connect event began is not in the handshake's cookies.
func mergeCookies(header string, changes []cookieChange) string {
	for _, c := range changes {
		header = mergeCookie(header, c)
	}
	return header
}

// mergeCookie puts a new value where the old one stood, or at the end.
func mergeCookie(header string, c cookieChange) string {
	var kept []string
	placed := c.deleted
	for pair := range strings.SplitSeq(header, ";") {
		pair = strings.Trim(pair, " \t")
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case pair == "":
		case name != c.name:
			kept = append(kept, pair)
		case !placed:
			kept = append(kept, c.name+"="+c.value)
			placed = true
		}
	}
	if !placed {
		kept = append(kept, c.name+"="+c.value)
	}
	return strings.Join(kept, "; ")
}
