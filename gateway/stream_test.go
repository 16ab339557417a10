package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
)

// split feeds parts to a splitter and gives what it said, one entry each: a
// message in quotes, "close CODE REASON", and an error last.
func split(kind format, max int, parts ...string) (said []string) {
	s := splitter{format: kind, max: max}
	emit := func(i item) error {
		if i.close != nil {
			said = append(said, fmt.Sprintf("close %d %s", i.close.Code, i.close.Reason))
			return errCloseOrdered
		}
		said = append(said, fmt.Sprintf("%q", i.message))
		return nil
	}
	for _, part := range parts {
		if err := s.feed([]byte(part), emit); err != nil {
			return append(said, err.Error())
		}
		if kept := len(s.line) + len(s.data); kept > 2*max+maxFraming {
			panic(fmt.Sprintf("a splitter for events of %d bytes keeps %d", max, kept))
		}
	}
	if err := s.end(emit); err != nil {
		said = append(said, err.Error())
	}
	return said
}

var splitTests = []struct {
	name   string
	format format
	in     string
	want   []string
}{
	{"an event ends with an empty line", sse, "data: a\n\ndata: b\n\n", []string{`"a"`, `"b"`}},
	{"lines of one event are joined by LF", sse, "data: a\ndata: b\n\n", []string{`"a\nb"`}},
	{"only one space after the colon is framing", sse, "data:a\n\ndata:  b\n\n", []string{`"a"`, `" b"`}},
	{"a colon in the data", sse, "data: a: b:c\n\n", []string{`"a: b:c"`}},
	{"lines end with CR", sse, "data: a\r\rdata: b\r\r", []string{`"a"`, `"b"`}},
	{"lines end with CRLF", sse, "data: a\r\n\r\ndata: b\r\n\r\n", []string{`"a"`, `"b"`}},
	{"CRLF is one line end", sse, "data: a\r\ndata: b\r\n\r\n", []string{`"a\nb"`}},
	{"lines end in every way", sse, "data: a\r\n\ndata: b\r\r\ndata: c\n\rdata: d\n\n", []string{`"a"`, `"b"`, `"c"`, `"d"`}},
	{"LF CR is two line ends", sse, "data: a\n\rdata: b\n\r", []string{`"a"`, `"b"`}},
	{"a byte order mark in front", sse, "\xef\xbb\xbfdata: a\n\n", []string{`"a"`}},
	{"a byte order mark further on makes another field", sse, "data: a\n\n\xef\xbb\xbfdata: b\n\n", []string{`"a"`}},
	{"no empty line at the end", sse, "data: a\n\ndata: b\n", []string{`"a"`, `"b"`}},
	{"no line end at the end", sse, "data: a\n\ndata: b", []string{`"a"`, `"b"`}},
	{"no data, no message", sse, "\n\n: comment\n\nid: 7\nevent: x\nretry: 1\n\n", nil},
	{"an empty data is an empty message", sse, "data\n\ndata:\n\n", []string{`""`, `""`}},
	{"two empty data are an empty line", sse, "data\ndata\n\n", []string{`"\n"`}},
	{"other fields are dropped", sse, "id: 7\nevent: tick\ndata: a\nretry: 9\n: c\n\n", []string{`"a"`}},
	{"a name is case-sensitive and whole", sse, "Data: a\ndatax: b\n data: c\n\n", nil},
	{"nothing at all", sse, "", nil},
	{"NUL and broken UTF-8 pass", sse, "data: a\x00\xff\n\n", []string{`"a\x00\xff"`}},

	{"ws-close closes", sse, "event: ws-close\ndata: 4001 so long\n\ndata: never\n\n", []string{"close 4001 so long", errCloseOrdered.Error()}},
	{"ws-close behind its data", sse, "data: 1000\nevent: ws-close\n\n", []string{"close 1000 ", errCloseOrdered.Error()}},
	{"ws-close at the very end", sse, "event: ws-close\ndata: 3000 x", []string{"close 3000 x", errCloseOrdered.Error()}},
	{"ws-close is for its own event", sse, "event: ws-close\n\ndata: 4001\n\n", []string{`"4001"`}},
	{"the last event field counts", sse, "event: ws-close\nevent: tick\ndata: 4001\n\n", []string{`"4001"`}},
	{"ws-close with a code that is not PHP's", sse, "event: ws-close\ndata: 1002\n\n",
		[]string{"gateway: event ws-close: want 1000, 1008, 1011, 1013 or 3000 to 4999, and a reason"}},

	{"each line is a message", ndjson, "{}\n[1]\n", []string{`"{}"`, `"[1]"`}},
	{"no line end after the last line", ndjson, "{}\n[1]", []string{`"{}"`, `"[1]"`}},
	{"lines with CRLF", ndjson, "{}\r\n[1]\r\n", []string{`"{}"`, `"[1]"`}},
	{"a lone CR is data", ndjson, "{\r}\n", []string{`"{\r}"`}},
	{"empty lines are none", ndjson, "\n\r\n{}\n\n", []string{`"{}"`}},
	{"a byte order mark before lines", ndjson, "\xef\xbb\xbf{}\n", []string{`"{}"`}},
	{"a byte order mark alone", ndjson, "\xef\xbb\xbf", nil},
	{"data: means nothing there", ndjson, "data: 1\n", []string{`"data: 1"`}},
}

// What a stream says does not depend on how it comes: whole, byte by byte, cut
// at any place.
func TestSplitter(t *testing.T) {
	for _, test := range splitTests {
		if got := split(test.format, 100, test.in); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", test.name, got, test.want)
			continue
		}
		if got := split(test.format, 100, strings.Split(test.in, "")...); !slices.Equal(got, test.want) {
			t.Errorf("%s, byte by byte: %q; want %q", test.name, got, test.want)
		}
		for i := range test.in {
			if got := split(test.format, 100, test.in[:i], test.in[i:]); !slices.Equal(got, test.want) {
				t.Errorf("%s, cut at %d: %q; want %q", test.name, i, got, test.want)
			}
		}
	}
}

// An event may be max bytes long, however it is framed.
func TestSplitterLimit(t *testing.T) {
	const max = 50
	below, at, above := strings.Repeat("x", max-1), strings.Repeat("x", max), strings.Repeat("x", max+1)
	for _, test := range []struct {
		name   string
		format format
		in     string
		want   []string
	}{
		{"below", sse, "data: " + below + "\n\n", []string{fmt.Sprintf("%q", below)}},
		{"at", sse, "data: " + at + "\n\n", []string{fmt.Sprintf("%q", at)}},
		{"above", sse, "data: " + above + "\n\n", nil},
		{"at, with all framing there is", sse, "\xef\xbb\xbfdata: " + at + "\r\n\r\n", []string{fmt.Sprintf("%q", at)}},
		{"at, with a field behind it", sse, "data: " + at + "\nevent: something long\nid: 12345678\n\n", []string{fmt.Sprintf("%q", at)}},
		{"at, as a sum", sse, "data: " + at[:20] + "\ndata: " + at[:29] + "\n\n", []string{fmt.Sprintf("%q", at[:20]+"\n"+at[:29])}},
		{"above, as a sum", sse, "data: " + at[:20] + "\ndata: " + at[:30] + "\n\n", nil},
		{"above, by empty lines", sse, strings.Repeat("data\n", max+2), nil},
		{"a line without end", sse, strings.Repeat("x", 20*max), nil},
		{"an event without end", sse, strings.Repeat("data: x\n", 20*max), nil},
		{"a comment without end", sse, ":" + strings.Repeat("x", 20*max) + "\n", nil},
		{"below", ndjson, below + "\n", []string{fmt.Sprintf("%q", below)}},
		{"at", ndjson, at + "\n", []string{fmt.Sprintf("%q", at)}},
		{"at, with all framing there is", ndjson, "\xef\xbb\xbf" + at + "\r\n", []string{fmt.Sprintf("%q", at)}},
		{"above", ndjson, above + "\n", nil},
		{"a line without end", ndjson, strings.Repeat("x", 20*max), nil},
	} {
		want := test.want
		if want == nil {
			want = []string{errLongEvent.Error()}
		}
		for _, parts := range [][]string{{test.in}, strings.Split(test.in, "")} {
			if got := split(test.format, max, parts...); !slices.Equal(got, want) {
				t.Errorf("%s, %d parts: %q; want %q", test.name, len(parts), got, want)
			}
		}
	}
}

// An error of whoever takes the items ends the feeding.
func TestSplitterStops(t *testing.T) {
	s := splitter{format: ndjson, max: 10}
	stop, calls := errors.New("stop"), 0
	err := s.feed([]byte("1\n2\n3\n"), func(item) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("feed gave %v after %d calls; want %v after 1", err, calls, stop)
	}
}

func TestFormatOf(t *testing.T) {
	for _, test := range []struct {
		contentType string
		want        format
	}{
		{"", whole},
		{"text/plain", whole},
		{"text/event-stream", sse},
		{"text/event-stream; charset=utf-8", sse},
		{" Text/Event-Stream ;x", sse},
		{"text/event-streams", whole},
		{"application/x-ndjson", ndjson},
		{"application/X-NDJSON;charset=UTF-8", ndjson},
		{"application/json", whole},
	} {
		if got := formatOf(fastcgi.Header{{Name: "content-type", Value: test.contentType}}); got != test.want {
			t.Errorf("formatOf(%q) = %d; want %d", test.contentType, got, test.want)
		}
	}
}

// FuzzSplitter: how a stream is cut never changes what it says, and no more is
// kept than a line and an event.
func FuzzSplitter(f *testing.F) {
	for _, test := range splitTests {
		f.Add(test.format == sse, uint8(100), []byte(test.in), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, isSSE bool, max uint8, in, cuts []byte) {
		kind := ndjson
		if isSSE {
			kind = sse
		}
		want := split(kind, int(max), string(in))
		var parts []string
		rest := in
		for _, cut := range cuts {
			n := min(int(cut), len(rest))
			parts, rest = append(parts, string(rest[:n])), rest[n:]
		}
		parts = append(parts, string(rest))
		if got := split(kind, int(max), parts...); !slices.Equal(got, want) {
			t.Errorf("%q cut as %q: %q; whole: %q", in, parts, got, want)
		}
		if got := split(kind, int(max), strings.Split(string(bytes.Clone(in)), "")...); len(in) < 1000 && isASCII(in) && !slices.Equal(got, want) {
			t.Errorf("%q byte by byte: %q; whole: %q", in, got, want)
		}
	})
}

func isASCII(b []byte) bool { return !bytes.ContainsFunc(b, func(r rune) bool { return r > 0x7f }) }
