package main

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"ws-fpm/metrics"
)

// How long to wait after an error of accept that may pass: doubled from one to
// the next, from the first to the second.
const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

// acceptLogInterval is the time between two log lines about such errors.
const acceptLogInterval = time.Second

// transientAccept is the errors of accept that say nothing about the listener,
// and what each is counted as. accept(2) wants those of the network to be taken
// as that one connection's.
var transientAccept = map[syscall.Errno]string{
	syscall.EMFILE:       "descriptors",
	syscall.ENFILE:       "descriptors",
	syscall.ENOBUFS:      "memory",
	syscall.ENOMEM:       "memory",
	syscall.EPERM:        "firewall", // Linux says so if a rule forbids the connection
	syscall.ECONNABORTED: "connection",
	syscall.ECONNRESET:   "connection",
	syscall.EPROTO:       "connection",
	syscall.ENETDOWN:     "connection",
	syscall.ENETUNREACH:  "connection",
	syscall.EHOSTDOWN:    "connection",
	syscall.EHOSTUNREACH: "connection",
	syscall.ENOPROTOOPT:  "connection",
	syscall.EOPNOTSUPP:   "connection",
}

// acceptErrors counts the errors that listeners have survived, by cause. The
// causes are the values of transientAccept.
type acceptErrors map[string]*metrics.Counter

func newAcceptErrors(r *metrics.Registry) acceptErrors {
	counters := acceptErrors{}
	for _, cause := range transientAccept {
		if counters[cause] == nil {
			counters[cause] = r.Counter("ws_fpm_accept_errors_total", "Errors of accept after which listening went on, by cause.",
				metrics.Label{Name: "cause", Value: cause})
		}
	}
	return counters
}

// A patientListener goes on where a listener would have its server give up: the
// system is short of descriptors or memory, or a connection was gone before it
// was accepted. Clients wait in the listen queue meanwhile.
type patientListener struct {
	net.Listener
	log    *slog.Logger
	errors acceptErrors
	close  func() error
	closed chan struct{}

	mu       sync.Mutex // guards what follows
	delay    time.Duration
	last     time.Time // of the last error
	logged   time.Time
	unlogged int // errors since the last log line
}

// patient makes l survive such errors; they are counted in errors.
func patient(l net.Listener, log *slog.Logger, errors acceptErrors) net.Listener {
	p := &patientListener{Listener: l, log: log, errors: errors, closed: make(chan struct{})}
	p.close = sync.OnceValue(func() error {
		close(p.closed)
		return l.Close()
	})
	return p
}

// Accept waits for the next connection. Its error is one of the listener, or
// net.ErrClosed after Close.
func (p *patientListener) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err == nil {
			p.succeeded()
			return c, nil
		}
		cause, transient := transientCause(err)
		if !transient {
			return nil, err
		}
		p.errors[cause].Inc()
		if !p.wait(p.failed(err)) {
			return nil, net.ErrClosed
		}
	}
}

// SyscallConn gives the listening socket, for who accepts from it in another
// way; there is none under TLS.
func (p *patientListener) SyscallConn() (syscall.RawConn, error) {
	if sc, is := p.Listener.(syscall.Conn); is {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// AcceptFailed is told of an error of accept by who accepts in another way. It
// says how long to wait before the next attempt, or that there is to be none.
func (p *patientListener) AcceptFailed(err error) (wait time.Duration, fatal bool) {
	cause, transient := transientCause(err)
	if !transient {
		return 0, true
	}
	p.errors[cause].Inc()
	return p.failed(err), false
}

// Close closes the listener. An Accept that waits, for whatever, returns.
func (p *patientListener) Close() error { return p.close() }

func transientCause(err error) (cause string, transient bool) {
	errno, is := errors.AsType[syscall.Errno](err)
	if !is {
		return "", false
	}
	cause, transient = transientAccept[errno]
	return cause, transient
}

func (p *patientListener) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = 0
}

// failed gives the time to wait after err, and logs it if the last line is long
// enough ago.
func (p *patientListener) failed(err error) (delay time.Duration) {
	p.mu.Lock()
	now := time.Now()
	if now.Sub(p.last) > 2*maxAcceptDelay {
		p.delay = 0 // it went well meanwhile
	}
	p.last = now
	p.delay = min(max(2*p.delay, minAcceptDelay), maxAcceptDelay)
	delay = p.delay
	p.unlogged++
	n := p.unlogged
	say := now.Sub(p.logged) >= acceptLogInterval
	if say {
		p.logged, p.unlogged = now, 0
	}
	p.mu.Unlock()
	if say {
		p.log.Warn("cannot accept for now", "address", p.Addr().String(), "error", err, "errors", n, "again_in", delay)
	}
	return delay
}

// wait reports whether the listener is still open after that time.
func (p *patientListener) wait(delay time.Duration) (open bool) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.closed:
		return false
	}
}
