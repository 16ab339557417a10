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

// A reply is what PHP's answer to a message means.
type reply struct {
	send  bool
	op    websocket.Opcode
	close *websocket.Closing // nil: stay open
}

// A head is the part of PHP's answer that comes before the body.
type head struct {
	status int
	header fastcgi.Header
}

// readReply reads the answer to a message. Stderr says that PHP wrote to its
// error log. On failure the reason is for the log.
func readReply(h head, body []byte, stderr bool) (r reply, word failure, reason string) {
	switch {
	case h.status >= 500:
		return reply{}, backendFailed, fmt.Sprintf("status %d", h.status)
	case stderr && (h.status == 403 || h.status == 404):
		// php-fpm's own "File not found." and "Access denied."
		return reply{}, backendFailed, fmt.Sprintf("status %d", h.status)
	case h.status < 200 || h.status >= 300 && h.status < 400:
		return reply{}, badReply, fmt.Sprintf("status %d", h.status)
	}
	if r.close, reason = readClose(h.header); reason != "" {
		return reply{}, badReply, reason
	}
	switch opcode := strings.ToLower(h.header.Get("WS-Opcode")); opcode {
	case "":
		r.op, r.send = opcodeOf(h.header.Get("Content-Type")), len(body) > 0
	case "text":
		r.op, r.send = websocket.Text, true
	case "binary":
		r.op, r.send = websocket.Binary, true
	case "none":
	default:
		return reply{}, badReply, "WS-Opcode: want text, binary or none"
	}
	if r.op == websocket.Text && !utf8.Valid(body) {
		r.op = websocket.Binary
		return r, "", "text that is not UTF-8, sent as binary"
	}
	return r, "", ""
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

// readClose reads WS-Close: a code that a server's program may use, and after
// a space a reason.
func readClose(h fastcgi.Header) (c *websocket.Closing, reason string) {
	values := h.Values("WS-Close")
	switch len(values) {
	case 0:
		return nil, ""
	case 1:
	default:
		return nil, "WS-Close twice"
	}
	number, text, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	code, err := strconv.ParseUint(number, 10, 16)
	if err != nil || len(number) != 4 || !mayClose(websocket.StatusCode(code)) {
		return nil, "WS-Close: want 1000, 1008, 1011, 1013 or 3000 to 4999, and a reason"
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
