package fastcgi

// recheckKeep has the connection of r closed behind it if it may not be kept any
// more.
func (c *Client) recheckKeep(r *Response) {
	if r.keep && !c.mayKeep(0) {
		r.keep = false
		dropKeep(r.wire)
	}
}

// carry sends a started request where that may have to wait. If granted, it has
// the right to open a connection.
func (c *Client) carry(r *Response, granted bool) {
	ctx, entered := r.start.ctx, r.start.waiter.since
	for {
		var cn *conn
		var err *Error
		if !granted {
			if cn, err = c.acquire(ctx, r.class, false, entered); err != nil {
				c.failed(r, err)
				return
			}
		}
		c.recheckKeep(r)
		read := func() {}
		if cn == nil {
			fresh := false
			if cn, fresh, err = c.open(ctx, r.class, false, entered); err != nil {
				c.failed(r, err)
				return
			}
			if fresh && (!r.keep && !cn.plain || !cn.watch()) {
				read = cn.readLoop // for one reply it is not worth to be watched
			}
		}
		r.cn = cn
		sent := cn.send(r)
		read()
		if sent {
			return
		}
		c.letGo(r.class)
		granted = false
	}
}

// failed handles the failure of a started request that no connection has: it
// is sent again if it provably did not run, or its receiver is told.
func (c *Client) failed(r *Response, err *Error) {
	if !r.start.tries.another(err, c.opts.MaxConns) {
		c.n.count(err)
		r.to.Received(r, err)
		c.work.Done()
		return
	}
	c.n.retries.Add(1)
	pause := firstDownPause << max(0, r.start.tries.failed-1)
	c.work.Go(func() {
		if err.Kind == KindBusy {
			if stop := c.sleep(r.start.ctx, jitter(pause)); stop != nil {
				c.failed(r, stop)
				return
			}
		}
		r.again()
		c.carry(r, false)
	})
}

// again makes r ready to be sent once more.
func (r *Response) again() {
	r.cn, r.id = nil, 0
	r.phase, r.err, r.sent = respHead, nil, 0
	r.head = headReader{maxBytes: r.head.maxBytes, maxLines: r.head.maxLines}
	r.start.buf = takeBuf()
	r.direct, r.into = true, append(*r.start.buf, room...)
	r.stderr, r.dropped = nil, 0
	r.start.told, r.start.telling = false, false
}
