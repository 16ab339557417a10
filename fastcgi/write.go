package fastcgi

// queueLocked puts bytes behind those on their way; unlock writes them.
func (cn *conn) queueLocked(o outgoing) {
	cn.out = append(cn.out, o)
	cn.todo.flush = true
}

// flush writes what is queued, as far as the socket takes it at once; for the
// rest it starts a goroutine. It never waits.
func (cn *conn) flush() {
	cn.mu.Lock()
	if cn.writing != notWriting {
		cn.unlock() // whoever writes takes it along
		return
	}
	cn.writing = tryingWrite
	for cn.continueLocked() {
		b := cn.unsentLocked()
		cn.unlock()
		n, err := cn.try.try(b)
		cn.mu.Lock()
		cn.wroteLocked(n, err)
		if err == nil && n < len(b) && cn.state != connClosed {
			cn.writing = waitingWrite
			cn.client.work.Go(cn.flushWaiting)
			break
		}
	}
	cn.unlock()
}

// flushWaiting writes what is queued, waiting for the socket. Closing the
// connection ends it.
func (cn *conn) flushWaiting() {
	cn.mu.Lock()
	for cn.continueLocked() {
		b := cn.unsentLocked()
		cn.unlock()
		n, err := cn.nc.Write(b)
		cn.mu.Lock()
		cn.wroteLocked(n, err)
	}
	cn.unlock()
}

func (cn *conn) unsentLocked() []byte {
	o := &cn.out[0]
	return (*o.wire)[o.sent:]
}

// continueLocked reports whether there is more to write. If not, the writer
// has ended, and what had to wait for it is done.
func (cn *conn) continueLocked() bool {
	if cn.state != connClosed && len(cn.out) > 0 {
		return true
	}
	cn.writing = notWriting
	if cn.state == connClosed {
		cn.dropOutLocked()
		cn.failAllLocked()
		return false
	}
	if cn.endedLocked() {
		cn.settleLocked()
	}
	return false
}

// wroteLocked takes note of a write's result.
func (cn *conn) wroteLocked(n int, err error) {
	o := &cn.out[0]
	o.sent += n
	if o.r != nil {
		o.r.sent = o.sent
	}
	switch {
	case err != nil && cn.state != connClosed:
		cn.last = true
		if o.r != nil && o.sent < o.r.commit {
			cn.breakLocked(err) // no reply will come
			return
		}
		// The server may have answered before it closed: the reader knows.
		if cn.endedLocked() {
			cn.client.n.validationsFailed.Add(1)
		}
		cn.dropOutLocked()
	case o.sent == len(*o.wire):
		o.giveBack()
		last := len(cn.out) - 1
		copy(cn.out, cn.out[1:])
		cn.out[last] = outgoing{}
		cn.out = cn.out[:last]
	}
}

// giveBack lets go of the wire. A started request keeps its own until its end:
// if it turns out not to have run, it is sent again.
func (o *outgoing) giveBack() {
	if o.r != nil && o.r.to != nil {
		o.r.wire = o.wire
		return
	}
	putBuf(o.wire)
}

// disownLocked takes note that r has ended: it may be used for another request
// even before the write of this one returns.
func (cn *conn) disownLocked(r *Response) {
	for i := range cn.out {
		o := &cn.out[i]
		if o.r != r {
			continue
		}
		o.r = nil
		if r.to != nil {
			r.wire = takeBuf()
			*r.wire = append(*r.wire, *o.wire...)
		}
	}
}

// dropOutLocked forgets what is queued.
func (cn *conn) dropOutLocked() {
	for i := range cn.out {
		cn.out[i].giveBack()
		cn.out[i] = outgoing{}
	}
	cn.out = cn.out[:0]
}
