package fastcgi

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// readHead feeds text in pieces of n bytes.
func readHead(text string, n int) (h head, rest string, done bool, err error) {
	r := headReader{maxBytes: 16 << 10, maxLines: 100}
	for len(text) > 0 && !done && err == nil {
		part := text[:min(n, len(text))]
		var took int
		took, done, err = r.feed([]byte(part))
		text = text[took:]
		if err == nil && !done && took < len(part) {
			return head{}, text, false, errors.New("took less than all, and is not done")
		}
	}
	if !done || err != nil {
		return head{}, text, done, err
	}
	h, err = r.parse()
	return h, text, true, err
}

func TestHead(t *testing.T) {
	for _, test := range []struct {
		name   string
		in     string
		status int
		reason string
		fields string
		skip   int
	}{
		{"php-fpm's own", "Content-type: text/html; charset=UTF-8\r\n\r\n", 200, "", "Content-type=text/html; charset=UTF-8", 0},
		{"bare LF", "A: 1\nB: 2\n\n", 200, "", "A=1|B=2", 0},
		{"LF and CRLF mixed", "A: 1\nB: 2\r\n\n", 200, "", "A=1|B=2", 0},
		{"nothing but the end", "\r\n", 200, "", "", 0},
		{"a status with its reason", "Status: 404 Not Found\r\n\r\n", 404, "Not Found", "", 0},
		{"a status at its own place, in small letters", "A: 1\r\nstatus: 418 x y\r\n\r\n", 418, "x y", "A=1", 0},
		{"a status unknown to PHP has no reason", "Status: 999\r\n\r\n", 999, "", "", 0},
		{"of two the first counts", "Status: 500\r\nStatus: 200\r\n\r\n", 500, "", "", 1},
		{"a Location alone redirects", "Location: /x\r\n\r\n", 302, "", "Location=/x", 0},
		{"a Location with a status does not", "Status: 201 Created\r\nLocation: /x\r\n\r\n", 201, "Created", "Location=/x", 0},
		{"repeated fields keep their order", "Set-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\n\r\n", 200, "", "Set-Cookie=a=1|X=y|Set-Cookie=b=2", 0},
		{"an empty value is a value", "X-Empty:\r\nX-Blank: \t \r\n\r\n", 200, "", "X-Empty=|X-Blank=", 0},
		{"a colon in the value", "X: a:b: c\r\n\r\n", 200, "", "X=a:b: c", 0},
		{"no colon", "X-Foo\r\nA: 1\r\n\r\n", 200, "", "A=1", 1},
		{"no name", ": bar\r\nA: 1\r\n\r\n", 200, "", "A=1", 1},
		{"a space before the colon", "X : y\r\n\r\n", 200, "", "", 1},
		{"a continued line", "A: 1\r\n  more\r\n\r\n", 200, "", "A=1", 1},
		{"NUL and CR in values", "A: x\x00y\r\nB: x\ry\r\nC: \x7f\r\nD: \xff\r\n\r\n", 200, "", "C=\x7f|D=\xff", 2},
		{"lengths that are FastCGI's to say", "Content-Length: 99\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n", 200, "", "A=1", 0},
	} {
		for _, n := range []int{1, 2, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d at a time", test.name, n), func(t *testing.T) {
				h, rest, done, err := readHead(test.in+"body", n)
				if err != nil || !done {
					t.Fatalf("done %t, %v", done, err)
				}
				var fields []string
				for _, f := range h.fields {
					fields = append(fields, f.Name+"="+f.Value)
				}
				if h.status != test.status || h.reason != test.reason || strings.Join(fields, "|") != test.fields || h.skipped != test.skip || rest != "body" {
					t.Errorf("%+v, rest %q", h, rest)
				}
			})
		}
	}
}

func TestHeadCutAnywhereIsIncomplete(t *testing.T) {
	const in = "Status: 200 OK\r\nA: 1\r\n\r\n"
	for i := range len(in) - 1 {
		if _, _, done, err := readHead(in[:i], 1<<20); done || err != nil {
			t.Errorf("cut at %d: done %t, %v", i, done, err)
		}
	}
}

func TestHeadLimits(t *testing.T) {
	long := func(n int) string { return "X: " + strings.Repeat("x", n-len("X: \n\n")) + "\n\n" } // n bytes
	for _, test := range []struct {
		name string
		in   string
		want error
	}{
		{"below 16 KiB", long(16<<10 - 1), nil},
		{"exactly 16 KiB", long(16 << 10), nil},
		{"above 16 KiB", long(16<<10 + 1), errHeadTooLong},
		{"99 lines", strings.Repeat("X: y\n", 99) + "\n", nil},
		{"100 lines", strings.Repeat("X: y\n", 100) + "\n", nil},
		{"101 lines", strings.Repeat("X: y\n", 101) + "\n", errHeadLines},
		{"a long line without end", strings.Repeat("x", 20_000), errHeadTooLong},
		{"many lines, together too long", strings.Repeat("X: "+strings.Repeat("y", 400)+"\n", 60), errHeadTooLong},
		{"a status of two digits", "Status: 20\n\n", errStatus},
		{"a status of four digits", "Status: 2000\n\n", errStatus},
		{"a status of words", "Status: abc\n\n", errStatus},
		{"an empty status", "Status:\n\n", errStatus},
		{"a status below 100", "Status: 099\n\n", errStatus},
	} {
		for _, n := range []int{1, 1000, 1 << 20} {
			if _, _, _, err := readHead(test.in, n); !errors.Is(err, test.want) {
				t.Errorf("%s, %d at a time: %v; want %v", test.name, n, err, test.want)
			}
		}
	}
}

func TestHeaderLookup(t *testing.T) {
	h := Header{{"Set-Cookie", "a"}, {"WS-User", "1"}, {"set-cookie", "b"}}
	if h.Get("ws-user") != "1" || h.Get("absent") != "" || fmt.Sprint(h.Values("SET-COOKIE")) != "[a b]" {
		t.Errorf("%q, %q, %q", h.Get("ws-user"), h.Get("absent"), h.Values("SET-COOKIE"))
	}
}

// FuzzHead: how the bytes are cut never changes what they mean, and no field
// holds a byte that could end a header line.
//
// It kills a parseField that lets NUL and CR pass.
func FuzzHead(f *testing.F) {
	f.Add("Status: 404 Not Found\r\nX-Foo\r\n: bar\r\nX-Empty:\r\n\r\nbody", uint16(3))
	f.Add("Location: /x\n\n", uint16(1))
	f.Add("A: x\x00y\r\nB: x\ry\r\nStatus: 099\r\n\r\n", uint16(2))
	f.Add("Set-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 9\r\n\r\nb", uint16(7))
	f.Fuzz(func(t *testing.T, in string, n uint16) {
		h1, rest1, done1, err1 := readHead(in, int(n)+1)
		h2, rest2, done2, err2 := readHead(in, len(in)+1)
		if fmt.Sprint(h1, done1, err1) != fmt.Sprint(h2, done2, err2) || done1 && rest1 != rest2 {
			t.Fatalf("%+v %q %t %v\n%+v %q %t %v", h1, rest1, done1, err1, h2, rest2, done2, err2)
		}
		for _, f := range h1.fields {
			if f.Name == "" || strings.ContainsAny(f.Name+f.Value, "\r\n\x00") {
				t.Fatalf("field %q", f)
			}
		}
	})
}
