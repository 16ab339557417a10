package gateway

import (
	"strings"
	"testing"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

func TestReadStatus(t *testing.T) {
	tests := []struct {
		name   string
		status int
		stderr bool
		want   failure
	}{
		{"100", 100, false, badReply},
		{"199", 199, false, badReply},
		{"200", 200, false, answered},
		{"200 with a warning in the log", 200, true, answered},
		{"204", 204, false, answered},
		{"299", 299, false, answered},
		{"300", 300, false, badReply},
		{"302, as of a Location alone", 302, false, badReply},
		{"399", 399, false, badReply},
		{"400", 400, false, answered},
		{"400 with a warning in the log", 400, true, answered},
		{"403 by the script", 403, false, answered},
		{"403 by php-fpm", 403, true, backendFailed},
		{"404 by the script", 404, false, answered},
		{"404 by php-fpm", 404, true, backendFailed},
		{"405 with a warning in the log", 405, true, answered},
		{"499", 499, false, answered},
		{"500", 500, false, backendFailed},
		{"503", 503, true, backendFailed},
		{"599", 599, false, backendFailed},
		{"999", 999, false, backendFailed},
	}
	for _, test := range tests {
		word, reason := readStatus(test.status, test.stderr)
		if word != test.want || (reason == "") != (word == answered) {
			t.Errorf("%s: readStatus(%d, %v) = %q, %q; want %q", test.name, test.status, test.stderr, word, reason, test.want)
		}
	}
}

// fields makes a header of "Name: value" strings.
func fields(lines ...string) (h fastcgi.Header) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h = append(h, fastcgi.Field{Name: name, Value: strings.TrimSpace(value)})
	}
	return h
}

// How the body of a reply goes out.
func TestReplyOpcode(t *testing.T) {
	const none = websocket.Opcode(0)
	tests := []struct {
		name   string
		header []string
		body   string
		want   websocket.Opcode // none: nothing is sent
	}{
		{"no type", nil, "hello", websocket.Text},
		{"an empty type", []string{"Content-Type:"}, "hello", websocket.Text},
		{"PHP's own type", []string{"Content-type: text/html; charset=UTF-8"}, "hello", websocket.Text},
		{"plain text", []string{"Content-Type: text/plain"}, "hello", websocket.Text},
		{"upper case", []string{"Content-Type: TEXT/PLAIN"}, "hello", websocket.Text},
		{"another charset", []string{"Content-Type: text/plain; charset=latin1"}, "hello", websocket.Text},
		{"JSON", []string{"Content-Type: application/json"}, "{}", websocket.Text},
		{"a kind of JSON", []string{"Content-Type: application/problem+json"}, "{}", websocket.Text},
		{"XML", []string{"Content-Type: application/xml"}, "<a/>", websocket.Text},
		{"a kind of XML", []string{"Content-Type: image/svg+xml"}, "<a/>", websocket.Text},
		{"JavaScript", []string{"Content-Type: application/javascript"}, "a", websocket.Text},
		{"JavaScript as text", []string{"Content-Type: text/javascript"}, "a", websocket.Text},
		{"bytes", []string{"Content-Type: application/octet-stream"}, "hello", websocket.Binary},
		{"an image", []string{"Content-Type: image/png"}, "hello", websocket.Binary},
		{"a form", []string{"Content-Type: application/x-www-form-urlencoded"}, "a=b", websocket.Binary},
		{"no media type", []string{"Content-Type: hello"}, "hello", websocket.Binary},
		{"text that is not UTF-8", []string{"Content-Type: text/plain"}, "\xff", websocket.Binary},
		{"text that ends within a character", nil, "a\xc3", websocket.Binary},
		{"text with a NUL", nil, "\x00", websocket.Text},

		{"nothing", nil, "", none},
		{"nothing of bytes", []string{"Content-Type: image/png"}, "", none},
		{"text by order", []string{"Content-Type: image/png", "WS-Opcode: text"}, "hello", websocket.Text},
		{"binary by order", []string{"WS-Opcode: binary"}, "hello", websocket.Binary},
		{"an order in another case", []string{"ws-opcode: BINARY"}, "hello", websocket.Binary},
		{"nothing by order", []string{"WS-Opcode: none"}, "hello", none},
		{"nothing of nothing by order", []string{"WS-Opcode: none"}, "", none},
		{"an empty text by order", []string{"WS-Opcode: text"}, "", websocket.Text},
		{"an empty binary by order", []string{"WS-Opcode: binary"}, "", websocket.Binary},
		{"text by order that is not UTF-8", []string{"WS-Opcode: text"}, "\xff", websocket.Binary},
		{"an empty order", []string{"WS-Opcode:"}, "hello", websocket.Text},
	}
	for _, test := range tests {
		r, reason := readHeader(fields(test.header...), attributes{})
		if reason != "" {
			t.Errorf("%s: %s", test.name, reason)
			continue
		}
		op, send, mended := r.opcode([]byte(test.body))
		if op != test.want || send != (test.want != none) {
			t.Errorf("%s: %q with %q goes as %v, %v; want %v", test.name, test.body, test.header, op, send, test.want)
		}
		if mended != strings.Contains(test.name, "UTF-8") && mended != strings.Contains(test.name, "within") {
			t.Errorf("%s: mended is %v", test.name, mended)
		}
	}
}

func TestReplyClose(t *testing.T) {
	closing := func(code websocket.StatusCode, reason string) *websocket.Closing {
		return &websocket.Closing{Code: code, Reason: reason, By: websocket.ByServer}
	}
	tests := []struct {
		name   string
		header []string
		want   *websocket.Closing
		bad    bool
	}{
		{"no order", nil, nil, false},
		{"1000", []string{"WS-Close: 1000"}, closing(1000, ""), false},
		{"1008", []string{"WS-Close: 1008 go"}, closing(1008, "go"), false},
		{"1011", []string{"WS-Close: 1011"}, closing(1011, ""), false},
		{"1013", []string{"WS-Close: 1013"}, closing(1013, ""), false},
		{"3000", []string{"WS-Close: 3000"}, closing(3000, ""), false},
		{"4001 and a reason", []string{"WS-Close: 4001 please log in"}, closing(4001, "please log in"), false},
		{"4999", []string{"ws-close: 4999"}, closing(4999, ""), false},
		{"more white space", []string{"WS-Close:   4001   bye  "}, closing(4001, "bye"), false},
		{"999", []string{"WS-Close: 999"}, nil, true},
		{"1001, which is ours to say", []string{"WS-Close: 1001"}, nil, true},
		{"1002", []string{"WS-Close: 1002"}, nil, true},
		{"1005, which is never sent", []string{"WS-Close: 1005"}, nil, true},
		{"1006", []string{"WS-Close: 1006"}, nil, true},
		{"1012", []string{"WS-Close: 1012"}, nil, true},
		{"2000", []string{"WS-Close: 2000"}, nil, true},
		{"2999", []string{"WS-Close: 2999"}, nil, true},
		{"5000", []string{"WS-Close: 5000"}, nil, true},
		{"65536 more", []string{"WS-Close: 69536"}, nil, true},
		{"a zero in front", []string{"WS-Close: 04001"}, nil, true},
		{"a sign", []string{"WS-Close: +400"}, nil, true},
		{"no number", []string{"WS-Close: yes"}, nil, true},
		{"a number and letters", []string{"WS-Close: 4001x"}, nil, true},
		{"nothing", []string{"WS-Close:"}, nil, true},
		{"two orders", []string{"WS-Close: 4001", "WS-Close: 4002"}, nil, true},
	}
	for _, test := range tests {
		r, reason := readHeader(fields(test.header...), attributes{})
		if (reason != "") != test.bad {
			t.Errorf("%s: reason %q; want a bad reply: %v", test.name, reason, test.bad)
		}
		if got, want := r.close, test.want; (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: close %v; want %v", test.name, got, want)
		}
	}
}

func TestReplyRefused(t *testing.T) {
	tests := []struct {
		name   string
		header string
	}{
		{"another opcode", "WS-Opcode: ping"},
		{"two opcodes", "WS-Opcode: text, binary"},
		{"an expiry that is no number", "WS-Expire: soon"},
		{"an expiry of nothing", "WS-Expire: 0"},
		{"an expiry before now", "WS-Expire: -1"},
		{"an expiry of more than ten years", "WS-Expire: 315360001"},
	}
	for _, test := range tests {
		// What else the reply asks for does not count then.
		r, reason := readHeader(fields("WS-User: 42", "WS-Set-A: b", test.header), attributes{})
		if reason == "" || r.op != 0 || r.close != nil || r.attributes.user != "" || len(r.attributes.list) > 0 || r.expire != 0 {
			t.Errorf("%s: %+v, %q; want nothing and a reason", test.name, r, reason)
		}
	}
	for header, want := range map[string]int64{"": 0, "WS-Expire: 1": 1, "WS-Expire: 315360000": 315360000} {
		if r, reason := readHeader(fields(header), attributes{}); reason != "" || r.expire != want {
			t.Errorf("%q: expire %d, %q; want %d", header, r.expire, reason, want)
		}
	}
}

func TestUnknownFields(t *testing.T) {
	got := unknownFields(fields("WS-Opcode: text", "WS-Clsoe: 1000", "X-Powered-By: PHP", "ws-set-a: b", "WS-Users: 1", "WS-User: 1",
		"WS-Accept: yes", "WS-Expire: 1", "WS-Interrupt: yes", "WS-Close: 1000", "WSX: 1"))
	if strings.Join(got, " ") != "WS-Clsoe WS-Users" {
		t.Errorf("unknown are %q; want WS-Clsoe and WS-Users", got)
	}
}
