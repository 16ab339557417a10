package fastcgi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A diary notes what a receiver is told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) Received(r *Response, err error) {
	line := "head"
	switch {
	case err != nil:
		line = failure(err)
	case r.Whole():
		line = "whole " + string(r.Body())
		if all := r.RoomAndBody(); len(all) != BodyRoom+len(r.Body()) || string(all[BodyRoom:]) != string(r.Body()) {
			line += ", and another behind the room"
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) read() string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

func TestWhatAReceiverIsTold(t *testing.T) {
	const head = "Content-type: text/plain\r\n\r\n"
	for _, test := range []struct {
		name  string
		reply func(s *session, c call)
		want  string
	}{
		{"a reply that comes at once: once", func(s *session, c call) {
			s.Write(whole(c.id, "", "all"))
		}, "whole all"},
		{"one in two parts: of its head first", func(s *session, c call) {
			s.Write(rec(typeStdout, c.id, head+"a"))
			time.Sleep(time.Second)
			s.Write(rec(typeStdout, c.id, "b"))
			time.Sleep(time.Second)
			s.Write(append(rec(typeStdout, c.id, "c"), endRecord(c.id, 0)...))
		}, "head, whole abc"},
		{"a head in two parts: nothing before it is complete", func(s *session, c call) {
			s.Write(rec(typeStdout, c.id, head[:10]))
			time.Sleep(time.Second)
			s.Write(append(rec(typeStdout, c.id, head[10:]+"x"), endRecord(c.id, 0)...))
		}, "whole x"},
		{"a body at the limit", func(s *session, c call) {
			s.Write(whole(c.id, "", "12345678"))
		}, "whole 12345678"},
		{"a body over the limit", func(s *session, c call) {
			s.Write(whole(c.id, "", "123456789"))
		}, "head, executed, too big"},
		{"a body that passes the limit with the head", func(s *session, c call) {
			s.Write(rec(typeStdout, c.id, head+"123456789"))
		}, "head, executed, too big"},
		{"a body that passes the limit later", func(s *session, c call) {
			s.Write(rec(typeStdout, c.id, head+"1234567"))
			time.Sleep(time.Second)
			s.Write(rec(typeStdout, c.id, "89"))
		}, "head, executed, too big"},
		{"a reply without a head", func(s *session, c call) {
			s.Write(append(rec(typeStdout, c.id, "no colon"), endRecord(c.id, 0)...))
		}, "executed, bad reply"},
		{"a reply that breaks off", func(s *session, c call) {
			s.Write(rec(typeStdout, c.id, head+"a"))
			time.Sleep(time.Second)
			s.Close()
		}, "head, unknown, closed"},
		{"a reply that does not come", func(s *session, c call) {
			time.Sleep(31 * time.Second)
		}, "unknown, timeout"},
		{"a reply that comes too late", func(s *session, c call) {
			time.Sleep(31 * time.Second)
			s.Write(whole(c.id, "", "late"))
		}, "unknown, timeout"},
		{"one that ends too late", func(s *session, c call) {
			s.Write(rec(typeStdout, c.id, head+"a"))
			time.Sleep(31 * time.Second)
			s.Write(endRecord(c.id, 0))
		}, "head, unknown, timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: func(_ int, s *session) {
					if c, err := s.request(); err == nil {
						test.reply(s, c)
						s.record()
					}
				}}
				c := p.client(Options{KeepAlive: time.Second})
				d := new(diary)
				if !c.Start(t.Context(), &Request{Body: []byte("x")}, 8, d) {
					t.Fatal("not started")
				}
				time.Sleep(40 * time.Second)
				if got := d.read(); got != test.want {
					t.Errorf("told: %s, want: %s", got, test.want)
				}
				s := c.Stats()
				if sum := s.Completed + s.GivenUp + s.NotExecuted + s.Unknown + s.Executed; s.Requests != 1 || sum != 1 {
					t.Errorf("%d requests, %d outcomes, want one of each", s.Requests, sum)
				}
				closeNow(c)
				if got := d.read(); got != test.want {
					t.Errorf("told in the end: %s, want: %s", got, test.want)
				}
			})
		})
	}
}

// A started request is the line's like any other: it waits for its turn, not
// for more than its time, and whoever closes the client waits for it.
func TestStartedRequestsWaitInLine(t *testing.T) {
	for _, test := range []struct {
		name  string
		busy  time.Duration // how long the one worker works on each
		end   func(c *Client, cancel func())
		want  [3]string // of the first and two that wait
		after time.Duration
	}{
		{"and are served one after the other", time.Second, nil, [3]string{"whole 0", "whole 1", "whole 2"}, 4 * time.Second},
		{"up to QueueTimeout", 4 * time.Second, nil, [3]string{"whole 0", "whole 1", "not executed, busy"}, 9 * time.Second},
		{"until their context ends", time.Second, func(c *Client, cancel func()) { cancel() },
			[3]string{"unknown, canceled", "not executed, canceled", "not executed, canceled"}, 0},
		{"while the client closes", time.Second, func(c *Client, _ func()) { c.Close(context.Background()) },
			[3]string{"whole 0", "whole 1", "whole 2"}, 0},
		{"until it is killed", time.Second, func(c *Client, _ func()) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			c.Close(ctx)
		}, [3]string{"unknown, closed", "not executed, closed", "not executed, closed"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: slow(test.busy)}
				c := p.client(Options{MaxConns: 1, KeepAlive: 2 * time.Second})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var told [3]diary
				for i := range told {
					if !c.Start(ctx, &Request{Body: fmt.Append(nil, i)}, 8, &told[i]) {
						t.Fatal("not started")
					}
					synctest.Wait()
				}
				if n := c.Stats().Waiting; n != 2 {
					t.Errorf("%d wait, want 2", n)
				}
				if test.end != nil {
					test.end(c, cancel)
				}
				time.Sleep(test.after)
				for i := range told {
					if got := told[i].read(); got != test.want[i] {
						t.Errorf("%d was told: %s, want: %s", i, got, test.want[i])
					}
				}
				closeNow(c)
			})
		})
	}
}

// One that finds the queue full is told so at once. Who waits for something else
// than a connection keeps nobody from one that is ready.
func TestStartedRequestFindsTheQueueFull(t *testing.T) {
	for _, test := range []struct {
		name    string
		class   Class
		waiting int // messages, of as many as find room
		want    string
	}{
		{"one below", Message, 1, "whole x"},
		{"as many as find room", Message, 2, "not executed, busy"},
		{"and of another class", Disconnect, 2, "not executed, busy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: slow(time.Second)}
				c := p.client(Options{MaxConns: 1, Queue: 2})
				var others [3]diary
				for i := range 1 + test.waiting {
					c.Start(t.Context(), &Request{}, 8, &others[i])
				}
				synctest.Wait()
				var told diary
				if !c.Start(t.Context(), &Request{Class: test.class, Body: []byte("x")}, 8, &told) {
					t.Fatal("Do has to be called, which knows nothing better")
				}
				if got := told.read(); test.want == "not executed, busy" && got != test.want {
					t.Errorf("when Start returns: %s, want: %s", got, test.want)
				}
				time.Sleep(5 * time.Second)
				if got := told.read(); got != test.want {
					t.Errorf("told: %s, want: %s", got, test.want)
				}
				for i := range 1 + test.waiting {
					if got := others[i].read(); got != "whole " {
						t.Errorf("%d that was there before was told: %s", i, got)
					}
				}
				s := c.Stats()
				if full := uint64(strings.Count(test.want, "busy")); s.QueueFull != full || s.Requests != uint64(test.waiting)+2 {
					t.Errorf("%d of %d requests found the queue full, want %d of %d", s.QueueFull, s.Requests, full, test.waiting+2)
				}
				closeNow(c)
			})
		})
	}
	for _, open := range []int{0, 4} {
		t.Run(fmt.Sprintf("of those who may not be served, %d connections are open", open), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: slow(time.Second)}
				c := p.client(Options{MaxConns: 4, Queue: 1, KeepAlive: time.Minute}) // of which one is for disconnects
				for range open {
					c.Start(t.Context(), &Request{}, 8, new(diary))
				}
				time.Sleep(5 * time.Second)
				var disconnects [2]diary
				for i := range disconnects {
					c.Start(t.Context(), &Request{Class: Disconnect}, 8, &disconnects[i])
				}
				var told diary
				c.Start(t.Context(), &Request{Body: []byte("x")}, 8, &told)
				time.Sleep(5 * time.Second)
				if got := told.read(); got != "whole x" {
					t.Errorf("a message that can be served was told: %s", got)
				}
				closeNow(c)
			})
		})
	}
}

// Close waits until the receiver knows.
func TestCloseWaitsForWhomTheQueueHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: slow(time.Second)}
		c := p.client(Options{MaxConns: 1, Queue: 1})
		for range 2 {
			c.Start(t.Context(), &Request{}, 8, new(diary))
		}
		told := slowReceiver(time.Minute)
		go c.Start(t.Context(), &Request{}, 8, told)
		synctest.Wait()
		begun := time.Now()
		if err := c.Close(t.Context()); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("Close took %v, %v, want as long as the receiver", time.Since(begun), err)
		}
	})
}

// slowReceiver takes its time.
type slowReceiver time.Duration

func (d slowReceiver) Received(*Response, error) { time.Sleep(time.Duration(d)) }

// What waits for a server that is down fails after ConnectTimeout, as with Do.
func TestStartedRequestsFailWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t}
		p.setRefuse(errRefused)
		c := p.client(Options{MaxConns: 1})
		var told [3]diary
		for i := range told {
			c.Start(t.Context(), &Request{}, 8, &told[i])
		}
		time.Sleep(2500 * time.Millisecond)
		for i := range told {
			if got := told[i].read(); got != "not executed, connect" {
				t.Errorf("%d was told: %s", i, got)
			}
		}
		closeNow(c)
	})
}

// Until its memory serves another request, a reply is its receiver's: what
// comes late for the first must not reach the second.
func TestStartedRequestsDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			s.php(func(_ int, c call) []byte {
				if string(c.body) == "late " {
					time.Sleep(time.Second)
				}
				return whole(c.id, "", strings.Repeat(string(c.body), 100))
			})
		}}
		c := p.client(Options{MaxConns: 2, KeepAlive: time.Second, Timeout: 500 * time.Millisecond})
		late := new(diary)
		c.Start(t.Context(), &Request{Body: []byte("late ")}, 1000, late)
		synctest.Wait()
		for i := range 100 {
			d := new(diary)
			c.Start(t.Context(), &Request{Body: fmt.Append(nil, i, " ")}, 1000, d)
			time.Sleep(100 * time.Millisecond)
			if got, want := d.read(), "whole "+strings.Repeat(fmt.Sprint(i, " "), 100); got != want {
				t.Fatalf("message %d: %s", i, got)
			}
		}
		if got := late.read(); got != "unknown, timeout" {
			t.Errorf("the late one was told: %s", got)
		}
		closeNow(c)
	})
}

// A request that the server refuses before it runs is sent again, to the byte.
func TestStartedRequestIsSentAgain(t *testing.T) {
	for _, refusals := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			p := &server{t: t}
			p.serve = func(n int, s *session) {
				s.php(func(_ int, c call) []byte {
					if len(p.ran()) <= refusals {
						return endRecord(c.id, statusOverloaded)
					}
					return echo(c)
				})
			}
			c := p.client(Options{MaxConns: 1, KeepAlive: time.Second})
			d, body := new(diary), strings.Repeat("body ", 100)
			c.Start(t.Context(), &Request{Body: []byte(body)}, 1000, d)
			time.Sleep(time.Second)
			want := "whole " + body
			if refusals == maxAttempts {
				want = "not executed, busy"
			}
			if got := d.read(); got != want {
				t.Errorf("told: %s, want %s", got, want)
			}
			if ran := p.ran(); len(ran) != min(refusals+1, maxAttempts) || slices.ContainsFunc(ran, func(b string) bool { return b != body }) {
				t.Errorf("PHP was given %q", ran)
			}
			closeNow(c)
		})
	}
}
