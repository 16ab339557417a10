package fastcgi

// readLoop reads until the connection is closed.
func (cn *conn) readLoop() {
	buf := readBufs.Get().(*[]byte)
	defer readBufs.Put(buf)
	ack := cn.tcp && cn.raw != nil
	for cn.awaitRoom() {
		if ack {
			cn.raw.Control(armQuickAck)
		}
		n, err := cn.nc.Read(*buf)
		cn.received((*buf)[:n:n], err)
		if cn.idles() && cn.watch() {
			return
		}
	}
}

func (cn *conn) idles() bool {
	cn.mu.Lock()
	defer cn.unlock()
	return cn.state == connIdle
}

// received acts on what a read brought, and its error. It reports whether a reply
// has ended.
func (cn *conn) received(b []byte, err error) (ended bool) {
	cn.mu.Lock()
	if len(b) > 0 && cn.state != connClosed {
		cn.heard = true
		cn.feedLocked(b)
	}
	if err != nil && cn.state != connClosed {
		cn.readFailedLocked(err)
	}
	ended = cn.todo.ended != [classes]int{}
	cn.unlock()
	poison(b)
	return ended
}

// awaitRoom waits while the consumer of a reply lags behind; the server then
// blocks in its write. A connection that others share is always read: there
// it is the reply that ends. It reports whether to read on.
func (cn *conn) awaitRoom() bool {
	cn.mu.Lock()
	defer cn.unlock()
	for cn.state != connClosed {
		r := cn.reqs[0]
		if r == nil || cn.mux.shared || r.unread() < maxUnread {
			return true
		}
		r.pausedLocked(true)
		cn.room.Wait()
		if cn.state != connClosed && cn.reqs[0] == r {
			r.pausedLocked(false)
		}
	}
	return false
}

// feedLocked acts on what came.
func (cn *conn) feedLocked(b []byte) {
	for len(b) > 0 && cn.state != connClosed {
		ev, n, err := cn.mux.next(b)
		if err != nil {
			cn.client.n.protocolErrors.Add(1)
			cn.breakLocked(&protocolError{err})
			return
		}
		b = b[n:]
		cn.actLocked(ev)
	}
	if (cn.state == connIdle || cn.state == connProving) && cn.mux.midRecord() {
		cn.client.n.protocolErrors.Add(1)
		cn.breakLocked(&protocolError{errIdleData})
	}
}

func (cn *conn) actLocked(ev event) {
	var r *Response
	switch ev.kind {
	case evStdout, evStderr, evEnd:
		if r = cn.reqs[ev.id-1]; r == nil {
			// The id is taken, and nothing was sent yet.
			cn.client.n.protocolErrors.Add(1)
			cn.breakLocked(&protocolError{errEarly})
			return
		}
	}
	switch ev.kind {
	case noEvent:
	case evStdout:
		r.stdoutLocked(ev.data)
	case evStderr:
		r.stderrLocked(ev.data)
	case evEnd:
		cn.reqs[ev.id-1] = nil
		cn.todo.ended[r.class]++
		cn.disownLocked(r)
		if ev.status == statusCantMpx || ev.status == statusRole {
			cn.last = true
		}
		r.endLocked(ev.status)
		cn.used = true
		cn.settleLocked()
	case evResult:
		cn.resultLocked(ev)
	case evNotOffered:
		cn.client.learnNoKeepAlive()
		cn.last = true
		cn.settleLocked()
	default:
		panic("BUG: fastcgi: no such event")
	}
}

// readFailedLocked handles the end of what can be read.
func (cn *conn) readFailedLocked(err error) {
	switch cn.state {
	case connIdle:
		cn.todo.eof = true
	case connValidating:
		// The worker has served its last request (pm.max_requests).
		cn.client.n.validationsFailed.Add(1)
	case connBusy, connFlushing:
		if cn.endedLocked() {
			cn.client.n.validationsFailed.Add(1)
		}
	case connProving:
		cn.client.n.validationsFailed.Add(1)
		cn.client.closedBehindAnswer()
	}
	if cn.mux.shared && cn.mux.active > 0 {
		cn.client.learnNoSharing()
	}
	cn.breakLocked(err)
}
