package fastcgi

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"time"
)

const (
	firstBacklogPause = time.Millisecond // backlog full: php-fpm drains it at the rate of requests
	lastBacklogPause  = 50 * time.Millisecond
	firstDownPause    = 10 * time.Millisecond // nobody listens: it is being restarted
	lastDownPause     = 250 * time.Millisecond
)

// A gate keeps requests from storming a server that is down: one of them
// probes at a time, with a pause that doubles.
type gate struct {
	down    *Error // the last cause; nil: the server is up
	probing bool
	pause   time.Duration
	next    time.Time     // of the next probe
	changed chan struct{} // closed with the next change; nil: nobody waits for it
}

// downError returns why the server is thought to be down, or nil.
func (c *Client) downError() *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pool.gate.down
}

// dial opens a connection for a request that has a slot. It may come back with
// a connection that another request has left instead, and the slot is free.
func (c *Client) dial(ctx context.Context, alone bool, entered time.Time) (nc io.ReadWriteCloser, cn *conn, fail *Error) {
	pause := firstBacklogPause
	for {
		if fail = c.passGate(ctx, entered); fail != nil {
			return nil, nil, fail
		}
		nc, err := c.connect(ctx)
		c.n.dials.Add(1)
		if err == nil {
			c.leaveGate(nil, false)
			return nc, nil, nil
		}
		c.n.dialErrors.Add(1)
		fail = &Error{Outcome: NotExecuted, Kind: KindConnect, Op: "connecting", Err: err}
		// EAGAIN first: net calls it a timeout.
		switch {
		case ctx.Err() != nil:
			c.leaveGate(nil, true)
			return nil, nil, canceled(ctx, NotExecuted)
		case errors.Is(err, syscall.EAGAIN):
			c.leaveGate(nil, false)
			if fail.Kind = KindBusy; time.Since(entered)+pause >= c.opts.QueueTimeout {
				return nil, nil, fail
			}
			if stop := c.sleep(ctx, jitter(pause)); stop != nil {
				return nil, nil, stop
			}
			pause = min(2*pause, lastBacklogPause)
			if cn = c.swapSlot(alone); cn != nil {
				return nil, cn, nil
			}
		case isPermanent(err):
			c.leaveGate(nil, false)
			c.forget()
			return nil, nil, fail
		default:
			c.leaveGate(fail, false)
		}
	}
}

// connect makes one attempt.
func (c *Client) connect(ctx context.Context) (io.ReadWriteCloser, error) {
	if c.watchesUnix() {
		s, err := connectUnix(c.opts.path)
		if err != nil {
			return nil, err // s is a nil *socket, which in an interface is not nil
		}
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	return c.opts.Dial(ctx)
}

// isPermanent reports errors that no waiting mends.
func isPermanent(err error) bool {
	return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, syscall.ENOTSOCK) || errors.Is(err, syscall.EPERM)
}

// jitter spreads d over d/2 to 3d/2.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}

// passGate returns when a connection may be tried: at once if the server is
// up, else when it is this request's turn to probe. A request that has waited
// for ConnectTimeout fails.
func (c *Client) passGate(ctx context.Context, since time.Time) *Error {
	g := &c.pool.gate
	for {
		c.mu.Lock()
		now := time.Now()
		left := c.opts.ConnectTimeout - now.Sub(since)
		switch {
		case g.down == nil:
			c.mu.Unlock()
			return nil
		case left <= 0:
			err := *g.down
			c.mu.Unlock()
			return &err
		case !g.probing && !now.Before(g.next):
			g.probing = true
			c.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		if !g.probing {
			left = min(left, g.next.Sub(now))
		}
		c.mu.Unlock()
		if err := c.wait(ctx, changed, left); err != nil {
			return err
		}
	}
}

// leaveGate notes how a try went: nil means that the server is there, unless
// the try was broken off.
func (c *Client) leaveGate(down *Error, brokenOff bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &c.pool.gate
	g.probing = false
	switch {
	case brokenOff:
	case down == nil:
		g.down, g.pause = nil, 0
	default:
		if g.down == nil {
			g.pause = firstDownPause
		} else {
			g.pause = min(2*g.pause, lastDownPause)
		}
		g.down, g.next = down, time.Now().Add(g.pause)
		c.pool.peer = peer{}
	}
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// forget drops what was learned: the next server at this address may differ.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.peer = peer{}
}

// swapSlot gives a slot back for a connection that has room, if there is one.
func (c *Client) swapSlot(alone bool) *conn {
	c.mu.Lock()
	defer c.unlock()
	cn := c.takeReadyLocked(alone)
	if cn != nil {
		c.pool.slots--
		c.dispatchLocked()
	}
	return cn
}

func (c *Client) sleep(ctx context.Context, d time.Duration) *Error {
	return c.wait(ctx, nil, d)
}

// wait waits for d, or until changed is closed.
func (c *Client) wait(ctx context.Context, changed <-chan struct{}, d time.Duration) *Error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return canceled(ctx, NotExecuted)
	case <-c.killed:
		return closedError()
	}
	return nil
}
