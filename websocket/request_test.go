package websocket

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const plainRequest = "GET /ws?room=1 HTTP/1.1\r\nHost: ws.example\r\nUpgrade: websocket\r\nCookie: a=b; c=d\r\n\r\n"

func TestParseRequest(t *testing.T) {
	field := func(name, value string) RequestField { return RequestField{name, value} }
	long := strings.Repeat("a", MaxRequestHead-len("GET / HTTP/1.1\r\nX: \r\n\r\n"))
	for _, test := range []struct {
		name, wire string
		want       []RequestField
	}{
		{"a browser's", plainRequest, []RequestField{field("Host", "ws.example"), field("Upgrade", "websocket"), field("Cookie", "a=b; c=d")}},
		{"no field at all", "GET / HTTP/1.1\r\n\r\n", nil},
		{"white space around a value", "GET / HTTP/1.1\r\nA: \t b c\t \r\n\r\n", []RequestField{field("A", "b c")}},
		{"no white space", "GET / HTTP/1.1\r\nA:b\r\n\r\n", []RequestField{field("A", "b")}},
		{"no value", "GET / HTTP/1.1\r\nA: \t\r\nB:\r\n\r\n", []RequestField{field("A", ""), field("B", "")}},
		{"colons in a value", "GET / HTTP/1.1\r\nOrigin: http://a:80\r\n\r\n", []RequestField{field("Origin", "http://a:80")}},
		{"a tab and bytes over ASCII in a value", "GET / HTTP/1.1\r\nA: b\tc\xc3\xa4\xff\r\n\r\n", []RequestField{field("A", "b\tc\xc3\xa4\xff")}},
		{"a name twice", "GET / HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n", []RequestField{field("A", "1"), field("a", "2")}},
		{"as many fields as there may be", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n", slices.Repeat([]RequestField{field("A", "b")}, 100)},
		{"as long as it may be", "GET / HTTP/1.1\r\nX: " + long + "\r\n\r\n", []RequestField{field("X", long)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := test.wire + "\x81\x80frames"
			head, n := ParseRequest([]byte(wire), nil)
			target := strings.Fields(test.wire)[1]
			if n != len(test.wire) || head.Target != target || !slices.Equal(head.Fields, test.want) {
				t.Errorf("ParseRequest(%.200q) = %.200q, %d; want %q, %.200q, %d", wire, head, n, target, test.want, len(test.wire))
			}
		})
	}
}

// What is not of the plainest form is left to another parser.
func TestParseRequestLeaves(t *testing.T) {
	for _, test := range []struct{ name, wire string }{
		{"nothing", ""},
		{"another method", strings.Replace(plainRequest, "GET", "POST", 1)},
		{"a method in small letters", strings.Replace(plainRequest, "GET", "get", 1)},
		{"a whole URL", strings.Replace(plainRequest, "/ws", "http://a/ws", 1)},
		{"an asterisk", strings.Replace(plainRequest, "/ws", "*", 1)},
		{"HTTP/1.0", strings.Replace(plainRequest, "1.1", "1.0", 1)},
		{"HTTP/1.10", strings.Replace(plainRequest, "1.1\r", "1.10\r", 1)},
		{"no version", strings.Replace(plainRequest, " HTTP/1.1", "", 1)},
		{"an empty line in front", "\r\n" + plainRequest},
		{"two spaces before the target", strings.Replace(plainRequest, "GET ", "GET  ", 1)},
		{"two spaces behind the target", strings.Replace(plainRequest, " HTTP", "  HTTP", 1)},
		{"a space behind the version", strings.Replace(plainRequest, "1.1\r", "1.1 \r", 1)},
		{"a space in the target", strings.Replace(plainRequest, "/ws", "/w s", 1)},
		{"a tab in the target", strings.Replace(plainRequest, "/ws", "/w\ts", 1)},
		{"a NUL in the target", strings.Replace(plainRequest, "/ws", "/w\x00s", 1)},
		{"DEL in the target", strings.Replace(plainRequest, "/ws", "/w\x7fs", 1)},
		{"a byte over ASCII in the target", strings.Replace(plainRequest, "/ws", "/w\x80s", 1)},
		{"a line that ends in LF", strings.Replace(plainRequest, "\r\nUpgrade", "\nUpgrade", 1)},
		{"a line that ends in CR", strings.Replace(plainRequest, "\r\nUpgrade", "\rUpgrade", 1)},
		{"an end of LF LF", strings.ReplaceAll(plainRequest, "\r\n", "\n")},
		{"a folded line", strings.Replace(plainRequest, "Upgrade", " Upgrade", 1)},
		{"a space behind a name", strings.Replace(plainRequest, "Host:", "Host :", 1)},
		{"a space in a name", strings.Replace(plainRequest, "Host:", "Ho st:", 1)},
		{"no name", strings.Replace(plainRequest, "Host:", ":", 1)},
		{"no colon", strings.Replace(plainRequest, "Host:", "Host", 1)},
		{"a NUL in a value", strings.Replace(plainRequest, "a=b", "a=\x00b", 1)},
		{"an escape in a value", strings.Replace(plainRequest, "a=b", "a=\x1bb", 1)},
		{"DEL in a value", strings.Replace(plainRequest, "a=b", "a=\x7fb", 1)},
		{"a CR in a value", strings.Replace(plainRequest, "a=b", "a=\rb", 1)},
		{"one field too many", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n"},
		{"one byte too many", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", MaxRequestHead-len("GET / HTTP/1.1\r\nX: \r\n\r\n")+1) + "\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if head, n := ParseRequest([]byte(test.wire), nil); n != 0 || head.Target != "" || head.Fields != nil {
				t.Errorf("ParseRequest(%.200q) = %.200q, %d; want nothing", test.wire, head, n)
			}
		})
	}
	for i := range plainRequest { // cut anywhere
		if _, n := ParseRequest([]byte(plainRequest[:i]), nil); n != 0 {
			t.Errorf("ParseRequest takes %d bytes of %q", n, plainRequest[:i])
		}
	}
}

// FuzzParseRequest: what it takes, net/http reads in the same way.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(plainRequest))
	f.Add([]byte(plainRequest + "GET /2 HTTP/1.1\r\n\r\n"))
	f.Add([]byte("GET /%zz HTTP/1.1\r\nHost:\r\nA:\tb\tc \r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("GET //a?b#c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, n := ParseRequest(b, nil)
		if n == 0 {
			return
		}
		if n > len(b) || !bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
			t.Fatalf("it takes %d of %d bytes: %q", n, len(b), b)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:n])))
		if err != nil {
			// A target that is no URL, or framing of a body: both are for
			// whoever looks at the fields.
			text := err.Error()
			if strings.Contains(text, "parse ") || strings.Contains(text, "unsupported transfer encoding") ||
				strings.Contains(text, "Content-Length") || strings.Contains(text, "bad trailer key") ||
				strings.Contains(text, "too many transfer encodings") {
				return
			}
			t.Fatalf("net/http does not take %q: %v", b[:n], err)
		}
		if r.Method != "GET" || r.RequestURI != head.Target || r.Proto != "HTTP/1.1" {
			t.Fatalf("net/http reads %s %q %s, we %q", r.Method, r.RequestURI, r.Proto, head.Target)
		}
		ours, theirs := map[string][]string{}, map[string][]string(r.Header)
		for _, field := range head.Fields {
			name := http.CanonicalHeaderKey(field.Name)
			ours[name] = append(ours[name], field.Value)
		}
		for _, name := range []string{"Host", "Transfer-Encoding", "Trailer", "Content-Length"} { // taken out by net/http
			delete(ours, name)
			delete(theirs, name)
		}
		if theirs["Pragma"] != nil && ours["Cache-Control"] == nil {
			delete(theirs, "Cache-Control") // which net/http makes of Pragma
		}
		if fmt.Sprint(ours) != fmt.Sprint(theirs) { // fmt sorts maps
			t.Fatalf("net/http reads %q, we %q", theirs, ours)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	wire, fields := []byte(plainRequest), []RequestField(nil)
	b.ReportAllocs()
	for b.Loop() {
		head, _ := ParseRequest(wire, fields)
		fields = head.Fields
	}
}
