// Package fastcgi is a client for FastCGI 1.0 application servers, php-fpm
// first of all: it sends requests over a bounded pool of connections, never
// lets a request run twice, and reads the CGI replies.
package fastcgi

import (
	"context"
	"io"
	"strconv"
	"sync"
	"time"
)

// A Class is a request's place in the queue for a connection.
type Class uint8

// Requests of an earlier class are served first; within a class, first come,
// first served. One that has waited for half of QueueTimeout goes before all
// messages, as long as Connect holds less than half of MaxConns and
// Disconnect less than a quarter. Disconnect never holds more than a quarter.
// Every class may hold at least one connection.
const (
	Message Class = iota
	Connect
	Disconnect
)

// A Request is one call of the application. Its memory is the caller's again
// when [Client.Do] or [Client.Start] returns: it has been copied by then.
type Request struct {
	Params []Params // sent in this order, before CONTENT_LENGTH and REQUEST_METHOD
	Get    bool     // a GET, without Body; else a POST
	Body   []byte
	Class  Class
}

// A Client sends requests to one FastCGI server. All its methods may be called
// from several goroutines at once.
type Client struct {
	opts   Options
	n      counters
	killed chan struct{}  // closed when Close stops waiting
	work   sync.WaitGroup // calls of Do, connections, their readers and writers

	mu      sync.Mutex // guards what follows; released by unlock where the pool may serve others
	dead    bool       // killed is closed
	pool    pool
	watcher Watcher         // waits for the sockets of connections; nil: a goroutine each does
	heeded  context.Context // of Start: its end is noticed
}

// New returns a client. It connects when the first request comes.
func New(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{opts: o, killed: make(chan struct{})}
	c.pool.line.maxConns = o.MaxConns
	c.pool.line.aged = o.QueueTimeout / 2
	return c, nil
}

// maxAttempts is how often a request is sent that provably did not run, dead
// connections apart.
const maxAttempts = 3

// Tries are how often a request was sent in vain.
type tries struct{ failed, stale int }

// another takes note of a failure and reports whether the request is to be sent
// again. A kept connection that was found dead is not held against it, for all of
// them may be, when a server has ended: conns at most.
func (t *tries) another(err *Error, conns int) bool {
	switch {
	case !err.again:
		return false
	case err.stale && t.stale < conns:
		t.stale++
		return true
	}
	t.failed++
	return t.failed < maxAttempts
}

// Do sends req and returns the reply once its head is complete. The caller
// reads the reply to its end or closes it.
//
// The end of ctx ends Do; it does not reach a reply that Do has returned. A
// request that was sent by then runs on, and its outcome is Unknown.
//
// A request that could not have run is sent again: when no connection came
// about or a kept one was found dead before any byte was taken, when the server
// refused to multiplex or was overloaded. Nothing else is ever sent twice.
func (c *Client) Do(ctx context.Context, req *Request) (*Response, error) {
	c.n.requests.Add(1)
	c.mu.Lock()
	if c.pool.closing {
		c.mu.Unlock()
		return nil, c.refuse(closedError())
	}
	c.work.Add(1)
	c.mu.Unlock()
	defer c.work.Done()

	entered := time.Now()
	pause := firstDownPause
	for t := (tries{}); ; {
		r, err := c.attempt(ctx, req, entered)
		if err == nil {
			return r, nil
		}
		if !t.another(err, c.opts.MaxConns) {
			return nil, c.refuse(err)
		}
		c.n.retries.Add(1)
		if err.Kind == KindBusy {
			if stop := c.sleep(ctx, jitter(pause)); stop != nil {
				return nil, c.refuse(stop)
			}
			pause = min(2*pause, lastDownPause)
		}
	}
}

func (c *Client) refuse(err *Error) *Error {
	c.n.count(err)
	return err
}

// attempt sends req once.
func (c *Client) attempt(ctx context.Context, req *Request, entered time.Time) (*Response, *Error) {
	for {
		if ctx.Err() != nil {
			return nil, canceled(ctx, NotExecuted)
		}
		alone := c.opts.Multiplex && !c.mayKeep(len(req.Body))
		cn, err := c.acquire(ctx, req.Class, alone, entered)
		if err != nil {
			return nil, err
		}
		r := &Response{class: req.Class, ready: make(chan struct{}, 1)}
		r.head.maxBytes, r.head.maxLines = c.opts.MaxHead, c.opts.MaxHeadLines
		if err := c.encode(r, req); err != nil {
			c.putBack(cn, req.Class)
			return nil, err
		}
		if cn == nil {
			fresh := false
			if cn, fresh, err = c.open(ctx, req.Class, alone, entered); err != nil {
				putBuf(r.wire)
				return nil, err
			}
			if fresh && !cn.watch() {
				c.work.Go(cn.readLoop)
			}
		}
		r.cn = cn
		if !cn.send(r) {
			// It closed just now, and nothing was sent. Each such connection
			// is gone for good, so this ends.
			putBuf(r.wire)
			c.letGo(req.Class)
			continue
		}
		return r.wait(ctx)
	}
}

// open opens a connection in a slot that was granted. The caller has it read if
// it is fresh: one that another request has left instead is read already.
func (c *Client) open(ctx context.Context, class Class, alone bool, entered time.Time) (cn *conn, fresh bool, fail *Error) {
	nc, cn, err := c.dial(ctx, alone, entered)
	if err != nil {
		c.putBack(nil, class)
		return nil, false, err
	}
	if cn != nil {
		return cn, false, nil
	}
	if cn = c.join(nc); cn == nil {
		c.putBack(nil, class)
		return nil, false, closedError()
	}
	return cn, true, nil
}

// join makes nc a connection of the pool, or closes it if the client is closed.
func (c *Client) join(nc io.ReadWriteCloser) *conn {
	cn := c.newConn(nc)
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		nc.Close()
		return nil
	}
	c.pool.conns = append(c.pool.conns, cn)
	c.mu.Unlock()
	c.work.Add(1) // until it is gone
	return cn
}

// encode writes all of a request into one buffer, so that it can reach the
// server in one write. GET_VALUES rides behind it if the connection is kept.
func (c *Client) encode(r *Response, req *Request) *Error {
	method, body := "POST", req.Body
	if req.Get {
		method, body = "GET", nil
	}
	r.keep = c.mayKeep(len(body))
	var own [64]byte
	var digits [20]byte
	tail := appendPair(own[:0], "REQUEST_METHOD", method)
	tail = appendPair(tail, "CONTENT_LENGTH", string(strconv.AppendInt(digits[:0], int64(len(body)), 10)))

	r.wire = growBuf(takeBuf(), wireSize(req.Params, len(tail), len(body)))
	b, err := appendParams(appendBegin(*r.wire, 1, r.keep), 1, req.Params, tail)
	if err != nil {
		putBuf(r.wire)
		r.wire = nil
		return &Error{Outcome: NotExecuted, Kind: KindRequest, Op: "encoding a request", Err: err}
	}
	r.commit = len(b)
	b = appendStdin(b, 1, body)
	if r.keep {
		b = appendGetValues(b)
	}
	*r.wire = b
	return nil
}

// wait waits for the head of the reply.
func (r *Response) wait(ctx context.Context) (*Response, *Error) {
	for {
		select {
		case <-r.ready:
			if ok, err := r.take(); ok || err != nil {
				return r, err
			}
		case <-ctx.Done():
			ok, err := r.take()
			if !ok && err == nil {
				err = canceled(ctx, Unknown)
				r.giveUp(err)
			}
			if err != nil {
				return nil, err
			}
			return r, nil
		}
	}
}

// Close refuses further requests, closes idle connections, and lets requests
// in hand finish until ctx ends; then it closes their connections as well.
// It returns ctx's error if it came to that. A reply counts as a request in
// hand until its end or its Close.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.pool.closing = true
	conns := append([]*conn(nil), c.pool.conns...)
	c.mu.Unlock()
	for _, cn := range conns {
		cn.retire()
	}
	done := make(chan struct{})
	go func() {
		c.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	c.kill()
	<-done
	return ctx.Err()
}

func (c *Client) kill() {
	c.mu.Lock()
	if !c.dead {
		c.dead = true
		close(c.killed)
	}
	conns := append([]*conn(nil), c.pool.conns...)
	left := c.pool.line.takeStarted(func(*Response) bool { return true })
	c.mu.Unlock()
	c.failStarted(left, closedError())
	for _, cn := range conns {
		cn.kill()
	}
}

// Stats returns a snapshot.
func (c *Client) Stats() Stats {
	s := c.n.snapshot()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pool
	s.Open, s.Resting, s.Streams, s.Waiting = p.slots, p.resting, p.streams, p.line.len()
	for _, cn := range p.ready {
		if cn.load == 0 {
			s.Idle++
		}
	}
	s.InUse = len(p.conns) - s.Idle
	return s
}

func canceled(ctx context.Context, o Outcome) *Error {
	return &Error{Outcome: o, Kind: KindCanceled, Op: "waiting", Err: context.Cause(ctx)}
}

func closedError() *Error {
	return &Error{Outcome: NotExecuted, Kind: KindClosed, Op: "sending a request", Err: errClientClosed}
}
