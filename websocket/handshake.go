package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The header fields of the opening handshake as net/http spells them.
const (
	fieldExtensions = "Sec-Websocket-Extensions"
	fieldKey        = "Sec-Websocket-Key"
	fieldProtocol   = "Sec-Websocket-Protocol"
	fieldVersion    = "Sec-Websocket-Version"

	version = "13" // RFC 6455, section 4.1
)

// A Handshake is a client's opening handshake that may be accepted.
type Handshake struct {
	Key          string   // Sec-WebSocket-Key, for AppendResponse
	Subprotocols []string // those offered, in order of preference; none twice
	Deflate      Deflate  // what comes of the offers to deflate messages, if we want to
}

// A Refusal is the answer to a request that is no acceptable handshake.
type Refusal struct {
	Status int         // of the response, 4xx
	Reason string      // one line for the client's developer; nothing from the request
	Header http.Header // to be set in the response; closes the connection
}

// CheckHandshake checks the opening handshake in r (RFC 6455, section 4.2.1).
// It returns a Refusal, or nil if r may be accepted as far as the protocol
// goes. Whether the page that sent it may connect is for OriginAllowed to say.
//
// It is strict where a second reading of the request by somebody between the
// client and us could do harm: no body, no field of the handshake twice, no
// second protocol to upgrade to.
func CheckHandshake(r *http.Request) (Handshake, *Refusal) {
	if refusal := checkRequest(r); refusal != nil {
		return Handshake{}, refusal
	}
	if refusal := checkUpgrade(r.Header); refusal != nil {
		return Handshake{}, refusal
	}
	keys := r.Header[fieldKey]
	if len(keys) != 1 || !validKey(keys[0]) {
		return Handshake{}, refuse(http.StatusBadRequest, "want one Sec-WebSocket-Key of 16 bytes in base64")
	}
	offered, ok := parseSubprotocols(r.Header[fieldProtocol])
	if !ok {
		return Handshake{}, refuse(http.StatusBadRequest, "Sec-WebSocket-Protocol is not a list of different tokens")
	}
	agreed, ok := parseExtensions(r.Header[fieldExtensions])
	if !ok {
		return Handshake{}, refuse(http.StatusBadRequest, "Sec-WebSocket-Extensions is not a list of extensions")
	}
	return Handshake{Key: keys[0], Subprotocols: offered, Deflate: agreed}, nil
}

// checkRequest checks what is not of the WebSocket protocol in particular.
func checkRequest(r *http.Request) *Refusal {
	switch {
	case r.Method != http.MethodGet:
		refusal := refuse(http.StatusMethodNotAllowed, "a WebSocket handshake is a GET request")
		refusal.Header.Set("Allow", http.MethodGet)
		return refusal
	case r.ProtoMajor != 1 || r.ProtoMinor != 1:
		// An Upgrade in an HTTP/1.0 request has to be ignored (RFC 9110,
		// section 7.8), so it gets the answer of one without Upgrade. It comes
		// from proxies that speak 1.0 unless told otherwise, as nginx does.
		return upgradeRequired("a WebSocket handshake needs HTTP/1.1 (nginx: proxy_http_version 1.1)")
	case r.URL.IsAbs() || r.URL.Host != "":
		// Its host replaces that of the Host header, unseen by us, and every
		// check of the Origin would be against what the target says. Only
		// requests to proxies have this form; a WebSocket client asks those
		// with CONNECT (section 4.1).
		return refuse(http.StatusBadRequest, "the request target is not a path")
	case r.Host == "":
		return refuse(http.StatusBadRequest, "no Host")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0 || len(r.Header["Transfer-Encoding"]) > 0:
		// What follows the handshake are frames; with a body we and a proxy
		// could disagree on where they begin.
		return refuse(http.StatusBadRequest, "a WebSocket handshake has no body")
	case len(r.Header["Origin"]) > 1:
		return refuse(http.StatusBadRequest, "more than one Origin")
	}
	return nil
}

// checkUpgrade checks that the request asks for WebSocket, version 13, and for
// nothing else.
func checkUpgrade(h http.Header) *Refusal {
	upgrades := h["Upgrade"]
	switch {
	case len(upgrades) == 0:
		return upgradeRequired("this is a WebSocket endpoint (nginx: proxy_set_header Upgrade $http_upgrade)")
	case len(upgrades) > 1 || hasToken(upgrades, "h2c"):
		return refuse(http.StatusBadRequest, "more than one protocol in Upgrade")
	case !hasToken(upgrades, "websocket"):
		return upgradeRequired("Upgrade does not name websocket")
	case !hasToken(h["Connection"], "upgrade"):
		return refuse(http.StatusBadRequest, `Connection does not name upgrade (nginx: proxy_set_header Connection "upgrade")`)
	}
	switch versions := h[fieldVersion]; {
	case len(versions) > 1:
		return refuse(http.StatusBadRequest, "more than one Sec-WebSocket-Version")
	case len(versions) == 0 || versions[0] != version:
		refusal := upgradeRequired("want Sec-WebSocket-Version 13")
		refusal.Header.Set(fieldVersion, version) // section 4.4
		return refusal
	}
	return nil
}

// refuse returns a refusal. Each ends the connection: a client that took it
// for a WebSocket may already have sent frames, which are no request.
func refuse(status int, reason string) *Refusal {
	return &Refusal{status, reason, http.Header{"Connection": {"close"}}}
}

// upgradeRequired returns a refusal that says what to upgrade to (RFC 9110,
// section 15.5.22).
func upgradeRequired(reason string) *Refusal {
	refusal := refuse(http.StatusUpgradeRequired, reason)
	// In a line of its own and behind: net/http ends the connection only if
	// the first line is "close" and nothing else.
	refusal.Header.Add("Connection", "Upgrade")
	refusal.Header.Set("Upgrade", "websocket")
	return refusal
}

// hasToken reports whether the comma lists in values have token, which is in
// lower case.
func hasToken(values []string, token string) bool {
	for _, list := range values {
		for element := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(element, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// validKey reports whether key is 16 bytes in base64, in their one encoding.
func validKey(key string) bool {
	var decoded [18]byte // as many as encoded could hold
	var encoded [24]byte
	if len(key) != len(encoded) {
		return false
	}
	n, err := base64.StdEncoding.Decode(decoded[:], []byte(key))
	if err != nil || n != 16 {
		return false
	}
	base64.StdEncoding.Encode(encoded[:], decoded[:n])
	return string(encoded[:]) == key
}

// parseSubprotocols decodes the values of Sec-WebSocket-Protocol (section
// 11.3.4). No value at all is no offer.
func parseSubprotocols(values []string) (offered []string, ok bool) {
	if len(values) == 0 {
		return nil, true
	}
	seen := map[string]bool{} // a list can be long: comparing all with all is too slow
	for _, list := range values {
		for element := range strings.SplitSeq(list, ",") {
			name := strings.Trim(element, " \t")
			if !isToken(name) || seen[name] {
				return nil, false
			}
			seen[name] = true
			offered = append(offered, name)
		}
	}
	return offered, true
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool { return s != "" && all(s, tokenByte) }

func tokenByte(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return letter(c) || digit(c)
}

// AcceptKey returns the value of Sec-WebSocket-Accept that proves that the
// handshake with key was understood (RFC 6455, section 4.2.2).
func AcceptKey(key string) string { return string(appendAcceptKey(nil, key)) }

func appendAcceptKey(b []byte, key string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum(append(append(make([]byte, 0, 64), key...), guid...))
	return base64.StdEncoding.AppendEncode(b, sum[:])
}

// AppendResponse appends the response that accepts the handshake with key to b.
// Subprotocol is the one agreed on, empty for none; d is of the handshake, or
// zero if messages are not to be deflated; extra are more fields, such as
// Set-Cookie. A subprotocol that is not a token, a field that is not of
// HTTP's grammar or that belongs to the handshake is an error; then nothing is
// returned.
func AppendResponse(b []byte, key, subprotocol string, d Deflate, extra http.Header) ([]byte, error) {
	if !validKey(key) {
		return nil, errors.New("websocket: writing the handshake: key is not one of a handshake")
	}
	if subprotocol != "" && !isToken(subprotocol) {
		return nil, fmt.Errorf("websocket: writing the handshake: subprotocol %q is not a token", subprotocol)
	}
	for name, values := range extra {
		if err := checkField(name, values); err != nil {
			return nil, fmt.Errorf("websocket: writing the handshake: %w", err)
		}
	}

	b = slices.Grow(b, 256)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\n"...)
	b = appendField(b, "Upgrade", "websocket")
	b = appendField(b, "Connection", "Upgrade")
	b = appendAcceptKey(append(b, "Sec-WebSocket-Accept: "...), key)
	b = append(b, "\r\n"...)
	if subprotocol != "" {
		b = appendField(b, "Sec-WebSocket-Protocol", subprotocol)
	}
	if d != noDeflate {
		b = appendField(b, "Sec-WebSocket-Extensions", d.value())
	}
	if len(extra) > 0 { // to sort no names would allocate all the same
		for _, name := range slices.Sorted(maps.Keys(extra)) {
			for _, value := range extra[name] {
				b = appendField(b, name, value)
			}
		}
	}
	return append(b, "\r\n"...), nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// checkField says why a field must not be added to the response. Values are
// not part of the error: they may be secret.
func checkField(name string, values []string) error {
	if !isToken(name) {
		return fmt.Errorf("field name %q is not a token", name)
	}
	if handshakeField(name) {
		return fmt.Errorf("field %s belongs to the handshake", name)
	}
	for _, value := range values {
		if !all(value, valueByte) {
			return fmt.Errorf("field %s holds a control character", name)
		}
	}
	return nil
}

// handshakeField reports whether a field with name would change what the
// handshake says, or where its end is.
func handshakeField(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "upgrade", "connection", "content-length", "transfer-encoding", "trailer":
		return true
	}
	return strings.HasPrefix(name, "sec-websocket-")
}

// valueByte is the class of what may stand in a field's value: no control
// character, so no end of line.
func valueByte(c byte) bool { return c >= ' ' && c != 0x7f }
