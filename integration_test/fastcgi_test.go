package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// replyLimit is the longest body a test reads unless it says otherwise.
const replyLimit = 64 << 20

// fastcgiClient is a client for f that is closed with t. Closing must leave
// no connection.
func (f *phpFPM) fastcgiClient(t testing.TB, o fastcgi.Options) *fastcgi.Client {
	t.Helper()
	o.Network, o.Address = f.network, f.address
	c, err := fastcgi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing the client: %v", err)
		}
		if s := c.Stats(); s.Idle != 0 || s.InUse != 0 || s.Open != s.Resting {
			t.Errorf("after Close: %d open, %d idle, %d in use, %d resting", s.Open, s.Idle, s.InUse, s.Resting)
		}
	})
	return c
}

// params encodes names and values, which alternate.
func params(t testing.TB, pairs ...string) fastcgi.Params {
	t.Helper()
	var p fastcgi.Params
	var err error
	for i := 0; i < len(pairs); i += 2 {
		if p, err = fastcgi.AppendParam(p, pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// post is a request that runs one of testdata's scripts with a body.
func (f *phpFPM) post(script, body string, more ...string) *fastcgi.Request {
	return &fastcgi.Request{
		Params: []fastcgi.Params{params(f.t, "SCRIPT_FILENAME", f.file(script), "SCRIPT_NAME", "/"+script), params(f.t, more...)},
		Body:   []byte(body),
	}
}

// reply is a response read to its end.
type reply struct {
	*fastcgi.Response
	body, stderr string
}

// do runs a request and reads its whole reply. The error is always a
// *fastcgi.Error.
func do(c *fastcgi.Client, req *fastcgi.Request) (reply, error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	resp, err := c.Do(ctx, req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Close()
	body, err := resp.AppendBody(nil, replyLimit)
	stderr, _ := resp.Stderr()
	return reply{resp, string(body), string(stderr)}, err
}

// want runs a request whose reply must be 200 with this body.
func want(t testing.TB, c *fastcgi.Client, req *fastcgi.Request, body string) reply {
	t.Helper()
	r, err := do(c, req)
	if err != nil {
		t.Fatalf("Do: %v", err)
	}
	if r.Status != 200 || r.body != body {
		t.Fatalf("got %d and %d bytes %.100q; want 200 and %d bytes %.100q", r.Status, len(r.body), r.body, len(body), body)
	}
	return r
}

// wantError fails t unless err is a *fastcgi.Error of this kind and outcome.
func wantError(t testing.TB, err error, kind fastcgi.Kind, outcome fastcgi.Outcome) {
	t.Helper()
	var e *fastcgi.Error
	if !errors.As(err, &e) {
		t.Errorf("error is %T %v; want a *fastcgi.Error", err, err)
	} else if e.Kind != kind || e.Outcome != outcome {
		t.Errorf("error %q is %v, %v; want %v, %v", err, e.Kind, e.Outcome, kind, outcome)
	}
}

// load is what runs against a pool, and what became of it.
type load struct {
	clients, messages int
	think             time.Duration
	// poison says which messages kill their worker once they were recorded.
	poison func(i int) bool
	until  func() bool // if not nil, ends the load as well

	mu     sync.Mutex       // guards what follows
	result map[string]error // by id, nil for a good reply
}

// run sends messages, each with an id of its own, and returns when all were
// answered.
func (l *load) run(f *phpFPM, c *fastcgi.Client) {
	l.result = map[string]error{}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range l.clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > l.messages || l.until != nil && l.until() {
					return
				}
				id := fmt.Sprintf("m%d", i)
				if l.poison != nil && l.poison(i) {
					id += "!"
				}
				r, err := do(c, f.post("record.php", id))
				if err == nil && r.body != id {
					err = fmt.Errorf("got %d %q, want %q", r.Status, r.body, id)
				}
				l.mu.Lock()
				l.result[id] = err
				l.mu.Unlock()
				if l.think > 0 {
					pause(l.think)
				}
			}
		})
	}
	wg.Wait()
}

// reconcile compares what callers were told with what PHP did: a good reply
// means one execution, "not executed" none, and nothing ever means two. It
// returns the errors.
func (l *load) reconcile(t testing.TB, f *phpFPM) (errs []error) {
	t.Helper()
	ran := f.executions()
	report := func(format string, args ...any) { t.Errorf(format, args...) }
	for id, err := range l.result {
		n := ran[id]
		delete(ran, id)
		var e *fastcgi.Error
		switch {
		case err == nil && n != 1:
			report("%s: good reply, executed %d times", id, n)
		case err != nil && !errors.As(err, &e):
			report("%s: %v", id, err)
		case e != nil && e.Outcome == fastcgi.NotExecuted && n != 0:
			report("%s: %v is called not executed, and was executed %d times", id, err, n)
		case n > 1:
			report("%s: executed %d times: %v", id, n, err)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	for id := range ran {
		report("%s was executed and nobody asked for it", id)
	}
	return errs
}

// summary counts errors by their text.
func summary(errs []error) string {
	count := map[string]int{}
	for _, err := range errs {
		text := err.Error()
		if e, ok := errors.AsType[*fastcgi.Error](err); ok {
			text = fmt.Sprintf("[%v, %v] %s", e.Kind, e.Outcome, text)
		}
		count[text]++
	}
	var lines []string
	for text, n := range count {
		lines = append(lines, fmt.Sprintf("%d times %s", n, text))
	}
	return strings.Join(lines, "\n")
}
