package fastcgi

import (
	"context"
	"time"
)

// heedLocked has the end of ctx end started requests.
func (c *Client) heedLocked(ctx context.Context) {
	if c.heeded == ctx {
		return
	}
	c.heeded = ctx
	context.AfterFunc(ctx, func() { c.cancel(ctx) })
}

// cancel ends what was started under ctx.
func (c *Client) cancel(ctx context.Context) {
	c.mu.Lock()
	waiting := c.pool.line.takeStarted(func(r *Response) bool { return r.start.ctx == ctx })
	conns := append([]*conn(nil), c.pool.conns...)
	c.mu.Unlock()
	c.failStarted(waiting, canceled(ctx, NotExecuted))
	for _, cn := range conns {
		cn.cancel(ctx)
	}
}

func (cn *conn) cancel(ctx context.Context) {
	cn.mu.Lock()
	defer cn.unlock()
	for _, r := range cn.reqs {
		if r != nil && r.to != nil && r.start.ctx == ctx && r.phase != respDropped {
			r.dropLocked(canceled(ctx, Unknown))
			r.lingerLocked()
		}
	}
}

// failStarted fails requests that were taken out of the line.
func (c *Client) failStarted(w *waiter, err *Error) {
	for w != nil {
		next := w.next
		w.next = nil
		c.failed(w.request, err)
		w = next
	}
}

// lookLocked has the started requests that wait looked at, at when or before.
func (c *Client) lookLocked(when time.Time) {
	p := &c.pool
	switch {
	case p.looks:
		return // it is armed for an earlier one
	case p.overdue == nil:
		p.overdue = time.AfterFunc(time.Until(when), c.look)
	default:
		p.overdue.Reset(time.Until(when))
	}
	p.looks = true
}

// look fails the started requests that have waited too long, see await.
func (c *Client) look() {
	now := time.Now()
	c.mu.Lock()
	c.pool.looks = false
	down := c.pool.gate.down
	late := c.pool.line.takeStarted(func(r *Response) bool {
		return now.Sub(r.start.waiter.since) >= c.opts.QueueTimeout
	})
	var shut *waiter
	if down != nil {
		shut = c.pool.line.takeStarted(func(r *Response) bool {
			return now.Sub(r.start.waiter.since) >= c.opts.ConnectTimeout
		})
	}
	var next time.Time
	c.pool.line.eachStarted(func(r *Response) {
		when := r.start.waiter.since.Add(c.opts.ConnectTimeout)
		if !when.After(now) {
			when = now.Add(c.opts.ConnectTimeout)
		}
		if whole := r.start.waiter.since.Add(c.opts.QueueTimeout); whole.Before(when) {
			when = whole
		}
		if next.IsZero() || when.Before(next) {
			next = when
		}
	})
	if !next.IsZero() {
		c.lookLocked(next)
	}
	c.mu.Unlock()
	for w := late; w != nil; w = w.next {
		c.n.queueTimeout.Add(1)
	}
	c.failStarted(late, busy(errQueueTimeout))
	c.failStarted(shut, down)
}
