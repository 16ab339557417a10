package fastcgi

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEcho(t *testing.T) {
	for _, test := range []struct {
		name string
		opts Options
		size int
	}{
		{"without keep-alive", Options{}, 5},
		{"with keep-alive", Options{KeepAlive: time.Second}, 5},
		{"an empty body", Options{KeepAlive: time.Second}, 0},
		{"a body of two records", Options{}, maxContent + 1},
		{"a body of exactly one record", Options{}, maxContent},
		{"a large body", Options{KeepAlive: time.Second}, 900_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t}
				c := p.client(test.opts)
				want := strings.Repeat("x", test.size)
				for range 3 {
					got, err := post(c, want)
					if got != want || err != nil {
						t.Fatalf("%d bytes, %v; want %d", len(got), err, test.size)
					}
				}
				if s := c.Stats(); s.Completed != 3 || s.Requests != 3 {
					t.Errorf("stats %+v", s)
				}
				closeNow(c)
			})
		})
	}
}

func TestWhatPHPIsSent(t *testing.T) {
	for _, test := range []struct {
		name   string
		req    Request
		opts   Options
		params map[string]string
		keep   bool
	}{
		{"a message is a POST with its length", Request{Body: []byte("four")}, Options{KeepAlive: time.Second},
			map[string]string{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4"}, true},
		{"an empty message has length 0", Request{}, Options{KeepAlive: time.Second},
			map[string]string{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0"}, true},
		{"a GET carries no body", Request{Get: true, Body: []byte("ignored")}, Options{KeepAlive: time.Second},
			map[string]string{"REQUEST_METHOD": "GET", "CONTENT_LENGTH": "0"}, true},
		{"blocks come in order, and the last of a name counts", Request{Params: []Params{params(t, "WS_A", "1"), params(t, "WS_B", "2")}}, Options{},
			map[string]string{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0", "WS_A": "1", "WS_B": "2"}, false},
		{"a body at the limit keeps its connection", Request{Body: make([]byte, 8192)}, Options{KeepAlive: time.Second},
			map[string]string{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "8192"}, true},
		{"a body over the limit does not", Request{Body: make([]byte, 8193)}, Options{KeepAlive: time.Second},
			map[string]string{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "8193"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got call
				p := &server{t: t, serve: func(_ int, s *session) {
					s.php(func(_ int, c call) []byte { got = c; return echo(c) })
				}}
				c := p.client(test.opts)
				r, err := perform(c, t.Context(), &test.req)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(got.params) != fmt.Sprint(test.params) || got.keep != test.keep {
					t.Errorf("params %v, keep %t; want %v, %t", got.params, got.keep, test.params, test.keep)
				}
				closeNow(c)
			})
		})
	}
}

// TestReplies has servers that are odd, broken or hostile.
func TestReplies(t *testing.T) {
	const head = "Content-type: text/plain\r\n\r\n"
	out := func(s string) []byte { return rec(typeStdout, 1, s) }
	end := endRecord(1, 0)
	join := func(parts ...[]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	badVersion := join(out(head), end)
	badVersion[0] = 0
	for _, test := range []struct {
		name string
		wire []byte
		body string
		fail string
	}{
		{"a reply with the empty STDOUT at its end", join(out(head+"hi"), out(""), end), "hi", "none"},
		{"an empty STDOUT in the middle", join(out(head+"h"), out(""), out("i"), end), "hi", "none"},
		{"padding of 255 bytes", join(padded(typeStdout, 1, head+"hi", 255), padded(typeStderr, 1, "e", 255), padded(typeEnd, 1, string(make([]byte, 8)), 255)), "hi", "none"},
		{"STDERR before, between and after", join(rec(typeStderr, 1, "a"), out(head+"h"), rec(typeStderr, 1, "b"), out("i"), rec(typeStderr, 1, "c"), end), "hi", "none"},
		{"a head split over records", join(out("Content-"), out("type: a/b\r"), out("\n\r"), out("\nhi"), end), "hi", "none"},
		{"END without STDOUT", end, "", "executed, bad reply"},
		{"a head without its end", join(out("Status: 200 OK\r\n"), end), "", "executed, bad reply"},
		{"a malformed Status", join(out("Status: abc\r\n\r\nhi"), end), "", "executed, bad reply"},
		{"a head over 16 KiB", join(out("X: "+strings.Repeat("x", 20_000)+"\r\n\r\n"), end), "", "executed, bad reply"},
		{"a head of 101 lines", join(out(strings.Repeat("X: y\r\n", 101)+"\r\n"), end), "", "executed, bad reply"},
		{"the id of nobody", rec(typeStdout, 2, head), "", "unknown, protocol"},
		{"id 0 for a reply", rec(typeStdout, 0, head), "", "unknown, protocol"},
		{"version 0", badVersion, "", "unknown, protocol"},
		{"HTTP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "", "unknown, protocol"},
		{"a record no server sends", rec(typeParams, 1, "x"), "", "unknown, protocol"},
		{"a record type that does not exist", rec(12, 1, "x"), "", "unknown, protocol"},
		{"END of 7 bytes", rec(typeEnd, 1, "1234567"), "", "unknown, protocol"},
		{"END with protocol status 4", endRecord(1, 4), "", "unknown, protocol"},
		{"END with UNKNOWN_ROLE", endRecord(1, statusRole), "", "not executed, protocol"},
		{"UNKNOWN_ROLE after output", join(out("X"), endRecord(1, statusRole)), "", "unknown, protocol"},
		{"a management record with an id", rec(typeResult, 1, ""), "", "unknown, protocol"},
		{"answer to a question that was not asked", resultRecord("0"), "", "unknown, protocol"},
		{"EOF at once", nil, "", "unknown, closed"},
		{"EOF at a record's border", out(head + "hi"), "", "unknown, closed"},
		{"EOF in a record", out(head + "hi")[:20], "", "unknown, closed"},
		{"EOF in END", join(out(head+"hi"), end[:15]), "", "unknown, closed"},
	} {
		for _, step := range []int{1 << 20, 1} {
			t.Run(fmt.Sprintf("%s, %d bytes a write", test.name, step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &server{t: t, serve: func(_ int, s *session) {
						if _, err := s.request(); err != nil {
							return
						}
						for wire := test.wire; len(wire) > 0; {
							n := min(step, len(wire))
							if _, err := s.Write(wire[:n]); err != nil {
								return
							}
							wire = wire[n:]
						}
					}}
					c := p.client(Options{})
					got, err := post(c, "message")
					if got != test.body || failure(err) != test.fail {
						t.Errorf("%q, %v (%s); want %q, %s", got, err, failure(err), test.body, test.fail)
					}
					if n := len(p.ran()); n != 1 {
						t.Errorf("ran %d times", n)
					}
					closeNow(c)
				})
			})
		}
	}
}

// What follows END_REQUEST belongs to nobody: the reply stands, and the
// connection is not used again.
func TestDataAfterEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		tail []byte
	}{
		{"STDOUT", rec(typeStdout, 1, "stale")},
		{"a second END", endRecord(1, 0)},
		{"a second reply", whole(1, "", "stale")},
		{"half a header", []byte{1, 6, 0}},
	} {
		for _, late := range []bool{false, true} { // whether it comes before our write returns
			t.Run(fmt.Sprintf("%s, late %t", test.name, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &server{t: t}
					p.serve = func(_ int, s *session) {
						for {
							c, err := s.request()
							if err != nil {
								return
							}
							s.Write(echo(c))
							s.record()
							s.Write(append(resultRecord("0"), test.tail...))
						}
					}
					o := Options{KeepAlive: time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
						nc, err := p.dial(ctx)
						if late {
							nc = lateWrite{nc}
						}
						return nc, err
					}}
					c, err := New(o)
					if err != nil {
						t.Fatal(err)
					}
					for i := range 5 {
						want := fmt.Sprint("message ", i)
						if got, err := post(c, want); got != want || err != nil {
							t.Errorf("%q, %v; want %q", got, err, want)
						}
						time.Sleep(100 * time.Millisecond)
					}
					if dials, _, _ := p.count(); dials != 5 {
						t.Errorf("%d connections for 5 requests", dials)
					}
					closeNow(c)
				})
			})
		}
	}
}

func TestStderr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			s.php(func(_ int, c call) []byte {
				return append(rec(typeStderr, 1, strings.Repeat("e", 8192)+"over"), echo(c)...)
			})
		}}
		c := p.client(Options{})
		r, err := perform(c, t.Context(), &Request{})
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(r)
		if text, dropped := r.Stderr(); len(text) != 8192 || dropped != 4 {
			t.Errorf("kept %d, dropped %d; want 8192, 4", len(text), dropped)
		}
		if s := c.Stats(); s.StderrDropped != 4 {
			t.Errorf("stats: %d bytes dropped", s.StderrDropped)
		}
		closeNow(c)
	})
}

func TestAppendBodyLimit(t *testing.T) {
	for _, test := range []struct {
		name string
		size int
		fail string
	}{
		{"below", 99_999, "none"},
		{"at", 100_000, "none"},
		{"above", 100_001, "executed, too big"},
		{"far above, in many records", 1_000_000, "executed, too big"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: func(_ int, s *session) {
					s.php(func(n int, c call) []byte {
						return whole(1, "", strings.Repeat("b", test.size))
					})
				}}
				c := p.client(Options{KeepAlive: time.Second})
				r, err := perform(c, t.Context(), &Request{})
				if err != nil {
					t.Fatal(err)
				}
				b, err := r.AppendBody([]byte("frame:"), 100_000)
				if failure(err) != test.fail {
					t.Fatalf("%s; want %s", failure(err), test.fail)
				}
				if err == nil && len(b) != test.size+6 || err != nil && string(b) != "frame:" {
					t.Errorf("%d bytes", len(b))
				}
				// The rest is discarded, and the connection good for another.
				time.Sleep(200 * time.Millisecond)
				if s := c.Stats(); s.Idle != 1 || s.Open != 1 {
					t.Errorf("idle %d, open %d; want 1, 1", s.Idle, s.Open)
				}
				closeNow(c)
			})
		})
	}
}

// Every call of Do ends in exactly one counter.
func TestTooBigAfterTheEndIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t}
		c := p.client(Options{})
		r, err := perform(c, t.Context(), &Request{Body: []byte("four")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := r.AppendBody(nil, 3); failure(err) != "executed, too big" {
			t.Errorf("%s", failure(err))
		}
		r.Close()
		s := c.Stats()
		if s.Completed+s.GivenUp+s.NotExecuted+s.Unknown+s.Executed != s.Requests || s.TooBig != 1 {
			t.Errorf("stats %+v", s)
		}
		closeNow(c)
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			s.request()
			io.Copy(io.Discard, s) // hung
		}}
		c := p.client(Options{MaxConns: 1, Timeout: 30 * time.Second, QueueTimeout: 100 * time.Second})
		start := time.Now()
		_, err := post(c, "one")
		if failure(err) != "unknown, timeout" || time.Since(start) != 30*time.Second {
			t.Errorf("%s after %v", failure(err), time.Since(start))
		}
		// The connection lingers for 30 s, and its slot rests for 30 s more.
		_, err = post(c, "two")
		if failure(err) != "unknown, timeout" || time.Since(start) != 120*time.Second {
			t.Errorf("%s after %v", failure(err), time.Since(start))
		}
		if s := c.Stats(); s.Abandoned != 1 || s.Timeouts != 2 || s.Unknown != 2 {
			t.Errorf("stats %+v", s)
		}
		closeNow(c)
	})
}

func TestLateReplyAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			s.php(func(n int, c call) []byte {
				if string(c.body) == "slow" {
					time.Sleep(40 * time.Second)
				}
				return echo(c)
			})
		}}
		c := p.client(Options{MaxConns: 1, KeepAlive: time.Second, QueueTimeout: 20 * time.Second})
		if _, err := post(c, "slow"); failure(err) != "unknown, timeout" {
			t.Errorf("%s", failure(err))
		}
		// Its answer is discarded at 40 s, and never reaches the next one.
		if got, err := post(c, "next"); got != "next" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if dials, _, _ := p.count(); dials != 1 {
			t.Errorf("%d connections, want 1", dials)
		}
		closeNow(c)
	})
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			s.php(func(n int, c call) []byte { time.Sleep(5 * time.Second); return echo(c) })
		}}
		c := p.client(Options{MaxConns: 1, KeepAlive: time.Second})
		do := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := perform(c, ctx, &Request{})
			return err
		}
		if err := do(0); failure(err) != "not executed, canceled" {
			t.Errorf("before: %s", failure(err))
		}
		if err := do(time.Second); failure(err) != "unknown, canceled" {
			t.Errorf("after sending: %s", failure(err))
		}
		if err := do(time.Second); failure(err) != "not executed, canceled" {
			t.Errorf("in the queue: %s", failure(err))
		}
		time.Sleep(4 * time.Second) // the first has ended, and is discarded
		if s := c.Stats(); s.Idle != 1 {
			t.Errorf("idle %d, want 1", s.Idle)
		}
		closeNow(c)
	})
}

// Each failure that another attempt may mend counts, but for kept connections
// found dead: there may be as many of them as connections.
func TestTries(t *testing.T) {
	again, stale, final := &Error{again: true}, &Error{again: true, stale: true}, &Error{}
	for _, test := range []struct {
		name     string
		failures []*Error
		want     bool // of the last
	}{
		{"one that nothing mends", []*Error{final}, false},
		{"the first", []*Error{again}, true},
		{"the second", []*Error{again, again}, true},
		{"the third", []*Error{again, again, again}, false},
		{"as many dead connections as there are", []*Error{stale, stale, stale, stale}, true},
		{"and one more, as another failure", []*Error{stale, stale, stale, stale, stale}, true},
		{"and two more", []*Error{stale, stale, stale, stale, stale, stale}, true},
		{"and three more", []*Error{stale, stale, stale, stale, stale, stale, stale}, false},
		{"dead ones in between", []*Error{again, stale, stale, again, stale}, true},
		{"and the third failure", []*Error{again, stale, stale, again, stale, again}, false},
		{"one that nothing mends behind a dead one", []*Error{stale, final}, false},
	} {
		var tr tries
		var got bool
		for _, err := range test.failures {
			got = tr.another(err, 4)
		}
		if got != test.want {
			t.Errorf("%s: another attempt %t, want %t", test.name, got, test.want)
		}
	}
}
