package main

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// turnPatience is how long a TLS handshake waits for its turn before it is given
// up: its client would not wait much longer either.
const turnPatience = 5 * time.Second

// maxRest is how long a turn rests at most. It rests for what it took by the
// clock, which goes on while the machine or the program is paused.
const maxRest = 10 * time.Millisecond

// errNoTurn ends a TLS handshake whose turn did not come in time.
var errNoTurn = errors.New("tls: too many handshakes at once")

// Turns bound how many TLS handshakes compute at once, those of all listeners
// together, so that a flood of them leaves processor time for the clients that
// are there. A handshake that waits for its client has no turn, so none can be
// kept by being silent. While others wait, a turn rests for as long as it has
// taken: one who computes without a break has the system, and Go's scheduler, let
// everybody else wait longer than their share of the processor alone would.
type turns struct {
	epoch   time.Time
	taken   chan struct{} // holds one for each
	waiting atomic.Int64  // handshakes
	refused atomic.Uint64 // handshakes given up
}

func newTurns(n int) *turns { return &turns{epoch: time.Now(), taken: make(chan struct{}, n)} }

// now is a clock of their own, in nanoseconds. It never shows zero.
func (t *turns) now() int64 { return int64(time.Since(t.epoch)) + 1 }

// defaultTurns is half of the cores, and at least one.
func defaultTurns() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// take waits for a turn, first come first served.
func (t *turns) take() error {
	select {
	case t.taken <- struct{}{}:
		return nil
	default:
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	timer := time.NewTimer(turnPatience)
	defer timer.Stop()
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-timer.C:
		t.refused.Add(1)
		return errNoTurn
	}
}

// giveBack ends a turn that has taken so long.
func (t *turns) giveBack(took time.Duration) {
	if rest := min(took, maxRest); rest > 0 && t.waiting.Load() > 0 {
		time.AfterFunc(rest, t.free)
		return
	}
	t.free()
}

func (t *turns) free() { <-t.taken }

// An orderlySocket is the socket under a TLS connection. The costly part of a
// handshake is done in a turn: from the ClientHello on, whatever is read. A turn
// ends with the next Read or Write, for both may wait for the client, and with
// Close.
type orderlySocket struct {
	net.Conn
	turns  *turns
	costly bool         // what is read takes a turn; of the goroutine that reads
	begun  atomic.Int64 // its turn, on the clock of turns; zero: it has none
	closed atomic.Bool
}

func (s *orderlySocket) Read(b []byte) (int, error) {
	s.endTurn()
	n, err := s.Conn.Read(b)
	if n > 0 && s.costly {
		if err := s.takeTurn(); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (s *orderlySocket) Write(b []byte) (int, error) {
	s.endTurn()
	return s.Conn.Write(b)
}

// Close ends the stream.
func (s *orderlySocket) Close() error {
	s.closed.Store(true)
	s.endTurn()
	return s.Conn.Close()
}

// SyscallConn gives the socket to who tunes it.
func (s *orderlySocket) SyscallConn() (syscall.RawConn, error) {
	if sc, is := s.Conn.(syscall.Conn); is {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (s *orderlySocket) takeTurn() error {
	if err := s.turns.take(); err != nil {
		return err
	}
	s.begun.Store(s.turns.now())
	if s.closed.Load() { // perhaps only now, and nobody will close it again
		s.endTurn()
		return net.ErrClosed
	}
	return nil
}

func (s *orderlySocket) endTurn() {
	if begun := s.begun.Swap(0); begun != 0 {
		s.turns.giveBack(time.Duration(s.turns.now() - begun))
	}
}

// configForClient is for GetConfigForClient of c: it takes the first turn of a
// handshake, and has the last end.
func configForClient(c *tls.Config, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s := hello.Conn.(*orderlySocket)
	if err := s.takeTurn(); err != nil {
		return nil, err
	}
	s.costly = true
	own := c.Clone() // its session tickets are those of c
	// TLS 1.3 has sent all of its answer then. TLS 1.2 has a key to find, and
	// writes after that.
	own.VerifyConnection = func(tls.ConnectionState) error {
		s.costly = false
		return nil
	}
	return own, nil
}
