package fastcgi

import "sync/atomic"

// Stats is a snapshot of a [Client]. The fields up to Waiting say how things
// are now; the others only grow.
type Stats struct {
	Open    int // connections open or being opened, and slots that rest
	Idle    int // of them: ready for a request
	InUse   int // of them: carrying a request
	Resting int // of them: closed, but a worker may still be busy with the request
	Streams int // replies streamed now
	Waiting int // requests that wait for a connection

	// Each request ends in one of these.
	Requests    uint64 // calls of Do, and those of Start that were taken
	Completed   uint64 // replies that came whole
	GivenUp     uint64 // replies the caller closed before their end
	NotExecuted uint64 // errors, by outcome
	Unknown     uint64
	Executed    uint64

	Dials             uint64 // connections tried
	DialErrors        uint64
	Reused            uint64 // requests sent on a connection that had carried one
	Validated         uint64 // connections kept: the server answered FCGI_GET_VALUES
	ValidationsFailed uint64 // connections closed after a reply because it did not
	QueueFull         uint64 // requests refused at once
	QueueTimeout      uint64 // requests refused after QueueTimeout
	StreamsRefused    uint64 // replies that could not be streamed
	Timeouts          uint64 // replies that did not come in time
	Abandoned         uint64 // connections closed before their request's end
	Retries           uint64 // requests sent again; they had not been executed
	ProtocolErrors    uint64 // connections closed because of what the server sent
	BadReplies        uint64 // replies without a usable head
	TooBig            uint64 // replies over the caller's limit
	HeadLinesSkipped  uint64 // malformed header lines
	StderrDropped     uint64 // bytes of FCGI_STDERR over MaxStderr
	IdleShed          uint64 // idle connections closed so that a new one be served
}

// Add gives the sums of both snapshots, for a client that took another's place.
func (s Stats) Add(o Stats) Stats {
	s.Open += o.Open
	s.Idle += o.Idle
	s.InUse += o.InUse
	s.Resting += o.Resting
	s.Streams += o.Streams
	s.Waiting += o.Waiting
	s.Requests += o.Requests
	s.Completed += o.Completed
	s.GivenUp += o.GivenUp
	s.NotExecuted += o.NotExecuted
	s.Unknown += o.Unknown
	s.Executed += o.Executed
	s.Dials += o.Dials
	s.DialErrors += o.DialErrors
	s.Reused += o.Reused
	s.Validated += o.Validated
	s.ValidationsFailed += o.ValidationsFailed
	s.QueueFull += o.QueueFull
	s.QueueTimeout += o.QueueTimeout
	s.StreamsRefused += o.StreamsRefused
	s.Timeouts += o.Timeouts
	s.Abandoned += o.Abandoned
	s.Retries += o.Retries
	s.ProtocolErrors += o.ProtocolErrors
	s.BadReplies += o.BadReplies
	s.TooBig += o.TooBig
	s.HeadLinesSkipped += o.HeadLinesSkipped
	s.StderrDropped += o.StderrDropped
	s.IdleShed += o.IdleShed
	return s
}

// counters are the growing part of Stats: each is counted where it happens,
// under whatever lock is held there, and read without any.
type counters struct {
	requests, completed, givenUp, notExecuted, unknown, executed atomic.Uint64

	dials, dialErrors, reused, validated, validationsFailed atomic.Uint64
	queueFull, queueTimeout, streamsRefused, timeouts       atomic.Uint64
	abandoned, retries, protocolErrors, badReplies, tooBig  atomic.Uint64
	headLinesSkipped, stderrDropped, idleShed               atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Requests:          c.requests.Load(),
		Completed:         c.completed.Load(),
		GivenUp:           c.givenUp.Load(),
		NotExecuted:       c.notExecuted.Load(),
		Unknown:           c.unknown.Load(),
		Executed:          c.executed.Load(),
		Dials:             c.dials.Load(),
		DialErrors:        c.dialErrors.Load(),
		Reused:            c.reused.Load(),
		Validated:         c.validated.Load(),
		ValidationsFailed: c.validationsFailed.Load(),
		QueueFull:         c.queueFull.Load(),
		QueueTimeout:      c.queueTimeout.Load(),
		StreamsRefused:    c.streamsRefused.Load(),
		Timeouts:          c.timeouts.Load(),
		Abandoned:         c.abandoned.Load(),
		Retries:           c.retries.Load(),
		ProtocolErrors:    c.protocolErrors.Load(),
		BadReplies:        c.badReplies.Load(),
		TooBig:            c.tooBig.Load(),
		HeadLinesSkipped:  c.headLinesSkipped.Load(),
		StderrDropped:     c.stderrDropped.Load(),
		IdleShed:          c.idleShed.Load(),
	}
}

// count counts the end of a request with err.
func (c *counters) count(err *Error) {
	switch err.Outcome {
	case Unknown:
		c.unknown.Add(1)
	case NotExecuted:
		c.notExecuted.Add(1)
	case Executed:
		c.executed.Add(1)
	default:
		panic("BUG: fastcgi: no such outcome")
	}
	switch err.Kind {
	case KindTimeout:
		c.timeouts.Add(1)
	case KindBadReply:
		c.badReplies.Add(1)
	case KindTooBig:
		c.tooBig.Add(1)
	}
}
