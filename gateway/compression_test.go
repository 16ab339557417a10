package gateway

import (
	"bytes"
	"compress/flate"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A route that compresses does so with clients that offer it, and PHP gets and
// gives what it would without. On other routes nothing is agreed on.
func TestCompression(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	long := strings.Repeat("a long answer, ", 100)
	for _, test := range []struct {
		name   string
		on     bool
		offer  []string
		answer string
	}{
		{"off by default", false, []string{"+Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"}, ""},
		{"on, and not offered", true, nil, ""},
		{"on, and offered as by browsers", true, []string{"+Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"}, agreed},
		{"on, and offered with a window", true, []string{"+Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15"},
			agreed + "; server_max_window_bits=15"},
		{"on, and offered with a smaller window", true, []string{"+Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"}, ""},
		{"on, and offered in the second line", true,
			[]string{"+Sec-WebSocket-Extensions: x-first; a=b", "+Sec-WebSocket-Extensions: permessage-deflate"}, agreed},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, _, address := open(t, func(r *Route, _ *Options) { r.Compression = test.on })
			c := connect(t, address, lines("/ws", test.offer...))
			r := c.response()
			if got := strings.Join(r.Header["Sec-Websocket-Extensions"], "|"); r.StatusCode != http.StatusSwitchingProtocols || got != test.answer {
				t.Fatalf("%s, extensions %q; want %q", r.Status, got, test.answer)
			}
			c.say("echo short", "echo "+long)
			c.want(text, "short")
			if test.answer == "" {
				c.want(text, long)
				c.write(frame(text|0x40, zip(t, "echo deflated")))
				c.wantClose(1002, "")
				return
			}
			head, payload, err := c.read()
			if got := unzip(payload); head != text|0x40 || got != long || err != nil {
				t.Errorf("head %x, %.40q, %v; want it deflated", head, got, err)
			}
			c.write(frame(text|0x40, zip(t, "echo deflated")))
			c.hear("deflated")
			for _, want := range []struct {
				name, cause string
				n           int
			}{
				{"ws_fpm_messages_deflated_total", "", 1},
				{"ws_fpm_deflate_saved_bytes_total", "", len(long) - len(payload)},
				{"ws_fpm_messages_inflated_total", "", 1},
				{"ws_fpm_deflate_skipped_total", `cause="small"`, 2},
				{"ws_fpm_deflate_skipped_total", `cause="no_gain"`, 0},
				{"ws_fpm_inflate_failed_total", "", 0},
			} {
				if got := count(g, want.name, want.cause); got != want.n {
					t.Errorf("%s %s is %d, want %d", want.name, want.cause, got, want.n)
				}
			}
			c.write(frame(text|0x40, "\x06"))
			c.wantClose(1007, "")
			if n := count(g, "ws_fpm_inflate_failed_total", `cause="damaged"`); n != 1 {
				t.Errorf("%d damaged messages counted", n)
			}
		})
	}
}

func zip(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

func unzip(s string) string {
	b, _ := io.ReadAll(flate.NewReader(strings.NewReader(s + "\x00\x00\xff\xff")))
	return string(b)
}
