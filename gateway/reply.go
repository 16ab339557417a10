package gateway

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// A failure is the word by which a client learns that its message has no
// answer. The words are part of the interface.
type failure string

const (
	backendFailed  failure = "backend_failed"  // PHP or php-fpm broke, or could not be reached
	backendTimeout failure = "backend_timeout" // no whole reply in time
	backendBusy    failure = "backend_busy"    // no room in the queue, or no turn in time
	replyTooBig    failure = "reply_too_big"   // the body is over max_reply
	badReply       failure = "bad_reply"       // a reply that breaks its rules
)

// A reply is what PHP's answer means.
type reply struct {
	op     websocket.Opcode   // of the body; zero: it is not sent
	forced bool               // PHP said so: an empty body is a message too
	close  *websocket.Closing // after the body; nil: stay open

	attributes attributes // of the connection from now on
	expire     int64      // seconds until the connection is closed; zero: as before
	interrupt  bool       // of a stream: the client's next message ends it
	orders     orders
}

// readStatus says what the status means for a message. Stderr says that PHP
// wrote to its error log.
func readStatus(status int, stderr bool) (word failure, reason string) {
	switch {
	case status >= 500:
		return backendFailed, fmt.Sprintf("status %d", status)
	case stderr && (status == 403 || status == 404):
		// php-fpm's own "File not found." and "Access denied."
		return backendFailed, fmt.Sprintf("status %d", status)
	case status < 200 || status >= 300 && status < 400:
		return badReply, fmt.Sprintf("status %d", status)
	}
	return "", ""
}

// readHeader reads all that the header of an accepted reply asks for; current
// are the connection's attributes. A reason means that the reply is a bad one
// and nothing of it counts.
func readHeader(h fastcgi.Header, current attributes) (r reply, reason string) {
	if r.close, reason = readClose(h); reason != "" {
		return reply{}, reason
	}
	if r.orders, reason = readOrders(h); reason != "" {
		return reply{}, reason
	}
	if r.attributes, reason = current.apply(h); reason != "" {
		return reply{}, reason
	}
	if r.attributes, reason = r.attributes.listen(&r.orders); reason != "" {
		return reply{}, reason
	}
	if r.expire, reason = readExpire(h.Get("WS-Expire")); reason != "" {
		return reply{}, reason
	}
	r.interrupt = strings.EqualFold(strings.TrimSpace(h.Get("WS-Interrupt")), "yes")
	switch strings.ToLower(strings.TrimSpace(h.Get("WS-Opcode"))) {
	case "":
		r.op = opcodeOf(h.Get("Content-Type"))
	case "text":
		r.op, r.forced = websocket.Text, true
	case "binary":
		r.op, r.forced = websocket.Binary, true
	case "none":
	default:
		return reply{}, "WS-Opcode: want text, binary or none"
	}
	return r, ""
}

// opcode is how body goes out, and whether it does at all. Text that is not
// UTF-8 goes as binary.
func (r reply) opcode(body []byte) (op websocket.Opcode, send, mended bool) {
	switch {
	case r.op == 0 || len(body) == 0 && !r.forced:
		return 0, false, false
	case r.op == websocket.Text && !utf8.Valid(body):
		return websocket.Binary, true, true
	}
	return r.op, true, false
}

// maxExpire is the longest WS-Expire, in seconds: ten years.
const maxExpire = 10 * 365 * 24 * 60 * 60

// readExpire reads WS-Expire, in seconds; zero means that there is none.
func readExpire(s string) (seconds int64, reason string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, ""
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxExpire {
		return 0, "WS-Expire: want seconds, 1 to 315360000"
	}
	return int64(n), ""
}

// unknownFields gives the WS-* fields that mean nothing, misspelt most likely.
func unknownFields(h fastcgi.Header) (names []string) {
	for _, f := range h {
		if !hasPrefixFold(f.Name, "WS-") {
			continue
		}
		name := strings.ToUpper(f.Name)
		if !strings.HasPrefix(name, "WS-") || strings.HasPrefix(name, "WS-SET-") {
			continue
		}
		switch name {
		case "WS-ACCEPT", "WS-OPCODE", "WS-CLOSE", "WS-USER", "WS-EXPIRE", "WS-INTERRUPT",
			"WS-SUBSCRIBE", "WS-UNSUBSCRIBE", "WS-PUBLISH":
		default:
			names = append(names, f.Name)
		}
	}
	return names
}

// hasPrefixFold is strings.HasPrefix in any case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// opcodeOf chooses between text and binary by a media type: what a browser
// would show as text is text, and so is an answer without a type.
func opcodeOf(contentType string) websocket.Opcode {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "", "application/json", "application/xml", "application/javascript", "application/x-javascript",
		"application/ecmascript", "application/x-ndjson":
		return websocket.Text
	}
	if strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml") {
		return websocket.Text
	}
	return websocket.Binary
}

// readClose reads WS-Close.
func readClose(h fastcgi.Header) (c *websocket.Closing, reason string) {
	switch values := h.Values("WS-Close"); len(values) {
	case 0:
		return nil, ""
	case 1:
		if c, reason = parseClose(values[0]); reason != "" {
			return nil, "WS-Close: " + reason
		}
		return c, ""
	default:
		return nil, "WS-Close twice"
	}
}

// parseClose reads a code that a server's program may use, and after a space a
// reason.
func parseClose(s string) (c *websocket.Closing, reason string) {
	number, text, _ := strings.Cut(strings.TrimSpace(s), " ")
	code, err := strconv.ParseUint(number, 10, 16)
	if err != nil || len(number) != 4 || !mayClose(websocket.StatusCode(code)) {
		return nil, "want 1000, 1008, 1011, 1013 or 3000 to 4999, and a reason"
	}
	return &websocket.Closing{
		Code:   websocket.StatusCode(code),
		Reason: strings.TrimSpace(text),
		By:     websocket.ByServer,
	}, ""
}

// mayClose reports whether PHP may close with code; the others say what the
// gateway itself has seen.
func mayClose(code websocket.StatusCode) bool {
	switch code {
	case websocket.StatusNormal, websocket.StatusPolicy, websocket.StatusInternal, websocket.StatusTryAgain:
		return true
	}
	return code >= 3000 && code <= 4999
}
