package websocket

import (
	"iter"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Server drives connections: it waits for their bytes, writes what could
// not be written at once, sends pings and enforces every time limit. An idle
// connection costs it no goroutine, no buffer and no timer; only where no poller
// can wait for it, as under TLS, a goroutine does.
type Server struct {
	opts   Options
	loops  []*loop
	next   atomic.Uint32 // whose turn it is to get a connection
	guests atomic.Uint32 // and a socket of others
	budget budget
	stats  counters

	deflating, inflating chan struct{} // hold one for each message that is, at the moment

	epoch time.Time

	ping, pong atomic.Int64 // those of Options, in nanoseconds; Reconfigure changes them

	stop    chan struct{}
	sweeper sync.WaitGroup
	work    sync.WaitGroup // loops, readers and drainers

	mu        sync.Mutex // guards what follows, and that nothing joins work then
	closed    bool
	acceptors []*acceptor
}

// NewServer starts a server.
func NewServer(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts:   o,
		budget: budget{gone: map[*Conn]bool{}},
		epoch:  time.Now(),
		stop:   make(chan struct{}),

		deflating: make(chan struct{}, maxZips*runtime.GOMAXPROCS(0)),
		inflating: make(chan struct{}, maxZips*runtime.GOMAXPROCS(0)),
	}
	s.budget.limit.Store(o.Buffers)
	s.ping.Store(int64(o.Ping))
	s.pong.Store(int64(o.Pong))
	for range o.Loops {
		l := &loop{server: s}
		s.loops = append(s.loops, l)
		if o.Blocking {
			continue
		}
		if l.poll, err = newPoller(); err != nil {
			s.Close()
			return nil, err
		}
		if l.poll != nil {
			s.work.Go(l.run)
		}
	}
	s.sweeper.Go(s.sweep)
	return s, nil
}

// Reconfigure changes Ping, Pong and Buffers to those of o, for connections that
// are open as well; the other options stay. Fewer Buffers than are held cost the
// largest their connection when the next byte comes.
func (s *Server) Reconfigure(o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	s.ping.Store(int64(o.Ping))
	s.pong.Store(int64(o.Pong))
	s.budget.limit.Store(o.Buffers)
	return nil
}

// NewConn makes nc, whose opening handshake is done, a connection of s that
// tells h what the client says. Nothing is read until Start; a connection that
// is not to be started has to be killed.
func (s *Server) NewConn(nc net.Conn, h Handler, l Limits) *Conn {
	c := s.makeConn(h, l)
	c.loop = s.pick()
	tuneConn(nc)
	if c.loop.poll == nil || !c.fd.take(nc) {
		c.waited = newWaited(nc)
	}
	c.ticket = c.loop.table.add(c)
	s.closeIfClosed(c)
	return c
}

// pick gives the loop whose turn it is to get a connection.
func (s *Server) pick() *loop { return s.loops[s.next.Add(1)%uint32(len(s.loops))] }

// makeConn makes a connection without a socket.
func (s *Server) makeConn(h Handler, l Limits) *Conn {
	l = l.withDefaults()
	c := &Conn{
		server:      s,
		handler:     h,
		fragment:    l.Fragment,
		outbox:      l.Outbox,
		deflate:     l.Deflate != noDeflate,
		messageRate: newRate(int64(l.MessageRate), 2*int64(l.MessageRate)),
		dec:         decoder{maxMessage: l.MaxMessage, mayDeflate: l.Deflate != noDeflate},
	}
	c.heard.Store(s.now())
	return c
}

// closeIfClosed closes a connection that has come too late for Close to see.
func (s *Server) closeIfClosed(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.dead.Store(true) // Start will end it
		c.sock().Close()
	}
}

// All gives every connection that is started and open at the time it is
// reached.
func (s *Server) All() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for c := range s.all() {
			if readerState(c.reader.Load()) != fresh && !yield(c) {
				return
			}
		}
	}
}

// all gives also the connections whose handler does not know them yet.
func (s *Server) all() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, l := range s.loops {
			for _, c := range tenantsOf[*Conn](nil, &l.table, 0, 1) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Close cuts every connection and ends the server. When it returns, no
// goroutine of the server runs any more; so no handler may call it.
func (s *Server) Close() {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		s.work.Wait()
		return
	}
	close(s.stop)
	s.sweeper.Wait()
	s.mu.Lock()
	acceptors := s.acceptors
	s.mu.Unlock()
	for _, a := range acceptors {
		a.end()
	}
	for c := range s.all() {
		c.Kill()
	}
	for _, l := range s.loops {
		if l.poll != nil {
			l.poll.close()
		}
	}
	s.work.Wait()
	for _, a := range acceptors {
		a.clear() // no loop greets any more
	}
	for _, l := range s.loops {
		l.dismiss()
	}
}

// spawn runs f in a goroutine that Close waits for. It reports false if Close
// has been called: then f is not run, and all connections are being cut.
func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Go(f)
	}
	return !s.closed
}

// now is the time since the server's start, in nanoseconds; never zero, which
// stands for a clock that does not run.
func (s *Server) now() int64 { return int64(time.Since(s.epoch)) + 1 }
