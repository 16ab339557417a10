package fastcgi

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"errors"
)

// slow answers each request after d.
func slow(d time.Duration) func(int, *session) {
	return func(_ int, s *session) {
		s.php(func(_ int, c call) []byte { time.Sleep(d); return echo(c) })
	}
}

// start sends a request and adds the outcome to results when it is there.
func start(wg *sync.WaitGroup, c *Client, class Class, name string, done func(name string, err error)) {
	wg.Go(func() {
		r, err := perform(c, context.Background(), &Request{Body: []byte(name), Class: class})
		if err == nil {
			_, err = r.AppendBody(nil, 1<<20)
		}
		done(name, err)
	})
	synctest.Wait() // so that they queue in this order
}

func TestOrderOfService(t *testing.T) {
	for _, test := range []struct {
		name  string
		queue []Class
		want  []string
	}{
		{"first come, first served", []Class{Message, Message, Message}, []string{"0 0", "1 0", "2 0"}},
		{"message before connect before disconnect", []Class{Disconnect, Connect, Message, Disconnect, Connect, Message},
			[]string{"2 0", "5 0", "1 1", "4 1", "0 2", "3 2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: slow(100 * time.Millisecond)}
				c := p.client(Options{MaxConns: 1, KeepAlive: time.Second, QueueTimeout: time.Minute})
				var wg sync.WaitGroup
				start(&wg, c, Message, "first", func(string, error) {})
				for i, class := range test.queue {
					start(&wg, c, class, fmt.Sprint(i, " ", class), func(_ string, err error) {
						if err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if got := p.ran()[1:]; !slices.Equal(got, test.want) {
					t.Errorf("ran %q, want %q", got, test.want)
				}
				closeNow(c)
			})
		})
	}
}

// A connect request waits for all messages, but not for ever.
func TestAgedConnectOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: slow(100 * time.Millisecond)}
		c := p.client(Options{MaxConns: 1, KeepAlive: time.Second, QueueTimeout: 2 * time.Second})
		var wg sync.WaitGroup
		none := func(string, error) {}
		start(&wg, c, Message, "m", none)
		start(&wg, c, Connect, "connect", none)
		for range 25 { // a message more than can be served, always
			start(&wg, c, Message, "m", none)
			time.Sleep(80 * time.Millisecond)
		}
		wg.Wait()
		at := slices.Index(p.ran(), "connect")
		if at < 6 || at > 11 {
			t.Errorf("served as number %d, want at about the tenth, after half of QueueTimeout", at)
		}
		closeNow(c)
	})
}

func TestDisconnectHoldsAQuarter(t *testing.T) {
	for _, test := range []struct{ maxConns, want int }{{1, 1}, {4, 1}, {8, 2}} {
		synctest.Test(t, func(t *testing.T) {
			p := &server{t: t, serve: slow(100 * time.Millisecond)}
			c := p.client(Options{MaxConns: test.maxConns, QueueTimeout: time.Minute})
			var wg sync.WaitGroup
			for range 10 {
				start(&wg, c, Disconnect, "d", func(_ string, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if _, _, most := p.count(); most != test.want {
				t.Errorf("of %d connections %d, want %d", test.maxConns, most, test.want)
			}
			closeNow(c)
		})
	}
}

func TestQueueLimit(t *testing.T) {
	for _, test := range []struct {
		name    string
		waiting int
		fail    string
	}{
		{"below", 9, "none"},
		{"at", 10, "none"},
		{"above", 11, "not executed, busy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: slow(10 * time.Millisecond)}
				c := p.client(Options{MaxConns: 1, Queue: 10})
				var wg sync.WaitGroup
				results := make([]error, 1+test.waiting)
				for i := range results {
					start(&wg, c, Message, "x", func(_ string, err error) { results[i] = err })
				}
				wg.Wait()
				if got := failure(results[test.waiting]); got != test.fail {
					t.Errorf("the last one: %s, want %s", got, test.fail)
				}
				if s := c.Stats(); s.QueueFull != uint64(max(0, test.waiting-10)) {
					t.Errorf("%d refused", s.QueueFull)
				}
				closeNow(c)
			})
		})
	}
}

func TestQueueTimeout(t *testing.T) {
	for _, test := range []struct {
		name string
		busy time.Duration
		fail string
	}{
		{"below", 4999 * time.Millisecond, "none"},
		{"above", 5001 * time.Millisecond, "not executed, busy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: slow(test.busy)}
				c := p.client(Options{MaxConns: 1})
				var wg sync.WaitGroup
				start(&wg, c, Message, "holds", func(string, error) {})
				var got error
				var took time.Duration
				began := time.Now()
				start(&wg, c, Message, "waits", func(_ string, err error) { got, took = err, time.Since(began) })
				wg.Wait()
				if failure(got) != test.fail || test.fail != "none" && took != 5*time.Second {
					t.Errorf("%s after %v, want %s", failure(got), took, test.fail)
				}
				closeNow(c)
			})
		})
	}
}

// Fifty messages over two connections, each good for three requests: a pool
// that dialled while its own idle connections held all workers would stop here.
func TestNoDeadlockWithTwoWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		workers := make(chan struct{}, 2)
		p := &server{t: t, serve: func(_ int, s *session) {
			workers <- struct{}{}
			defer func() { <-workers }()
			n := 0
			s.php(func(_ int, c call) []byte {
				time.Sleep(time.Millisecond)
				if n++; n == 3 {
					s.Write(echo(c))
					s.Close()
				}
				return echo(c)
			})
		}}
		c := p.client(Options{MaxConns: 2, KeepAlive: time.Second})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				want := fmt.Sprint(i)
				if got, err := post(c, want); got != want || err != nil {
					t.Errorf("%q, %v; want %q", got, err, want)
				}
			})
		}
		wg.Wait()
		if _, _, most := p.count(); most > 2 {
			t.Errorf("%d connections at once, over 2", most)
		}
		ran := p.ran()
		slices.Sort(ran)
		if len(slices.Compact(ran)) != 50 || len(p.ran()) != 50 {
			t.Errorf("ran %d, want each of 50 once", len(p.ran()))
		}
		closeNow(c)
	})
}

func TestServerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t}
		c := p.client(Options{})
		p.setRefuse(errRefused)
		var wg sync.WaitGroup
		var mu sync.Mutex
		worst := time.Duration(0)
		began := time.Now()
		for range 100 {
			for range 20 {
				wg.Go(func() {
					t0 := time.Now()
					_, err := post(c, "x")
					mu.Lock()
					worst = max(worst, time.Since(t0))
					mu.Unlock()
					if failure(err) != "not executed, connect" {
						t.Errorf("%s: %v", failure(err), err)
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		if worst > time.Second {
			t.Errorf("a request failed only after %v", worst)
		}
		dials, _, _ := p.count()
		if rate := float64(dials) / time.Since(began).Seconds(); rate > 20 {
			t.Errorf("%.1f connects a second", rate)
		}
		p.setRefuse(nil)
		began = time.Now()
		if _, err := post(c, "back"); err != nil || time.Since(began) > time.Second {
			t.Errorf("after its return: %v, %v", err, time.Since(began))
		}
		if s := c.Stats(); s.Requests != s.Completed+s.NotExecuted || s.DialErrors == 0 {
			t.Errorf("stats %+v", s)
		}
		closeNow(c)
	})
}

func TestConnectErrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		opts  Options
		clear time.Duration // when connecting works again; zero: never
		fail  string
		after [2]time.Duration
	}{
		{"backlog full for a while", syscall.EAGAIN, Options{}, 3 * time.Second, "none", [2]time.Duration{3 * time.Second, 3100 * time.Millisecond}},
		{"backlog full for too long", syscall.EAGAIN, Options{}, 0, "not executed, busy", [2]time.Duration{4900 * time.Millisecond, 5100 * time.Millisecond}},
		{"restarted", syscall.ENOENT, Options{}, 700 * time.Millisecond, "none", [2]time.Duration{700 * time.Millisecond, time.Second}},
		{"no permission", syscall.EACCES, Options{}, 0, "not executed, connect", [2]time.Duration{}},
		{"path too long", syscall.EINVAL, Options{}, 0, "not executed, connect", [2]time.Duration{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t}
				c := p.client(test.opts)
				p.setRefuse(test.err)
				if test.clear > 0 {
					time.AfterFunc(test.clear, func() { p.setRefuse(nil) })
				}
				began := time.Now()
				_, err := post(c, "x")
				took := time.Since(began)
				if failure(err) != test.fail || took < test.after[0] || took > test.after[1] {
					t.Errorf("%v after %v; want %s within %v", err, took, test.fail, test.after)
				}
				if err != nil && !errors.Is(err, test.err) {
					t.Errorf("%v does not wrap %v", err, test.err)
				}
				closeNow(c)
			})
		})
	}
}

func TestRetries(t *testing.T) {
	// refuse ends the first n requests with status.
	refuse := func(n int, status uint8, before []byte) func(int, *session) {
		left := n
		var mu sync.Mutex
		return func(_ int, s *session) {
			s.php(func(_ int, c call) []byte {
				mu.Lock()
				defer mu.Unlock()
				if left > 0 {
					left--
					return append(before, endRecord(1, status)...)
				}
				return echo(c)
			})
		}
	}
	for _, test := range []struct {
		name    string
		serve   func(int, *session)
		fail    string
		sent    int
		retries uint64
	}{
		{"CANT_MPX_CONN is tried again", refuse(1, statusCantMpx, nil), "none", 2, 1},
		{"OVERLOADED is tried again", refuse(2, statusOverloaded, nil), "none", 3, 2},
		{"OVERLOADED three times", refuse(3, statusOverloaded, nil), "not executed, busy", 3, 2},
		{"OVERLOADED after output is not", refuse(1, statusOverloaded, rec(typeStdout, 1, "A: b")), "unknown, busy", 1, 0},
		{"a connection that breaks is not", func(_ int, s *session) { s.request() }, "unknown, closed", 1, 0},
		{"a connection that breaks after output is not", func(_ int, s *session) { s.request(); s.Write(rec(typeStdout, 1, "A: b\n\nhi")) }, "unknown, closed", 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: test.serve}
				c := p.client(Options{KeepAlive: time.Second})
				_, err := post(c, "x")
				if failure(err) != test.fail || len(p.ran()) != test.sent {
					t.Errorf("%s, sent %d times; want %s, %d", failure(err), len(p.ran()), test.fail, test.sent)
				}
				if s := c.Stats(); s.Retries != test.retries {
					t.Errorf("%d retries, want %d", s.Retries, test.retries)
				}
				closeNow(c)
			})
		})
	}
}

// A server that takes nothing and closes has not run the request; one that
// took a part of the parameters has not either, but is not tried again.
func TestPartialWrites(t *testing.T) {
	for _, test := range []struct {
		name  string
		take  int
		fail  string
		dials int
	}{
		{"nothing", 0, "not executed, closed", 3},
		{"one byte", 1, "not executed, closed", 1},
		{"all but one byte of the parameters", -1, "not executed, closed", 1},
		{"the parameters", 0, "unknown, closed", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				commit := len(appendBegin(nil, 1, false)) + 2*headerLen + len("xxREQUEST_METHODPOST"+"xxCONTENT_LENGTH1")
				take := test.take
				if test.name == "the parameters" || take < 0 {
					take += commit
				}
				p := &server{t: t, unbuffered: true, serve: func(_ int, s *session) {
					s.Conn.Read(make([]byte, take))
				}}
				c := p.client(Options{})
				_, err := post(c, "x")
				dials, _, _ := p.count()
				if failure(err) != test.fail || dials != test.dials {
					t.Errorf("%v (%s), %d connections; want %s, %d", err, failure(err), dials, test.fail, test.dials)
				}
				closeNow(c)
			})
		})
	}
}

// TestGoneIsNotListed: of two changes of a connection the pool may hear of the
// second, its end, first.
func TestGoneIsNotListed(t *testing.T) {
	c, err := New(Options{Dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }, MaxConns: 1, KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer b.Close()
	cn := c.newConn(a)
	c.work.Add(1)
	c.pool.slots, c.pool.conns = 1, []*conn{cn}
	cn.kill()
	c.changed(cn, todo{freed: 1})
	if s := c.Stats(); s.Open != 0 || s.Idle != 0 || s.InUse != 0 {
		t.Errorf("%d open, %d idle, %d in use; want none", s.Open, s.Idle, s.InUse)
	}
}
