package stub

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// ask is a request to echo body.
func ask(keep bool, body string) []byte {
	params := Param(nil, "SCRIPT_FILENAME", "/a.php")
	params = Param(params, "HTTP_COOKIE", strings.Repeat("c", 300))
	params = ContentLength(params, len(body))
	return Request(nil, 1, keep, params, []byte(body))
}

// answered decodes what the stub sent: the body, and END_REQUEST or a RESULT as
// a word.
func answered(t *testing.T, out []byte) (body, ends string) {
	t.Helper()
	for len(out) > 0 {
		length := int(out[4])<<8 | int(out[5])
		content := string(out[8:][:length])
		switch out[1] {
		case typeStdout:
			body += content
		case typeEnd:
			ends += " end"
		case typeGetValuesResult:
			ends += " result " + content
		default:
			t.Fatalf("record of type %d", out[1])
		}
		out = out[8+length+int(out[6]):]
	}
	_, body, _ = strings.Cut(body, "\r\n\r\n")
	return body, strings.TrimSpace(ends)
}

func TestFeed(t *testing.T) {
	values := appendRecord(nil, typeGetValues, 0, Param(nil, "FCGI_MPXS_CONNS", ""))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	change := func(b []byte, at int, to byte) []byte {
		b[at] = to
		return b
	}
	long := strings.Repeat("0123456789", 20000)
	for _, test := range []struct {
		name            string
		wire            []byte
		body, ends, err string
	}{
		{"a request is echoed", ask(true, "hello"), "hello", "end", ""},
		{"a long one in several records", ask(true, long), long, "end", ""},
		{"an empty one", ask(false, ""), "", "end", ""},
		{"two, one after the other", join(ask(true, "a"), ask(true, "b")), "aX-Powered-By: PHP/8.2.0\r\nContent-type: text/html; charset=UTF-8\r\n\r\nb", "end end", ""},
		{"a question behind it", join(ask(true, "a"), values), "a", "end result \x0f\x01FCGI_MPXS_CONNS0", ""},
		{"another version", change(ask(true, "a"), 0, 2), "", "", "version 2"},
		{"another role", change(ask(true, "a"), 9, 2), "", "", "want a responder's"},
		{"a second request within one", join(ask(true, "a")[:16], ask(true, "b")), "", "", "record 1 in phase 1"},
		{"another request's record", change(ask(true, "a"), 19, 2), "", "", "of request 2 in request 1"},
		{"a body shorter than it says", Request(nil, 1, true, ContentLength(Param(nil, "SCRIPT_FILENAME", "/a"), 3), []byte("ab")), "", "", "2 bytes of STDIN for a CONTENT_LENGTH of 3"},
		{"no script", Request(nil, 1, true, ContentLength(nil, 2), []byte("ab")), "", "", "no SCRIPT_FILENAME"},
		{"a pair that is cut", Request(nil, 1, true, []byte("\x09"), nil), "", "", "is cut"},
	} {
		for _, step := range []int{len(test.wire), 1, 7} {
			if step == 1 && len(test.wire) > 10000 {
				continue // all of it again for every byte
			}
			r, carry, failed := &request{head: Head()}, []byte{}, ""
			for i := 0; i < len(test.wire) && failed == ""; i += step {
				carry = append(carry, test.wire[i:min(i+step, len(test.wire))]...)
				n, err := r.feed(carry)
				carry = carry[n:]
				failed = strings.TrimPrefix(fmt.Sprint(err), "<nil>")
			}
			if !strings.Contains(failed, test.err) || test.err == "" && failed != "" {
				t.Errorf("%s, %d at a time: error %q, want %q", test.name, step, failed, test.err)
			}
			if test.err != "" {
				continue
			}
			if body, ends := answered(t, r.out); body != test.body || ends != test.ends || len(carry) > 0 {
				t.Errorf("%s, %d at a time: %.100q, %q and %d bytes left; want %.100q, %q", test.name, step, body, ends, len(carry), test.body, test.ends)
			}
		}
	}
}

func TestFeedAllocatesNothing(t *testing.T) {
	r, wire := &request{head: Head()}, ask(true, strings.Repeat("x", 1024))
	if n := testing.AllocsPerRun(100, func() {
		r.out = r.out[:0]
		if _, err := r.feed(wire); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}
