package fastcgi

import "time"

// settleLocked decides what becomes of a connection with nothing in flight.
func (cn *conn) settleLocked() {
	if cn.state == connClosed {
		return
	}
	if cn.mux.shared && !cn.last {
		cn.todo.freed++ // one END, one place
		if cn.mux.active == 0 {
			cn.state = connIdle
			cn.stateEnd = time.Now().Add(cn.client.opts.KeepAlive)
			cn.armLocked()
		}
		return
	}
	if cn.mux.active > 0 {
		cn.todo.unlist = true
		return
	}
	switch cn.writing {
	case tryingWrite:
		return // the writer will be back in a moment, and settle
	case waitingWrite:
		if !cn.last {
			// The server answered before it took all. The next request must
			// not follow a half one, so the rest gets a moment to go out.
			cn.state = connFlushing
			cn.stateEnd = time.Now().Add(nudgeAfter)
			cn.armLocked()
			return
		}
	}
	if cn.last {
		cn.closeLocked(0)
		return
	}
	cn.state = connValidating
	if cn.proved {
		cn.validatedLocked()
		return
	}
	now := time.Now()
	cn.giveUp = now.Add(cn.client.opts.KeepAlive)
	cn.stateEnd = now.Add(min(nudgeAfter, cn.client.opts.KeepAlive))
	cn.armLocked()
	if cn.mux.unasked == 0 {
		// Answered before the request's end, which proves nothing: ask again.
		wire := takeBuf()
		*wire = appendGetValues(*wire)
		cn.mux.ask()
		cn.queueLocked(outgoing{wire: wire})
	}
}

// resultLocked takes note of an answer to FCGI_GET_VALUES.
func (cn *conn) resultLocked(ev event) {
	if ev.shares && cn.client.opts.Multiplex && !cn.last && cn.client.mayShare() {
		cn.mux.shared = true
		cn.todo.shares = true
		if cn.endedLocked() {
			cn.settleLocked() // before others come; its write has yet to return
		}
	}
	if ev.proves {
		cn.proved = true // even if our write has yet to return
	}
	if cn.proved && cn.state == connValidating {
		cn.validatedLocked()
	}
}

// validatedLocked makes the connection idle, unless the server may be one that
// closes behind the answer.
func (cn *conn) validatedLocked() {
	if cn.mux.midRecord() {
		// More came before our write returned. Its rest would be taken for a
		// part of the next reply.
		cn.client.n.protocolErrors.Add(1)
		cn.breakLocked(&protocolError{errIdleData})
		return
	}
	if cn.mux.shared || cn.client.answered() {
		cn.idleLocked()
		return
	}
	cn.state = connProving
	cn.stateEnd = time.Now().Add(proveFor)
	cn.armLocked()
}

func (cn *conn) idleLocked() {
	cn.state = connIdle
	cn.stateEnd = time.Now().Add(cn.client.opts.KeepAlive)
	cn.client.n.validated.Add(1)
	cn.todo.freed++
	cn.armLocked()
}

// endedLocked reports whether the last request has ended while our write of it
// has yet to return.
func (cn *conn) endedLocked() bool {
	switch cn.state {
	case connBusy, connFlushing:
		return cn.used && cn.mux.active == 0
	}
	return false
}
