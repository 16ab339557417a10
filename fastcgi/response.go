package fastcgi

import (
	"errors"
	"io"
	"time"
)

// A Response is the reply to one request. It has to be read to its end or
// closed. One goroutine at a time may use it; Close may be called by any, at
// any time, and ends a read that waits.
type Response struct {
	Status int    // 200 if PHP did not say, 302 if it sent only a Location
	Reason string // what followed the status code, often ""
	Header Header // without Status, Content-Length and Transfer-Encoding

	cn     *conn
	id     uint16
	class  Class
	keep   bool
	commit int           // bytes of the request with which the server starts it
	ready  chan struct{} // something below has changed; capacity 1

	// cn.mu guards what follows, and the fields above until Do returns.
	phase    phase
	returned bool   // Do has returned it: its end is counted here
	sent     int    // bytes of the request that the socket took
	err      *Error // dropped: why
	head     headReader
	body     []byte // came and was not read: from off on
	off      int
	direct   bool // AppendBody waits, and what comes goes to into
	into     []byte
	max      int // length of into that is allowed
	stderr   []byte
	dropped  int

	started, deadline time.Time
	streaming         bool
	streamEnd         time.Time
	lastData          time.Time
	longestGap        time.Duration
}

type phase uint8

const (
	respHead    phase = iota // the head is incomplete
	respBody                 // the body comes
	respEnded                // all of the body has come
	respDropped              // failed or given up: what comes is discarded
)

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

// Read reads from the body, as PHP flushes it. It gives io.EOF only after the
// server said that the request is complete; a reply cut short is an *Error.
func (r *Response) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		r.cn.mu.Lock()
		if n := copy(p, r.body[r.off:]); n > 0 {
			r.off += n
			if r.off == len(r.body) {
				r.body, r.off = r.body[:0], 0
			}
			r.cn.room.Signal()
			r.cn.unlock()
			return n, nil
		}
		err := r.endOfBodyLocked()
		r.cn.unlock()
		if err != nil {
			return 0, err
		}
		<-r.ready
	}
}

// endOfBodyLocked returns nil while more of the body may come.
func (r *Response) endOfBodyLocked() error {
	switch r.phase {
	case respBody:
		return nil
	case respEnded:
		return io.EOF
	case respDropped:
		return r.err
	}
	panic("BUG: fastcgi: reading a reply without a head")
}

// AppendBody appends what is left of the body to b. If that is more than max
// bytes the reply is given up, as by [Response.Close], and the error is of
// KindTooBig. On error it gives back b; what follows b's length, up to its
// capacity, may have been written.
func (r *Response) AppendBody(b []byte, max int) ([]byte, error) {
	r.cn.mu.Lock()
	unread := r.body[r.off:]
	r.body, r.off = nil, 0
	r.direct, r.into, r.max = true, b, len(b)+max
	if r.phase != respDropped {
		r.intoLocked(unread)
	}
	r.cn.room.Signal()
	for {
		err := r.endOfBodyLocked()
		if err != nil {
			if err == io.EOF {
				b, err = r.into, nil
			}
			r.direct, r.into = false, nil
			r.cn.unlock()
			return b, err
		}
		r.cn.unlock()
		<-r.ready
		r.cn.mu.Lock()
	}
}

// intoLocked appends data to what AppendBody will return.
func (r *Response) intoLocked(data []byte) {
	if len(data) > r.max-len(r.into) {
		r.failLocked(&Error{Outcome: Executed, Kind: KindTooBig, Op: "reading a reply", Err: errBodyTooBig})
		r.lingerLocked()
		return
	}
	r.into = append(r.into, data...)
}

// Stream makes this a streamed reply: from now on StreamTimeout and MaxStream
// bound it instead of Timeout. If MaxStreams replies are streamed already, the
// error is of KindBusy and the reply stays a plain one.
//
// The server's socket is not read while 64 KiB wait to be read from a reply.
// StreamTimeout does not run then.
func (r *Response) Stream() error {
	cn := r.cn
	cn.mu.Lock()
	defer cn.unlock()
	switch {
	case r.phase == respDropped:
		return r.err
	case r.phase == respEnded || r.streaming:
		return nil
	case !cn.client.takeStream():
		cn.client.n.streamsRefused.Add(1)
		return &Error{Outcome: Executed, Kind: KindBusy, Op: "streaming", Err: errNoStream}
	}
	now := time.Now()
	r.streaming = true
	r.streamEnd = now.Add(cn.client.opts.MaxStream)
	r.lastData = now
	r.nextDataLocked(now)
	return nil
}

// Close gives up what is left of the reply. A plain one is discarded until its
// request ends, for at most Timeout; the connection can then be used again. A
// streamed one's connection is closed at once, which ends PHP at its next
// write. Closing a reply that is at its end, or twice, does nothing. The error
// is always nil.
func (r *Response) Close() error {
	cn := r.cn
	cn.mu.Lock()
	defer cn.unlock()
	switch r.phase {
	case respDropped:
		return nil
	case respEnded:
		r.dropLocked(errGivenUp())
		return nil
	}
	cn.client.n.givenUp.Add(1)
	streamed := r.streaming
	r.dropLocked(errGivenUp())
	if streamed && !cn.mux.shared {
		// PHP notices at its next write, and nobody tells us when that was.
		rest := max(r.longestGap, time.Since(r.lastData))
		cn.abandonLocked(min(rest, cn.client.opts.Timeout))
		return nil
	}
	r.lingerLocked()
	return nil
}

func errGivenUp() *Error {
	return &Error{Outcome: Unknown, Kind: KindCanceled, Op: "reading a reply", Err: errReplyClosed}
}

// Stderr returns what the request wrote to FCGI_STDERR, up to MaxStderr bytes,
// and how many bytes more there were. It is complete once the reply has ended.
func (r *Response) Stderr() (text []byte, dropped int) {
	r.cn.mu.Lock()
	defer r.cn.unlock()
	// The reader only appends, within the capacity or to a copy.
	return r.stderr[:len(r.stderr):len(r.stderr)], r.dropped
}

// stdoutLocked takes a part of the reply.
func (r *Response) stdoutLocked(data []byte) {
	if r.streaming {
		now := time.Now()
		r.longestGap = max(r.longestGap, now.Sub(r.lastData))
		r.lastData = now
		r.nextDataLocked(now)
	}
	if r.phase == respHead {
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
	r.body = append(r.body, data...)
	r.signal()
}

// headLocked takes the complete head.
func (r *Response) headLocked() error {
	h, err := r.head.parse()
	if err != nil {
		return err
	}
	r.head.buf = nil
	r.Status, r.Reason, r.Header = h.status, h.reason, h.fields
	if h.skipped > 0 {
		r.cn.client.n.headLinesSkipped.Add(uint64(h.skipped))
	}
	r.phase = respBody
	r.signal()
	return nil
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
			if r.returned {
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
	if r.returned {
		r.cn.client.n.count(err)
	}
	r.dropLocked(err)
}

func (r *Response) dropLocked(err *Error) {
	r.phase, r.err = respDropped, err
	r.body, r.off, r.head.buf = nil, 0, nil
	r.direct, r.into = false, nil
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

// nextDataLocked gives the server until StreamTimeout for its next record.
func (r *Response) nextDataLocked(now time.Time) {
	r.deadline = now.Add(r.cn.client.opts.StreamTimeout)
	if r.streamEnd.Before(r.deadline) {
		r.deadline = r.streamEnd
	}
	r.cn.armLocked()
}

// pausedLocked stops the clock for the next record while we do not read.
func (r *Response) pausedLocked(paused bool) {
	switch {
	case !r.streaming:
	case paused:
		r.deadline = r.streamEnd
	default:
		r.lastData = time.Now()
		r.nextDataLocked(r.lastData)
	}
}

// unread is how many bytes wait for the consumer.
func (r *Response) unread() int { return len(r.body) - r.off }

func (r *Response) signal() {
	select {
	case r.ready <- struct{}{}:
	default: // whoever waits has yet to take the last one
	}
}
