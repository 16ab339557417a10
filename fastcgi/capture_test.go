package fastcgi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// capture is what a real php-fpm sent, which TestFastCGICaptures of the
// integration tests renews.
func capture(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	_, digits, _ := strings.Cut(string(text), "\n") // the first line says what it is
	return unhex(t, strings.ReplaceAll(digits, "\n", ""))
}

// captured says what each capture means.
var captured = []struct {
	name     string
	requests int // each with FCGI_GET_VALUES behind it
	status   int
	field    string // "Name: value" of one
	body     string
	stderr   string // in it
	results  int    // answers to FCGI_GET_VALUES
}{
	{"small", 1, 200, "Content-Type: text/plain; charset=utf-8", "hello", "", 1},
	{"empty", 1, 200, "Content-Type: text/plain; charset=utf-8", "", "", 1},
	{"big", 1, 200, "Content-Type: application/octet-stream", strings.Repeat("x", 70000), "", 1},
	{"flushes", 1, 200, "Content-Type: application/octet-stream", strings.Repeat("x", 900), "", 1},
	{"stderr", 1, 200, "Content-Type: text/html; charset=UTF-8", "output", "between", 1},
	{"fatal", 1, 500, "Content-Type: text/html; charset=UTF-8", "", "undefined_function", 1},
	{"fatal_after_flush", 1, 200, "Content-Type: text/html; charset=UTF-8", "partial", "undefined_function", 1},
	{"not_found", 1, 404, "Content-Type: text/html; charset=UTF-8", "File not found.\n", "Primary script unknown", 1},
	{"long_head", 1, 200, "X-Long: " + strings.Repeat("h", 9000), "body", "", 1},
	{"fields", 1, 404, "WS-Close: 4001 over", "body", "", 1},
	{"max_requests", 3, 200, "Content-Type: text/plain; charset=utf-8", "last", "", 2},
}

// replies reads a connection's bytes with the pure parts alone, in the pieces
// given, and writes down what each request got.
func replies(wire []byte, pieces func(rest int) int) (string, error) {
	m := new(mux)
	m.begin()
	m.ask()
	var out strings.Builder
	var body, stderr []byte
	var got head
	done := false
	reader := headReader{maxBytes: 16 << 10, maxLines: 100}
	for len(wire) > 0 {
		part := wire[:pieces(len(wire))]
		wire = wire[len(part):]
		for len(part) > 0 {
			ev, n, err := m.next(part)
			if err != nil {
				return out.String(), err
			}
			part = part[n:]
			switch ev.kind {
			case evStderr:
				stderr = append(stderr, ev.data...)
			case evStdout:
				data := ev.data
				if !done {
					if n, done, err = reader.feed(data); err != nil {
						return out.String(), err
					}
					data = data[n:]
					if done {
						if got, err = reader.parse(); err != nil {
							return out.String(), err
						}
					}
				}
				body = append(body, data...)
			case evEnd:
				fmt.Fprintf(&out, "%d %v %q %q status %d\n", got.status, got.fields, body, stderr, ev.status)
				body, stderr, done = nil, nil, false
				reader = headReader{maxBytes: 16 << 10, maxLines: 100}
			case evResult:
				fmt.Fprintf(&out, "shares %t, proves %t\n", ev.shares, ev.proves)
				m.begin()
				m.ask()
			}
		}
	}
	return out.String(), nil
}

// TestCapturesHoweverCut: the bytes of a real php-fpm mean the same whole, byte
// by byte, and cut at every index (at 500 of the long ones).
func TestCapturesHoweverCut(t *testing.T) {
	for _, test := range captured {
		t.Run(test.name, func(t *testing.T) {
			wire := capture(t, test.name)
			want, err := replies(wire, func(rest int) int { return rest })
			if err != nil {
				t.Fatal(err)
			}
			if ends, results := strings.Count(want, " status 0\n"), strings.Count(want, "shares false, proves true\n"); ends != test.requests || results != test.results {
				t.Errorf("%d ends and %d proofs, want %d and %d:\n%.500s", ends, results, test.requests, test.results, want)
			}
			if got, err := replies(wire, func(int) int { return 1 }); got != want || err != nil {
				t.Errorf("byte by byte: %v, %.500s\nwant %.500s", err, got, want)
			}
			step := 1 + len(wire)/500
			for i := 0; i <= len(wire); i += step {
				got, err := replies(wire, func(rest int) int {
					if rest == len(wire) && i > 0 {
						return i
					}
					return rest
				})
				if got != want || err != nil {
					t.Fatalf("cut at %d: %v, %.500s\nwant %.500s", i, err, got, want)
				}
			}
		})
	}
}

// TestCapturesThroughTheClient: what callers get of the bytes of a real
// php-fpm; cut short anywhere they are an error, and never a part that passes
// for a whole reply.
func TestCapturesThroughTheClient(t *testing.T) {
	for _, test := range captured {
		t.Run(test.name, func(t *testing.T) {
			wire := capture(t, test.name)
			synctest.Test(t, func(t *testing.T) {
				end := 0 // of the first request
				for typ := byte(0); typ != typeEnd; {
					typ = wire[end+1]
					end += headerLen + int(wire[end+4])<<8 + int(wire[end+5]) + int(wire[end+6])
				}
				first := end
				if test.results > 0 && len(wire) >= end+32 {
					first += 32 // the answer to FCGI_GET_VALUES, padded
				}
				for _, cut := range []int{first, end, end - 1, end - 8, end - 9, end - 16, 9, 8, 1, 0} {
					p := &server{t: t, serve: func(_ int, s *session) {
						if _, err := s.request(); err == nil {
							s.Write(wire[:cut])
						}
					}}
					c := p.client(Options{KeepAlive: time.Second})
					r, err := perform(c, context.Background(), &Request{})
					var body []byte
					if err == nil {
						body, err = r.AppendBody(nil, 1<<20)
					}
					if cut < end {
						if failure(err) != "unknown, closed" {
							t.Errorf("cut at %d of %d: %d bytes, %s", cut, len(wire), len(body), failure(err))
						}
						closeNow(c)
						continue
					}
					if err != nil {
						t.Fatalf("cut at %d: %v", cut, err)
					}
					text, _ := r.Stderr()
					name, value, _ := strings.Cut(test.field, ": ")
					if r.Status != test.status || r.Header.Get(name) != value || string(body) != test.body || !bytes.Contains(text, []byte(test.stderr)) {
						t.Errorf("%d %v, %d bytes, stderr %q", r.Status, r.Header, len(body), text)
					}
					closeNow(c)
				}
			})
		})
	}
}
