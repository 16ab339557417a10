package fastcgi

import "time"

// armLocked sets the connection's one timer to the earliest of its deadlines.
// A timer that fires too early is left alone: expire looks again. So a busy
// connection seldom touches it.
func (cn *conn) armLocked() {
	if cn.state == connClosed {
		return
	}
	next := cn.nudgeAt
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, r := range cn.reqs {
		if r != nil {
			earlier(r.deadline)
		}
	}
	switch cn.state {
	case connFlushing, connValidating, connProving, connIdle:
		earlier(cn.stateEnd)
	}
	if next.IsZero() || !cn.armed.IsZero() && !next.Before(cn.armed) {
		return
	}
	cn.armed = next
	if cn.timer == nil {
		cn.timer = time.AfterFunc(time.Until(next), cn.expire)
	} else {
		cn.timer.Reset(time.Until(next))
	}
}

// expire does what is due.
func (cn *conn) expire() {
	cn.mu.Lock()
	defer cn.unlock()
	cn.armed = time.Time{}
	now := time.Now()
	if !cn.nudgeAt.IsZero() && !now.Before(cn.nudgeAt) {
		cn.nudgeAt = time.Time{}
		if !cn.heard && cn.awaitedLocked() {
			// Again and again: a connection may become idle only now, and pin
			// the one worker that could have taken this one.
			cn.todo.shed = true
			cn.nudgeAt = now.Add(nudgeAfter)
		}
	}
	for _, r := range cn.reqs {
		if r != nil && cn.state != connClosed && !now.Before(r.deadline) {
			cn.overdueLocked(r, now)
		}
	}
	cn.stateEndLocked(now)
	cn.armLocked()
}

// awaitedLocked reports whether anybody still wants a reply from cn.
func (cn *conn) awaitedLocked() bool {
	for _, r := range cn.reqs {
		if r != nil && r.phase != respDropped {
			return true
		}
	}
	return false
}

// overdueLocked ends a reply that did not come in time. The caller has its
// error at once; a plain reply's connection is read on for another Timeout,
// since its worker is busy anyhow. A connection closed before its request's
// end leaves a worker that may be busy still, so the slot rests.
func (cn *conn) overdueLocked(r *Response, now time.Time) {
	timeout := cn.client.opts.Timeout
	switch {
	case r.phase == respDropped:
		cn.abandonLocked(timeout)
	case r.streaming:
		cause := errStreamTimeout
		if !now.Before(r.streamEnd) {
			cause = errStreamTooLong
		}
		r.failLocked(&Error{Outcome: Unknown, Kind: KindTimeout, Op: "reading a reply", Err: cause})
		r.deadline = now.Add(timeout)
		if !cn.mux.shared {
			cn.abandonLocked(timeout)
		}
	default:
		// Unknown even if little is known to be sent: a write may be under way.
		r.failLocked(&Error{Outcome: Unknown, Kind: KindTimeout, Op: "waiting for a reply", Err: errTimeout})
		r.deadline = now.Add(timeout)
	}
}

// abandonLocked closes the connection before its requests have ended.
func (cn *conn) abandonLocked(rest time.Duration) {
	if cn.state == connClosed {
		return // broken a moment ago, and the writer has yet to say so
	}
	cn.client.n.abandoned.Add(1)
	cn.broken = errAbandoned
	cn.closeLocked(rest)
}

func (cn *conn) stateEndLocked(now time.Time) {
	switch cn.state {
	case connBusy, connClosed:
		return
	}
	if now.Before(cn.stateEnd) {
		return
	}
	switch cn.state {
	case connValidating:
		// Whoever waits for a connection does better with a new one.
		if now.Before(cn.giveUp) && !cn.client.someoneWaits() {
			cn.stateEnd = now.Add(min(nudgeAfter, cn.giveUp.Sub(now)))
			return
		}
		cn.client.n.validationsFailed.Add(1)
		cn.client.unanswered()
		cn.closeLocked(0)
	case connProving:
		cn.client.proven()
		cn.idleLocked()
	case connIdle, connFlushing:
		cn.closeLocked(0)
	}
}
