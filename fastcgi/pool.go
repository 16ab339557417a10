package fastcgi

import (
	"context"
	"slices"
	"time"
)

// A pool is the connections of a client, who waits for them, and what was
// learned about the server. The client's mu guards it.
//
// Every connection counts against MaxConns from before it is opened until its
// Close has returned. A request takes a ready connection or a free slot,
// whichever is there first, so that no request waits for a connection while
// idle ones hold all workers.
type pool struct {
	closing bool
	slots   int // connections, open or being opened, and slots that rest
	resting int
	streams int
	conns   []*conn // open
	ready   []*conn // with room; the last one is taken first, so that the surplus ages
	line    line
	granted fifo        // started requests whose turn has come
	overdue *time.Timer // looks at those that wait; nil: none has waited yet
	looks   bool        // it runs
	peer    peer
	gate    gate
}

// A peer is what was learned about the server, until a connect fails: it may
// be another server then.
type peer struct {
	proven      bool // answers FCGI_GET_VALUES and keeps the connection
	noKeepAlive bool
	noSharing   bool
	silences    int // validations in a row that were not answered
	closings    int // connections closed just behind the answer
}

// How often a server must be seen to close behind an answer (PHP up to 8.1),
// or not to answer, before keep-alive is off. Neither counts once a server has
// answered and kept a connection: it may be busy in the background, for which
// fastcgi_finish_request exists, or be reloaded.
const (
	closingsTaught = 2
	silencesTaught = 3
)

// acquire waits for a connection with room. A nil connection is the right to
// open one.
func (c *Client) acquire(ctx context.Context, class Class, alone bool, entered time.Time) (*conn, *Error) {
	c.mu.Lock()
	if c.pool.line.may(class) {
		if cn, ok := c.takeLocked(class, alone); ok {
			c.mu.Unlock()
			return cn, nil
		}
	}
	if c.fullLocked() {
		c.mu.Unlock()
		c.n.queueFull.Add(1)
		return nil, busy(errQueueFull)
	}
	w := &waiter{class: class, alone: alone, since: entered, got: make(chan *conn, 1)}
	c.pool.line.waiting[class].push(w)
	c.mu.Unlock()
	return c.await(ctx, w)
}

func busy(err error) *Error {
	return &Error{Outcome: NotExecuted, Kind: KindBusy, Op: "waiting for a connection", Err: err}
}

// await waits for what w was promised. If the server is down, a request does
// not wait longer than a connect may take.
func (c *Client) await(ctx context.Context, w *waiter) (*conn, *Error) {
	whole := w.since.Add(c.opts.QueueTimeout)
	first := w.since.Add(c.opts.ConnectTimeout)
	if whole.Before(first) {
		first = whole
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	for {
		var err *Error
		select {
		case cn := <-w.got:
			return cn, nil
		case <-ctx.Done():
			err = canceled(ctx, NotExecuted)
		case <-c.killed:
			err = closedError()
		case <-timer.C:
			switch down := c.downError(); {
			case !time.Now().Before(whole):
				c.n.queueTimeout.Add(1)
				err = busy(errQueueTimeout)
			case down != nil:
				err = down
			default:
				// Look again: the server may go down meanwhile.
				next := min(time.Until(whole), c.opts.ConnectTimeout)
				timer.Reset(next)
				continue
			}
		}
		c.leave(w)
		return nil, err
	}
}

// leave takes w out of the line, and gives back what it was granted meanwhile.
func (c *Client) leave(w *waiter) {
	c.mu.Lock()
	defer c.unlock()
	if !w.granted {
		c.pool.line.waiting[w.class].remove(w)
		return
	}
	c.putBackLocked(<-w.got, w.class)
}

// putBack gives back what acquire gave, unused.
func (c *Client) putBack(cn *conn, class Class) {
	c.mu.Lock()
	defer c.unlock()
	c.putBackLocked(cn, class)
}

func (c *Client) putBackLocked(cn *conn, class Class) {
	c.pool.line.holding[class]--
	if cn == nil {
		c.pool.slots--
	} else if slices.Contains(c.pool.conns, cn) {
		cn.load--
		c.listLocked(cn)
	}
	c.dispatchLocked()
}

// letGo is putBack for a connection that has closed.
func (c *Client) letGo(class Class) {
	c.mu.Lock()
	defer c.unlock()
	c.pool.line.holding[class]--
	c.dispatchLocked()
}

// fullLocked reports whether nobody else may wait.
func (c *Client) fullLocked() bool { return c.pool.line.len() >= c.opts.Queue }

// readyLocked reports whether takeLocked finds something, if requests do not want a
// connection alone.
func (c *Client) readyLocked() bool {
	return len(c.pool.ready) > 0 || c.pool.slots < c.opts.MaxConns
}

// takeLocked takes a connection with room, or a slot.
func (c *Client) takeLocked(class Class, alone bool) (cn *conn, ok bool) {
	p := &c.pool
	if cn = c.takeReadyLocked(alone); cn == nil {
		if p.slots >= c.opts.MaxConns {
			return nil, false
		}
		p.slots++
	}
	p.line.holding[class]++
	return cn, true
}

func (c *Client) takeReadyLocked(alone bool) *conn {
	p := &c.pool
	for i := len(p.ready) - 1; i >= 0; i-- {
		cn := p.ready[i]
		if alone && cn.load > 0 {
			continue
		}
		cn.load++
		if alone || cn.load >= cn.capacity {
			p.ready = slices.Delete(p.ready, i, i+1)
			cn.listed = false
		}
		return cn
	}
	return nil
}

// dispatchLocked serves those who wait, as long as there is something.
func (c *Client) dispatchLocked() {
	if c.pool.line.len() == 0 {
		return
	}
	var now time.Time // only for whoever can have waited too long
	if c.pool.line.waiting[Connect].n+c.pool.line.waiting[Disconnect].n > 0 {
		now = time.Now()
	}
	for w := c.pool.line.head(now); w != nil; w = c.pool.line.head(now) {
		cn, ok := c.takeLocked(w.class, w.alone)
		if !ok {
			return
		}
		c.pool.line.waiting[w.class].remove(w)
		w.granted = true
		if w.request != nil {
			w.cn = cn
			c.pool.granted.push(w) // for unlock to send
			continue
		}
		w.got <- cn
	}
}

func (c *Client) listLocked(cn *conn) {
	if !cn.listed && !cn.gone && cn.load < cn.capacity {
		cn.listed = true
		c.pool.ready = append(c.pool.ready, cn)
	}
}

func (c *Client) unlistLocked(cn *conn) {
	if i := slices.Index(c.pool.ready, cn); i >= 0 {
		c.pool.ready = slices.Delete(c.pool.ready, i, i+1)
	}
	cn.listed = false
}

// changed does what followed from a change of an open connection.
func (c *Client) changed(cn *conn, do todo) {
	c.mu.Lock()
	c.endedLocked(do)
	if do.ended != ([classes]int{}) {
		c.pool.gate.down = nil // it has just served a request
	}
	if do.shares {
		cn.capacity = sharedLimit
	}
	cn.load -= do.freed
	switch {
	case do.unlist:
		c.unlistLocked(cn)
	case do.shares || do.freed > 0:
		c.listLocked(cn)
	}
	c.dispatchLocked()
	c.unlock()
	if do.shed {
		c.n.idleShed.Add(uint64(c.shed()))
	}
}

func (c *Client) endedLocked(do todo) {
	c.pool.streams -= do.streams
	for class, n := range do.ended {
		c.pool.line.holding[class] -= n
	}
}

// gone takes a closed connection out of the pool. It is called once for each,
// by whoever closed it.
func (c *Client) gone(cn *conn, do todo) {
	defer c.work.Done()
	c.mu.Lock()
	c.endedLocked(do)
	cn.gone = true
	c.unlistLocked(cn)
	if i := slices.Index(c.pool.conns, cn); i >= 0 {
		c.pool.conns = slices.Delete(c.pool.conns, i, i+1)
	}
	if do.rest > 0 {
		c.pool.resting++
		time.AfterFunc(do.rest, c.rested)
	} else {
		c.pool.slots--
	}
	c.dispatchLocked()
	c.unlock()
	if do.eof {
		// php-fpm is probably being reloaded, and the others keep it from that.
		c.shed()
	}
}

func (c *Client) rested() {
	c.mu.Lock()
	defer c.unlock()
	c.pool.resting--
	c.pool.slots--
	c.dispatchLocked()
}

// shed closes the idle connections and returns how many there were.
func (c *Client) shed() int {
	c.mu.Lock()
	var idle []*conn
	c.pool.ready = slices.DeleteFunc(c.pool.ready, func(cn *conn) bool {
		if cn.load > 0 {
			return false
		}
		cn.listed = false
		idle = append(idle, cn)
		return true
	})
	c.mu.Unlock()
	for _, cn := range idle {
		cn.retire()
	}
	return len(idle)
}
