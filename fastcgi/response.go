package fastcgi

import (
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
	wire   *[]byte       // the request, while no connection has it
	commit int           // bytes of the request with which the server starts it
	ready  chan struct{} // something below has changed; capacity 1

	// cn.mu guards what follows, and the fields above until Do returns.
	phase    phase
	returned bool   // Do has returned it: its end is counted here
	sent     int    // bytes of the request that the socket took
	err      *Error // dropped: why
	head     headReader
	headBuf  *[]byte // pooled; behind head.buf
	body     *[]byte // pooled; what came and was not read: from off on
	off      int
	direct   bool // AppendBody waits, and what comes goes to into
	into     []byte
	max      int // length of into that is allowed
	stderr   []byte
	dropped  int

	start startedRequest // what Start needs; zero for a request of Do
	to    Receiver       // of a started request; nil: whoever has the Response waits for ready

	started, deadline time.Time
	streaming         bool
	refused           bool // as a stream, so it will not be read as a plain one
	paused            bool // the connection is not read until more of this is
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

// Read reads from the body, as PHP flushes it. It gives io.EOF only after the
// server said that the request is complete; a reply cut short is an *Error.
func (r *Response) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		r.cn.mu.Lock()
		if r.unread() > 0 {
			n := copy(p, (*r.body)[r.off:])
			if r.off += n; r.unread() == 0 {
				r.freeBodyLocked()
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
	r.direct, r.into, r.max = true, b, len(b)+max
	if r.unread() > 0 {
		r.intoLocked((*r.body)[r.off:])
		r.freeBodyLocked()
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
		now := time.Now()
		r.refused, r.lastData, r.longestGap = true, now, now.Sub(r.started)
		return &Error{Outcome: Executed, Kind: KindBusy, Op: "streaming", Err: errNoStream}
	}
	now := time.Now()
	r.streaming, r.refused = true, false
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
	streamed := r.streaming || r.refused
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
	if r.cn == nil {
		return nil, 0 // there never was a connection
	}
	r.cn.mu.Lock()
	defer r.cn.unlock()
	// The reader only appends, within the capacity or to a copy.
	return r.stderr[:len(r.stderr):len(r.stderr)], r.dropped
}
