package control

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
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

// parseClosing reads the query of a close. An absent code is 1000. A parameter
// that means nothing is an error, for it is most likely one misspelt.
func parseClosing(query map[string][]string) (code uint16, reason, problem string) {
	code = 1000
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		switch {
		case name != "code" && name != "reason":
			return 0, "", "query: want no parameters but code and reason"
		case len(values) != 1:
			return 0, "", name + ": want it once"
		case name == "code":
			code, problem = parseCode(values[0])
		default:
			reason, problem = values[0], checkReason(values[0])
		}
		if problem != "" {
			return 0, "", problem
		}
	}
	return code, reason, ""
}
