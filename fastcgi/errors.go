package fastcgi

import (
	"errors"
	"fmt"
)

// An Outcome says what is known about a failed request's execution. A request
// is never executed twice by this package, whatever the outcome.
type Outcome uint8

const (
	// Unknown: the application may have run the request, wholly, in part or
	// not at all. Trying it again could run it twice.
	Unknown Outcome = iota
	// NotExecuted: the application provably did not run the request.
	NotExecuted
	// Executed: the application ran the request, and its reply is of no use.
	Executed
)

func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case NotExecuted:
		return "not executed"
	case Executed:
		return "executed"
	}
	panic("BUG: fastcgi: no such outcome")
}

// A Kind is the cause of an [Error], for counting and for choosing an answer.
type Kind uint8

const (
	// KindRequest: the request cannot be encoded.
	KindRequest Kind = iota + 1
	// KindConnect: the application server cannot be reached.
	KindConnect
	// KindBusy: the queue is full, the server's backlog is, the request waited there for QueueTimeout,
	// the server said it is overloaded, or no stream is free.
	KindBusy
	// KindTimeout: the reply did not come in time.
	KindTimeout
	// KindClosed: the connection broke, or the client was closed.
	KindClosed
	// KindProtocol: the server sent what FastCGI 1.0 does not allow.
	KindProtocol
	// KindBadReply: the reply has no usable CGI head.
	KindBadReply
	// KindTooBig: the reply is larger than the caller allows.
	KindTooBig
	// KindCanceled: the caller's context ended, or the caller closed the reply.
	KindCanceled
)

func (k Kind) String() string {
	switch k {
	case KindRequest:
		return "bad request"
	case KindConnect:
		return "connect"
	case KindBusy:
		return "busy"
	case KindTimeout:
		return "timeout"
	case KindClosed:
		return "closed"
	case KindProtocol:
		return "protocol"
	case KindBadReply:
		return "bad reply"
	case KindTooBig:
		return "too big"
	case KindCanceled:
		return "canceled"
	}
	panic("BUG: fastcgi: no such kind")
}

// An Error is a request that failed. All errors of [Client.Do] and of the
// [Response] methods, io.EOF apart, are of this type.
type Error struct {
	Outcome Outcome
	Kind    Kind
	Op      string // what was being done, such as "connecting"
	Err     error  // the cause

	again bool // safe and sensible to send again at once
	stale bool // and that because a kept connection was found dead: there may be more of them
}

func (e *Error) Error() string {
	return fmt.Sprintf("fastcgi: %s: %v", e.Op, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// A protocolError is what broke a connection when the server sent it.
type protocolError struct{ error }

func (e *protocolError) Unwrap() error { return e.error }

var (
	errIdleData      = errors.New("data on an idle connection")
	errEarly         = errors.New("reply to a request that was not sent")
	errClientClosed  = errors.New("client is closed")
	errConnClosed    = errors.New("connection closed by the server")
	errQueueFull     = errors.New("queue is full")
	errQueueTimeout  = errors.New("waited too long for a connection")
	errNoStream      = errors.New("all streams are taken")
	errTimeout       = errors.New("no complete reply in time")
	errStreamTimeout = errors.New("nothing came in time on a streamed reply")
	errStreamTooLong = errors.New("streamed for too long")
	errBodyTooBig    = errors.New("reply body over the limit")
	errTooSlow       = errors.New("reply not read fast enough on a shared connection")
	errReplyClosed   = errors.New("reply was closed")
	errAbandoned     = errors.New("connection given up")
	errNoHead        = errors.New("request ended before the head did")
	errCantMultiplex = errors.New("server does not multiplex (FCGI_CANT_MPX_CONN)")
	errOverloaded    = errors.New("server is overloaded (FCGI_OVERLOADED)")
	errUnknownRole   = errors.New("server does not know the responder role (FCGI_UNKNOWN_ROLE)")
)
