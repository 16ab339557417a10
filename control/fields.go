package control

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ws-fpm/hub"
)

// maxReason is the longest reason of a close frame, in bytes (RFC 6455,
// section 5.5: 125 for the payload, of which two are the code).
const maxReason = 123

// checkID says what is wrong with the id of a connection, if anything is.
func checkID(s string) (problem string) {
	ok := len(s) == 32
	for _, c := range []byte(s) {
		ok = ok && ('0' <= c && c <= '9' || 'a' <= c && c <= 'f')
	}
	if !ok {
		return "id: want 32 lowercase hexadecimal digits"
	}
	return ""
}

// parseCode reads a close code that a server's program may use.
func parseCode(s string) (code uint16, problem string) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) != 4 || !mayClose(uint16(n)) {
		return 0, "code: want 1000, 1008, 1011, 1013 or 3000 to 4999"
	}
	return uint16(n), ""
}

// mayClose reports whether code is a program's to choose; the others say what
// the gateway itself has seen.
func mayClose(code uint16) bool {
	switch code {
	case 1000, 1008, 1011, 1013:
		return true
	}
	return code >= 3000 && code <= 4999
}

// checkReason says what is wrong with the reason of a close, if anything is.
func checkReason(s string) (problem string) {
	switch {
	case len(s) > maxReason:
		return fmt.Sprintf("reason: want at most %d bytes", maxReason)
	case !utf8.ValidString(s):
		return "reason: want UTF-8"
	}
	return ""
}

// parseClosing reads the query of a close. An absent code is 1000.
func parseClosing(values map[string][]string) (code uint16, reason, problem string) {
	query, problem := parseQuery(values, "code", "reason")
	if problem != "" {
		return 0, "", problem
	}
	code = 1000
	if s, given := query["code"]; given {
		if code, problem = parseCode(s); problem != "" {
			return 0, "", problem
		}
	}
	if problem = checkReason(query["reason"]); problem != "" {
		return 0, "", problem
	}
	return code, query["reason"], ""
}

// parseQuery reads a query with these parameters, each once at most. One that
// means nothing is an error, for it is most likely misspelt.
func parseQuery(values map[string][]string, names ...string) (query map[string]string, problem string) {
	query = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case len(names) == 0:
			return nil, "query: want no parameters"
		case !slices.Contains(names, name):
			return nil, "query: want no parameters but " + strings.Join(names, " and ")
		case len(values[name]) != 1:
			return nil, name + ": want it once"
		}
		query[name] = values[name][0]
	}
	return query, ""
}

// How many rows a list has.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// parseList is parseQuery for a list, which has a limit too.
func parseList(values map[string][]string, names ...string) (query map[string]string, limit int, problem string) {
	query, problem = parseQuery(values, append(names, "limit")...)
	if problem != "" {
		return nil, 0, problem
	}
	limit = defaultLimit
	if s, given := query["limit"]; given {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1 || n > maxLimit {
			return nil, 0, "limit: want 1 to 1000"
		}
		limit = int(n)
	}
	return query, limit, ""
}

// checkChannel says what is wrong with the name of a channel, if anything is.
func checkChannel(name string) (problem string) {
	if !hub.ValidName(name) {
		return "channel: want 1 to 200 characters of A-Z, a-z, 0-9 and _.:/@-, no segment empty, . or .."
	}
	return ""
}

// checkPrefix says what is wrong with the beginning of such a name.
func checkPrefix(prefix string) (problem string) {
	if prefix != "" && !hub.ValidName(strings.TrimRight(prefix, "/.")+"x") || strings.HasPrefix(prefix, "/") {
		return "prefix: want the beginning of a channel's name"
	}
	return ""
}

// maxUser is the longest user, in bytes: a reply of PHP cannot say more.
const maxUser = 16 << 10

// checkUser says what is wrong with a user, if anything is: PHP cannot have
// bound a connection to such a one.
func checkUser(user string) (problem string) {
	ok := user != "" && len(user) <= maxUser && utf8.ValidString(user)
	for _, c := range []byte(user) {
		ok = ok && c >= ' ' && c != 0x7f
	}
	if !ok {
		return "user: want UTF-8 without control characters"
	}
	return ""
}

// textual reports whether a body with that Content-Type is sent as text: what a
// browser would show as such, a body without a type, and a form, for that is
// what curl calls what it is not told the type of.
func textual(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "", "application/json", "application/xml", "application/javascript", "application/x-javascript",
		"application/ecmascript", "application/x-ndjson", "application/x-www-form-urlencoded", "multipart/form-data":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}
