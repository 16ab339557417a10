package websocket

import (
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Server drives connections: it waits for their bytes, writes what could
// not be written at once, sends pings and enforces every time limit. An idle
// connection costs it no goroutine, no buffer and no timer.
type Server struct {
	opts   Options
	loops  []*loop
	next   atomic.Uint32 // whose turn it is to get a connection
	budget budget
	stats  counters
	epoch  time.Time

	stop    chan struct{}
	sweeper sync.WaitGroup
	work    sync.WaitGroup // loops, readers and drainers
}

// NewServer starts a server.
func NewServer(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts:   o,
		budget: budget{limit: o.Buffers, held: map[*Conn]int64{}},
		epoch:  time.Now(),
		stop:   make(chan struct{}),
	}
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

// NewConn makes nc, whose opening handshake is done, a connection of s that
// tells h what the client says. Nothing is read until Start.
func (s *Server) NewConn(nc net.Conn, h Handler, l Limits) *Conn {
	l = l.withDefaults()
	c := &Conn{
		server:   s,
		loop:     s.loops[s.next.Add(1)%uint32(len(s.loops))],
		handler:  h,
		sock:     newSocket(nc),
		fragment: l.Fragment,
		outbox:   l.Outbox,
		dec:      decoder{maxMessage: l.MaxMessage},
	}
	c.polled = c.loop.poll != nil && c.sock.raw != nil
	c.reader.Store(uint32(reading)) // until Start parks it
	c.heard.Store(s.now())
	c.ticket = c.loop.table.add(c)
	return c
}

// All gives every connection that is open at the time it is reached.
func (s *Server) All() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, l := range s.loops {
			for _, c := range l.table.part(nil, 0, 1) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Close cuts every connection and ends the server. When it returns, no
// goroutine of the server runs any more.
func (s *Server) Close() {
	close(s.stop)
	s.sweeper.Wait()
	for c := range s.All() {
		c.Kill()
	}
	for _, l := range s.loops {
		if l.poll != nil {
			l.poll.close()
		}
	}
	s.work.Wait()
}

// now is the time since the server's start, in nanoseconds.
func (s *Server) now() int64 { return int64(time.Since(s.epoch)) }
