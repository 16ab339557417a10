package websocket

import "strings"

// A Deflate says whether the two sides of a connection may deflate messages,
// which is the extension permessage-deflate (RFC 7692). The zero value says
// no. Where they may, neither side uses what it sent before for that (both
// no_context_takeover), so that nothing is kept between two messages.
type Deflate uint8

const (
	noDeflate     Deflate = iota
	deflate               // agreed on
	deflateWindow         // agreed on, and the client has named the window we have anyway
)

// value is the value of Sec-WebSocket-Extensions that says so.
func (d Deflate) value() string {
	const both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	switch d {
	case noDeflate:
		return ""
	case deflate:
		return both
	case deflateWindow:
		// Whoever accepts an offer with this parameter has to repeat it
		// (RFC 7692, section 7.1.2.1).
		return both + "; server_max_window_bits=15"
	}
	panic("BUG: unknown Deflate")
}

// parseExtensions decodes the values of Sec-WebSocket-Extensions (RFC 6455,
// section 9.1) and takes the first offer of permessage-deflate that we can
// keep to. It is not ok if a value breaks the grammar, for which section 9.1
// wants the connection failed. No value, or an empty one, offers nothing.
func parseExtensions(values []string) (d Deflate, ok bool) {
	for _, value := range values {
		for rest := skipSpace(value); rest != ""; {
			var taken Deflate
			if rest[0] != ',' { // lists may have empty elements (RFC 9110, section 5.6.1)
				if taken, rest, ok = parseOffer(rest); !ok || rest != "" && rest[0] != ',' {
					return noDeflate, false
				}
			}
			if d == noDeflate {
				d = taken
			}
			rest = skipSpace(strings.TrimPrefix(rest, ","))
		}
	}
	return d, true
}

// parseOffer decodes the extension at the start of s and returns what is
// behind it. An offer that is not of permessage-deflate, or not one that we
// can keep to, gives noDeflate.
func parseOffer(s string) (d Deflate, rest string, ok bool) {
	name, rest := cutToken(s)
	if name == "" {
		return noDeflate, "", false
	}
	o := offer{declined: name != "permessage-deflate"}
	for rest = skipSpace(rest); strings.HasPrefix(rest, ";"); rest = skipSpace(rest) {
		var param, value string
		param, rest = cutToken(skipSpace(rest[1:]))
		if param == "" {
			return noDeflate, "", false
		}
		if after, has := strings.CutPrefix(skipSpace(rest), "="); has {
			if value, rest = cutValue(skipSpace(after)); value == "" {
				return noDeflate, "", false
			}
		}
		o.add(param, value)
	}
	return o.answer(), rest, true
}

// An offer is one of permessage-deflate, as far as it has been read.
type offer struct {
	declined bool
	seen     [4]bool
	window   bool // the client names the window that we may use
}

// add takes a parameter; value is empty if it has none. One that is unknown,
// repeated or has a value that it must not have declines the offer (RFC 7692,
// section 7.1).
func (o *offer) add(param, value string) {
	which, good := 0, false
	switch param {
	case "server_no_context_takeover":
		which, good = 0, value == ""
	case "client_no_context_takeover":
		which, good = 1, value == ""
	case "server_max_window_bits":
		// Fewer bits cannot be promised: compress/flate has one window only.
		which, good = 2, value == "15"
		o.window = true
	case "client_max_window_bits":
		// The client can be told to use fewer bits, or says that it will. Of
		// neither we have a use: our window holds whatever it sends.
		which, good = 3, value == "" || windowBits(value)
	}
	if !good || o.seen[which] {
		o.declined = true
	}
	o.seen[which] = true
}

func (o *offer) answer() Deflate {
	switch {
	case o.declined:
		return noDeflate
	case o.window:
		return deflateWindow
	}
	return deflate
}

// windowBits reports whether value is 8 to 15, without leading zeros.
func windowBits(value string) bool {
	switch value {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

// cutToken cuts the longest token at the start of s off.
func cutToken(s string) (token, rest string) {
	n := 0
	for n < len(s) && tokenByte(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// cutValue cuts the value of a parameter at the start of s off: a token, or a
// quoted string that stands for one (RFC 6455, section 9.1). If there is
// neither, the value is empty.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		return cutToken(s)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		if !tokenByte(s[i]) {
			break
		}
		b.WriteByte(s[i])
	}
	return "", ""
}

func skipSpace(s string) string { return strings.TrimLeft(s, " \t") }
