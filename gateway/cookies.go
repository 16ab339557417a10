package gateway

import "strings"

// A cookieChange is what a reply's Set-Cookie does to one cookie.
type cookieChange struct {
	name, value string
	deleted     bool
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
