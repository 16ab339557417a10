package fastcgi

import (
	"context"
	"sync"
	"time"
)

// A Receiver is told what has come of a request that [Client.Start] took.
type Receiver interface {
	// Received is called when the reply's head is complete and its body is
	// not, at most once, and when all of the reply has come or the request
	// has failed, just once. Unless it calls [Response.Detach], r is lent:
	// good until Received returns.
	//
	// It runs wherever that became known, be it within Start: it must not
	// wait, and may be called under no lock that it takes itself. Calls for
	// one request come one after the other.
	Received(r *Response, err error)
}

// startedRequest is what is known of a request that nobody waits for.
type startedRequest struct {
	ctx     context.Context // of Start, for whoever carries the request on
	waiter  waiter
	tries   tries
	buf     *[]byte // pooled; behind into
	told    bool    // that the head is complete
	whole   bool    // the receiver is told of the whole reply
	telling bool    // the receiver is at work
}

var responses = sync.Pool{New: func() any { return new(Response) }}

// Start is Do for a caller who does not wait: to is told the outcome. The
// request is copied, sent as soon as a connection has room for it, in the order
// and under the limits that hold for Do, and sent again as Do would. A reply's
// body longer than max bytes is an error of KindTooBig.
//
// It reports false if it has done nothing and Do has to be called, which knows
// better why: ctx has ended, the client is closing, its queue has filled at this
// moment, the request cannot be encoded, or requests share connections. If the
// queue is full, to is told so within Start.
//
// The end of ctx ends the request as it would end Do. Ctx is meant to be the
// same for many requests.
func (c *Client) Start(ctx context.Context, req *Request, max int, to Receiver) bool {
	if c.opts.Multiplex || ctx.Err() != nil {
		return false
	}
	r := responses.Get().(*Response)
	r.class, r.to = req.Class, to
	if c.turnAway(r) { // before its body is copied
		return true
	}
	r.head.maxBytes, r.head.maxLines = c.opts.MaxHead, c.opts.MaxHeadLines
	if err := c.encode(r, req); err != nil {
		r.recycle()
		return false
	}
	r.start.ctx, r.start.tries = ctx, tries{}
	r.start.buf = takeBuf()
	r.direct, r.into, r.max = true, append(*r.start.buf, room...), BodyRoom+max
	w := &r.start.waiter
	w.class, w.request, w.since = r.class, r, time.Now()

	c.mu.Lock()
	var cn *conn
	ready := false
	if !c.pool.closing && c.pool.line.may(r.class) {
		cn, ready = c.takeLocked(r.class, false)
	}
	if c.pool.closing || !ready && c.fullLocked() {
		c.mu.Unlock()
		r.recycle()
		return false
	}
	c.n.requests.Add(1)
	c.work.Add(1) // until the receiver knows all, or has the reply to itself
	c.heedLocked(ctx)
	if !ready {
		c.pool.line.waiting[w.class].push(w)
		c.lookLocked(w.since.Add(min(c.opts.ConnectTimeout, c.opts.QueueTimeout)))
		c.mu.Unlock()
		return true
	}
	c.mu.Unlock()
	c.sendStarted(r, cn)
	return true
}

// turnAway tells the receiver of r that the queue is full, if it is and r cannot be
// sent at once. It reports whether it has done so.
func (c *Client) turnAway(r *Response) bool {
	c.mu.Lock()
	served := c.pool.line.may(r.class) && c.readyLocked()
	if c.pool.closing || served || !c.fullLocked() {
		c.mu.Unlock()
		return false
	}
	c.n.requests.Add(1)
	c.work.Add(1)
	c.mu.Unlock()
	defer c.work.Done()
	c.n.queueFull.Add(1)
	r.to.Received(r, c.refuse(busy(errQueueFull)))
	r.recycle()
	return true
}

// unlock releases c.mu and sends the started requests whose turn has come. It
// must not be called under a connection's lock.
func (c *Client) unlock() {
	w := c.pool.granted.first
	c.pool.granted = fifo{}
	c.mu.Unlock()
	for w != nil {
		next := w.next
		r, cn := w.request, w.cn
		*w = waiter{class: w.class, request: r, since: w.since}
		c.sendStarted(r, cn)
		w = next
	}
}

// sendStarted sends r over the connection it was granted. A nil one is the
// right to open one, which may have to be waited for.
func (c *Client) sendStarted(r *Response, cn *conn) {
	if cn == nil {
		if cn = c.openNow(); cn == nil {
			c.work.Go(func() { c.carry(r, true) })
			return
		}
		c.recheckKeep(r)
	}
	r.cn = cn
	if !cn.send(r) {
		c.letGo(r.class)
		c.work.Go(func() { c.carry(r, false) })
	}
}

// openNow opens a connection where that needs no waiting. If it does not come
// about, whoever may wait is to try again, and learns why.
func (c *Client) openNow() *conn {
	c.mu.Lock()
	down := c.pool.gate.down != nil
	c.mu.Unlock()
	if down || !c.watchesUnix() {
		return nil
	}
	s, err := connectUnix(c.opts.path)
	if err != nil {
		return nil
	}
	c.n.dials.Add(1)
	c.leaveGate(nil, false)
	cn := c.join(s)
	if cn != nil && !cn.watch() {
		c.work.Go(cn.readLoop)
	}
	return cn
}

// tell tells r's receiver what there is to tell. One goroutine at a time does.
func (r *Response) tell() {
	cn := r.cn
	c := cn.client
	cn.mu.Lock()
	for r.to != nil && !r.start.telling {
		// The limit is not for a reply that the receiver takes over, which it
		// decides when it has seen the head.
		tooBig := len(r.into) > r.max
		head := !r.start.told && (r.phase == respBody || r.phase == respEnded && tooBig)
		switch {
		case head:
			r.start.told = true
		case r.phase == respHead || r.phase == respBody:
			cn.unlock()
			return
		}
		to, phase, err := r.to, r.phase, r.err
		r.start.telling = true
		cn.unlock()
		switch {
		case head:
			to.Received(r, nil)
		case phase == respDropped:
			c.failed(r, err)
			return
		case phase == respEnded && tooBig:
			c.n.tooBig.Add(1)
			to.Received(r, &Error{Outcome: Executed, Kind: KindTooBig, Op: "reading a reply", Err: errBodyTooBig})
			c.work.Done()
			return
		case phase == respEnded:
			r.start.whole = true
			to.Received(r, nil)
			if r.to != nil { // nobody but the receiver may detach it
				r.recycle()
				c.work.Done()
			}
			return
		}
		cn.mu.Lock()
		r.start.telling = false
		if r.to != nil && r.phase == respBody {
			r.intoLocked(nil) // now the limit holds
		}
	}
	cn.unlock()
}

// recycle makes r ready for another request. No connection may know it.
func (r *Response) recycle() {
	if r.start.buf != nil {
		r.freeDirectLocked()
	}
	putBuf(r.wire)
	r.freeHeadLocked()
	*r = Response{}
	responses.Put(r)
}

func (r *Response) freeDirectLocked() {
	if b := r.start.buf; b != nil {
		*b = r.into
		putBuf(b)
		r.start.buf = nil
	}
	r.direct, r.into = false, nil
}

// Whole reports whether a [Receiver] is called because all of the reply has
// come.
func (r *Response) Whole() bool { return r.start.whole }

// BodyRoom is how many bytes there are in front of a reply's body that a
// [Receiver] may overwrite.
const BodyRoom = len(room)

// room is what is there until then.
const room = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// RoomAndBody is the body of a reply that has come whole, for a [Receiver],
// behind BodyRoom bytes: it is lent like the Response.
func (r *Response) RoomAndBody() []byte { return r.into }

// Body is the same without the room.
func (r *Response) Body() []byte { return r.into[BodyRoom:] }

// Detach makes r the receiver's, who will be told nothing more: it is from now
// on as if Do had returned it.
func (r *Response) Detach() {
	r.cn.mu.Lock()
	defer r.cn.unlock()
	if r.to == nil {
		return
	}
	defer r.cn.client.work.Done() // the connection is counted still, or the reply is whole
	r.to = nil
	r.ready = make(chan struct{}, 1)
	r.returned = true
	putBuf(r.wire)
	r.wire = nil
	if len(r.into) > BodyRoom {
		r.body, r.off = r.start.buf, BodyRoom
		*r.body = r.into
		r.start.buf = nil
	}
	r.freeDirectLocked()
	r.signal()
}
