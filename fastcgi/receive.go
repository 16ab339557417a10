package fastcgi

import (
	"errors"
	"io"
	"time"
)

// What a connection does to a reply: all of it under the connection's lock.

// stdoutLocked takes a part of the reply.
func (r *Response) stdoutLocked(data []byte) {
	if r.streaming {
		now := time.Now()
		r.longestGap = max(r.longestGap, now.Sub(r.lastData))
		r.lastData = now
		r.nextDataLocked(now)
	}
	if r.phase == respHead && r.headBuf == nil {
		if n, ok := r.cn.head.begins(data); ok {
			data = data[n:]
			r.beginLocked(r.cn.head.head)
		}
	}
	if r.phase == respHead {
		if r.headBuf == nil {
			r.headBuf = takeBuf()
			r.head.buf = *r.headBuf
		}
		n, done, err := r.head.feed(data)
		data = data[n:]
		if err == nil && done {
			err = r.headLocked()
		}
		if err != nil {
			r.failLocked(&Error{Outcome: Executed, Kind: KindBadReply, Op: "reading a reply", Err: err})
			r.lingerLocked()
		}
	}
	if r.phase != respBody || len(data) == 0 {
		return
	}
	if r.direct {
		r.intoLocked(data)
		return
	}
	if r.cn.mux.shared && r.unread()+len(data) > maxUnreadMx {
		r.failLocked(&Error{Outcome: Executed, Kind: KindTooBig, Op: "reading a reply", Err: errTooSlow})
		r.lingerLocked()
		return
	}
	if r.body == nil {
		r.body = takeBuf()
	}
	*r.body = append(*r.body, data...)
	r.signal()
}

// headLocked takes the complete head.
func (r *Response) headLocked() error {
	h, err := r.cn.head.parse(&r.head)
	if err != nil {
		return err
	}
	r.freeHeadLocked()
	r.beginLocked(h)
	return nil
}

// beginLocked begins the body.
func (r *Response) beginLocked(h head) {
	r.Status, r.Reason, r.Header = h.status, h.reason, h.fields
	if h.skipped > 0 {
		r.cn.client.n.headLinesSkipped.Add(uint64(h.skipped))
	}
	r.phase = respBody
	r.signal()
}

func (r *Response) stderrLocked(data []byte) {
	keep := min(len(data), r.cn.client.opts.MaxStderr-len(r.stderr))
	r.stderr = append(r.stderr, data[:keep]...)
	if rest := len(data) - keep; rest > 0 {
		r.dropped += rest
		r.cn.client.n.stderrDropped.Add(uint64(rest))
	}
	if r.streaming {
		r.nextDataLocked(time.Now())
	}
}

// endLocked takes END_REQUEST. A reply is complete only here, and only with
// the status REQUEST_COMPLETE (FastCGI 1.0 section 5.5).
func (r *Response) endLocked(status uint8) {
	refused := func(o Outcome, k Kind, err error, again bool) {
		if r.phase != respHead || len(r.head.buf) > 0 {
			o, again = Unknown, false // it wrote something all the same
		}
		r.failLocked(&Error{Outcome: o, Kind: k, Op: "sending a request", Err: err, again: again})
	}
	switch status {
	case statusComplete:
		switch r.phase {
		case respHead:
			r.failLocked(&Error{Outcome: Executed, Kind: KindBadReply, Op: "reading a reply", Err: errNoHead})
		case respBody:
			r.phase = respEnded
			if r.returned || r.to != nil {
				r.cn.client.n.completed.Add(1)
			}
			r.signal()
		}
		r.freeStreamLocked()
	case statusCantMpx:
		r.cn.client.learnNoSharing()
		refused(NotExecuted, KindProtocol, errCantMultiplex, true)
	case statusOverloaded:
		refused(NotExecuted, KindBusy, errOverloaded, true)
	case statusRole:
		refused(NotExecuted, KindProtocol, errUnknownRole, false)
	default:
		panic("BUG: fastcgi: the mux let a protocol status pass")
	}
}

// outcome is what the end of the connection says about a request, once no
// write is under way: php-fpm starts a request when it has its last PARAMS.
func (r *Response) outcome() Outcome {
	if r.sent < r.commit {
		return NotExecuted
	}
	return Unknown
}

// lostLocked is the error of a request whose connection broke.
func (r *Response) lostLocked(cause error) *Error {
	e := &Error{Outcome: r.outcome(), Kind: KindClosed, Op: "waiting for a reply", Err: cause}
	if cause == nil || errors.Is(cause, io.EOF) {
		e.Err = errConnClosed
	}
	if p, ok := errors.AsType[*protocolError](cause); ok {
		e.Kind, e.Err = KindProtocol, p.error
	}
	if e.Outcome == NotExecuted {
		e.Op = "sending a request"
		// A part of the request would be safe too; but nothing is the only
		// case that happens to a healthy server, and the one easily proven.
		e.again = r.sent == 0
		e.stale = e.again && r.cn.used
	}
	return e
}

// failLocked ends the reply with err, if it has not failed or been given up
// before.
func (r *Response) failLocked(err *Error) {
	if r.phase == respDropped {
		r.freeStreamLocked()
		return
	}
	switch {
	case r.phase == respEnded:
		r.cn.client.n.tooBig.Add(1) // it came whole, and was counted as such
	case r.returned:
		r.cn.client.n.count(err)
	}
	r.dropLocked(err)
}

func (r *Response) dropLocked(err *Error) {
	r.phase, r.err = respDropped, err
	r.freeBodyLocked()
	r.freeHeadLocked()
	r.freeDirectLocked()
	r.freeStreamLocked()
	r.signal()
	r.cn.room.Signal()
}

// lingerLocked bounds how long a dropped reply's end is waited for.
func (r *Response) lingerLocked() {
	r.deadline = time.Now().Add(r.cn.client.opts.Timeout)
	r.cn.armLocked()
}

func (r *Response) freeStreamLocked() {
	if r.streaming {
		r.streaming = false
		r.cn.todo.streams++
	}
}

// nextDataLocked gives the server until StreamTimeout for its next record,
// unless it is we who do not read.
func (r *Response) nextDataLocked(now time.Time) {
	r.deadline = now.Add(r.cn.client.opts.StreamTimeout)
	if r.paused || r.streamEnd.Before(r.deadline) {
		r.deadline = r.streamEnd
	}
	r.cn.armLocked()
}

// pausedLocked notes whether the reader waits for the consumer.
func (r *Response) pausedLocked(paused bool) {
	r.paused = paused
	if r.streaming {
		r.lastData = time.Now()
		r.nextDataLocked(r.lastData)
	}
}

// unread is how many bytes wait for the consumer.
func (r *Response) unread() int {
	if r.body == nil {
		return 0
	}
	return len(*r.body) - r.off
}

func (r *Response) freeBodyLocked() {
	putBuf(r.body)
	r.body, r.off = nil, 0
}

func (r *Response) freeHeadLocked() {
	if r.headBuf != nil {
		*r.headBuf = r.head.buf
		putBuf(r.headBuf)
	}
	r.headBuf, r.head.buf = nil, nil
}

func (r *Response) signal() {
	if r.to != nil {
		r.cn.todo.tell = r
		return
	}
	select {
	case r.ready <- struct{}{}:
	default: // whoever waits has yet to take the last one
	}
}

// intoLocked appends data to what AppendBody will return.
func (r *Response) intoLocked(data []byte) {
	early := r.to != nil && !r.start.told // what came with the head
	if len(data) > r.max-len(r.into) && !early {
		r.failLocked(&Error{Outcome: Executed, Kind: KindTooBig, Op: "reading a reply", Err: errBodyTooBig})
		r.lingerLocked()
		return
	}
	if room := len(r.into) + len(data); room > cap(r.into) && r.start.buf != nil {
		*r.start.buf = r.into
		r.start.buf = growBuf(r.start.buf, replyRoom(room, cap(r.into)))
		r.into = *r.start.buf
	}
	r.into = append(r.into, data...)
}

// take hands the reply to Do once the head is complete, or its error. From
// then on the reply counts its own end.
func (r *Response) take() (ok bool, err *Error) {
	r.cn.mu.Lock()
	defer r.cn.unlock()
	switch r.phase {
	case respHead:
		return false, nil
	case respDropped:
		return false, r.err
	case respEnded:
		r.cn.client.n.completed.Add(1)
	}
	r.returned = true
	r.signal() // the body may have come with the head
	return true, nil
}

// giveUp drops a reply that Do does not return.
func (r *Response) giveUp(err *Error) {
	r.cn.mu.Lock()
	defer r.cn.unlock()
	if r.phase != respDropped {
		r.dropLocked(err)
		r.lingerLocked()
	}
}
