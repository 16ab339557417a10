package fastcgi

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// several sends n requests, each pause after the last, and checks the answers.
func several(t *testing.T, c *Client, n int, pause time.Duration) {
	t.Helper()
	for i := range n {
		want := fmt.Sprint("message ", i)
		if got, err := post(c, want); got != want || err != nil {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
		time.Sleep(pause)
	}
}

func TestKeepAlive(t *testing.T) {
	// The connection outlives the first answer by 50 ms before it is trusted.
	const pause = 60 * time.Millisecond
	// closing answers GET_VALUES and closes, as PHP up to 8.1 does.
	closing := func(_ int, s *session) {
		c, err := s.request()
		if err != nil {
			return
		}
		s.Write(echo(c))
		if !c.keep {
			return
		}
		s.record()
		s.Write(resultRecord("0"))
	}
	// silent never answers, as AnyEvent::FCGI and, until the next record, libfcgi.
	silent := func(_ int, s *session) {
		for {
			c, err := s.request()
			if err != nil {
				return
			}
			s.Write(echo(c))
			if !c.keep {
				return
			}
		}
	}
	maxRequests := func(_ int, s *session) {
		n := 0
		s.php(func(_ int, c call) []byte {
			if n++; n == 5 {
				defer s.Close()
				s.Write(echo(c))
				return nil
			}
			return echo(c)
		})
	}
	early := func(_ int, s *session) { // Go's server answers GET_VALUES before END
		for {
			c, err := s.request()
			if err != nil {
				return
			}
			s.record()
			s.Write(append(resultRecord("1"), rec(typeResult, 0, "")...))
			s.Write(echo(c))
			if _, err := s.record(); err != nil {
				return
			}
			s.Write(append(resultRecord("1"), rec(typeResult, 0, "")...))
		}
	}
	unknown := func(_ int, s *session) {
		for {
			c, err := s.request()
			if err != nil {
				return
			}
			s.Write(echo(c))
			if !c.keep {
				return
			}
			s.record()
			s.Write(rec(typeUnknown, 0, "\x09\x00\x00\x00\x00\x00\x00\x00"))
		}
	}
	for _, test := range []struct {
		name   string
		serve  func(int, *session)
		opts   Options
		pause  time.Duration
		dials  int
		failed uint64
	}{
		{"one connection serves all", nil, Options{KeepAlive: time.Second}, pause, 1, 0},
		{"off: a connection each", nil, Options{}, pause, 20, 0},
		{"idle for too long", nil, Options{KeepAlive: time.Second}, 1100 * time.Millisecond, 20, 0},
		{"pm.max_requests = 5", maxRequests, Options{KeepAlive: time.Second}, pause, 4, 4},
		{"a server that closes behind the answer, learned from two", closing, Options{KeepAlive: time.Second}, pause, 20, 2},
		{"a server that never answers, learned from three", silent, Options{KeepAlive: time.Second}, 2 * time.Second, 20, 3},
		{"a server that does not know GET_VALUES, learned at once", unknown, Options{KeepAlive: time.Second}, pause, 20, 0},
		{"an answer before END is asked for again", early, Options{KeepAlive: time.Second}, pause, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: test.serve}
				c := p.client(test.opts)
				several(t, c, 20, test.pause)
				if dials, _, _ := p.count(); dials != test.dials {
					t.Errorf("%d connections, want %d", dials, test.dials)
				}
				if s := c.Stats(); s.ValidationsFailed != test.failed {
					t.Errorf("%d validations failed, want %d", s.ValidationsFailed, test.failed)
				}
				if n := len(p.ran()); n != 20 {
					t.Errorf("20 requests ran %d times", n)
				}
				closeNow(c)
			})
		})
	}
}

// A validation that is not answered in time teaches nothing about a server
// that has answered: fastcgi_finish_request lets PHP work on.
func TestBackgroundWorkTeachesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			for {
				c, err := s.request()
				if err != nil {
					return
				}
				s.Write(echo(c))
				if string(c.body) == "background" {
					time.Sleep(3 * time.Second)
				}
				if _, err := s.record(); err != nil {
					return
				}
				s.Write(resultRecord("0"))
			}
		}}
		c := p.client(Options{KeepAlive: time.Second})
		several(t, c, 1, time.Second/2)
		for range 5 {
			if got, err := post(c, "background"); got != "background" || err != nil {
				t.Fatal(got, err)
			}
			time.Sleep(4 * time.Second)
		}
		before, _, _ := p.count()
		several(t, c, 10, 100*time.Millisecond)
		if after, _, _ := p.count(); after != before+1 {
			t.Errorf("%d connections for the last ten, want 1", after-before)
		}
		closeNow(c)
	})
}

func TestLearnedIsForgottenWhenAConnectFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := true
		p := &server{t: t}
		p.serve = func(_ int, s *session) {
			if !old {
				s.php(nil)
				return
			}
			if c, err := s.request(); err == nil {
				s.Write(echo(c))
				s.Write(resultRecord("0"))
			}
		}
		c := p.client(Options{KeepAlive: time.Second})
		several(t, c, 5, 60*time.Millisecond)
		p.setRefuse(errRefused)
		post(c, "down")
		p.setRefuse(nil)
		old = false
		before, _, _ := p.count()
		several(t, c, 10, 60*time.Millisecond)
		if after, _, _ := p.count(); after != before+1 {
			t.Errorf("%d connections for ten requests to the new server, want 1", after-before)
		}
		closeNow(c)
	})
}

func TestFirstEOFOnAnIdleConnectionClosesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reload := make(chan struct{})
		p := &server{t: t, serve: func(n int, s *session) {
			if n == 0 {
				go func() { <-reload; s.Close() }()
			}
			s.php(nil)
		}}
		c := p.client(Options{KeepAlive: time.Minute})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { post(c, "x") })
		}
		wg.Wait()
		time.Sleep(100 * time.Millisecond)
		if s := c.Stats(); s.Idle != 4 {
			t.Fatalf("%d idle, want 4", s.Idle)
		}
		close(reload)
		synctest.Wait()
		if _, open, _ := p.count(); open != 0 {
			t.Errorf("%d connections still open", open)
		}
		closeNow(c)
	})
}

// php-fpm with pm = ondemand starts no child while idle connections hold some.
func TestNewConnectionWithoutAByteShedsIdleOnes(t *testing.T) {
	for _, test := range []struct {
		name  string
		reply time.Duration
		shed  uint64
	}{
		{"an answer below 100 ms", 99 * time.Millisecond, 0},
		{"no byte for 100 ms", 101 * time.Millisecond, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: func(n int, s *session) {
					s.php(func(_ int, c call) []byte {
						if n > 0 {
							time.Sleep(test.reply)
						} else {
							time.Sleep(time.Millisecond)
						}
						return echo(c)
					})
				}}
				c := p.client(Options{KeepAlive: time.Minute})
				several(t, c, 1, time.Second)
				var wg sync.WaitGroup
				for range 2 { // one takes the idle connection, and is quick
					wg.Go(func() { post(c, "x") })
				}
				wg.Wait()
				if s := c.Stats(); s.IdleShed != test.shed {
					t.Errorf("%d idle connections closed, want %d", s.IdleShed, test.shed)
				}
				closeNow(c)
			})
		})
	}
}

// A server with one worker, as php-fpm with pm = ondemand or dynamic at the
// beginning of a burst: each connection that becomes idle has to make way for
// the next one, at whatever moment it does.
func TestBurstOnOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := make(chan struct{}, 1)
		p := &server{t: t, serve: func(_ int, s *session) {
			worker <- struct{}{}
			defer func() { <-worker }()
			s.php(nil)
		}}
		c := p.client(Options{MaxConns: 6, KeepAlive: time.Minute})
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if got, err := post(c, fmt.Sprint(i)); got != fmt.Sprint(i) || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d > 6*nudgeAfter {
			t.Errorf("a burst of six took %v, want 600ms at most", d)
		}
		closeNow(c)
	})
}

// Idle connections stay when nobody waits any more for a reply on a new one.
func TestNobodyWaitsAndNothingIsShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			s.php(func(_ int, c call) []byte {
				if string(c.body) == "slow" {
					time.Sleep(3 * time.Second)
				}
				return echo(c)
			})
		}}
		c := p.client(Options{MaxConns: 2, Timeout: time.Second, KeepAlive: time.Minute})
		if _, err := post(c, "slow"); failure(err) != "unknown, timeout" {
			t.Error(failure(err))
		}
		several(t, c, 5, 150*time.Millisecond)
		if s := c.Stats(); s.IdleShed != 0 {
			t.Errorf("%d idle connections closed", s.IdleShed)
		}
		closeNow(c)
	})
}

// slowClose is a connection whose Close takes a while after its effect.
type slowClose struct{ net.Conn }

func (c slowClose) Close() error {
	err := c.Conn.Close()
	time.Sleep(time.Second)
	return err
}

// When Close has returned no connection is left, whoever was closing one.
func TestCloseWaitsForConnectionsThatClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t}
		c, err := New(Options{KeepAlive: time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
			nc, err := p.dial(ctx)
			return slowClose{nc}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := post(c, "x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond) // the timer closes it after 1s
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if s := c.Stats(); s.Open != 0 || s.InUse != 0 || s.Idle != 0 {
			t.Errorf("after Close: %d open, %d in use, %d idle", s.Open, s.InUse, s.Idle)
		}
		time.Sleep(time.Hour)
	})
}

// A connection without KEEP_CONN, or with a long body, is closed at
// END_REQUEST, by us: php-fpm waits for that.
func TestEndClosesAConnectionNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &server{t: t, serve: func(_ int, s *session) {
			c, _ := s.request()
			s.Write(echo(c))
			io.Copy(io.Discard, s)
		}}
		c := p.client(Options{KeepAlive: time.Second, KeepAliveBody: 10})
		post(c, "longer than ten")
		synctest.Wait()
		if _, open, _ := p.count(); open != 0 {
			t.Errorf("%d connections open after END", open)
		}
		closeNow(c)
	})
}

func TestClose(t *testing.T) {
	for _, test := range []struct {
		name   string
		wait   time.Duration
		fail   string
		closed error
	}{
		{"requests in hand finish", 10 * time.Second, "none", nil},
		{"until the context ends", 2 * time.Second, "unknown, closed", context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &server{t: t, serve: func(_ int, s *session) {
					s.php(func(_ int, c call) []byte { time.Sleep(4 * time.Second); return echo(c) })
				}}
				c := p.client(Options{MaxConns: 1, KeepAlive: time.Second})
				var first, second error
				var wg sync.WaitGroup
				wg.Go(func() { _, first = post(c, "x") })
				time.Sleep(time.Second)
				wg.Go(func() { _, second = post(c, "waits") })
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), test.wait)
				defer cancel()
				if err := c.Close(ctx); err != test.closed {
					t.Errorf("Close = %v; want %v", err, test.closed)
				}
				wg.Wait()
				if failure(first) != test.fail {
					t.Errorf("in hand: %s; want %s", failure(first), test.fail)
				}
				if want := map[bool]string{true: "none", false: "not executed, closed"}[test.closed == nil]; failure(second) != want {
					t.Errorf("queued: %s; want %s", failure(second), want)
				}
				if _, err := post(c, "late"); failure(err) != "not executed, closed" {
					t.Errorf("after Close: %s", failure(err))
				}
				if _, open, _ := p.count(); open != 0 {
					t.Errorf("%d connections open", open)
				}
				closeNow(c)
			})
		})
	}
}
