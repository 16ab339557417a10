//go:build linux

package stub

import (
	"fmt"
	"io"
	"syscall"

	"ws-fpm/bench/epoll"
)

// A connection is one of a gateway's.
type connection struct {
	request
	carry []byte // the beginning of a record
	sent  int    // bytes of out
	wantW bool
	ended bool // to be closed when out is sent
}

// server serves all connections from one thread.
type server struct {
	set      *epoll.Set
	listener int
	head     []byte
	conns    []*connection // by descriptor
	spare    []*connection // closed; their buffers serve the next
	buf      []byte
	faults   int
	log      io.Writer
}

// maxFaults is how many requests that make no sense are told of.
const maxFaults = 20

// Serve answers on an address until the process ends. Each answer begins with
// head. What a gateway does wrong is written to log, and its connection ends.
func Serve(address string, head []byte, log io.Writer) error {
	set, err := epoll.New()
	if err != nil {
		return err
	}
	listener, err := epoll.Listen(address)
	if err != nil {
		return err
	}
	if err := set.Add(listener, epoll.In); err != nil {
		return err
	}
	s := &server{set: set, listener: listener, head: head, buf: make([]byte, 256<<10), log: log}
	for {
		events, err := set.Wait()
		if err != nil {
			return err
		}
		for _, e := range events {
			if int(e.Fd) == listener {
				s.accept()
			} else if c := s.conns[e.Fd]; c != nil {
				s.serve(int(e.Fd), c, e.Events)
			}
		}
	}
}

func (s *server) accept() {
	for {
		fd, err := epoll.Accept(s.listener)
		if err != nil {
			return // none waits, or no descriptor is left: the next event tries again
		}
		for fd >= len(s.conns) {
			s.conns = append(s.conns, nil)
		}
		c := &connection{}
		if n := len(s.spare); n > 0 {
			c, s.spare = s.spare[n-1], s.spare[:n-1]
		}
		c.head = s.head
		s.conns[fd] = c
		if s.set.Add(fd, epoll.In) != nil {
			s.close(fd, c)
			continue
		}
		s.serve(fd, c, epoll.In) // a request has often come along
	}
}

func (s *server) serve(fd int, c *connection, events uint32) {
	if c.wantW {
		// Reading waits until the answer has left, as in php-fpm.
		if events&epoll.Out == 0 {
			s.close(fd, c)
			return
		}
		s.write(fd, c)
		return
	}
	n, err := epoll.Read(fd, s.buf)
	if err == syscall.EAGAIN {
		return
	}
	if n == 0 {
		s.close(fd, c)
		return
	}
	b := s.buf[:n]
	if len(c.carry) > 0 {
		c.carry = append(c.carry, b...)
		b = c.carry
	}
	used, err := c.feed(b)
	if err != nil {
		if s.faults++; s.faults <= maxFaults {
			fmt.Fprintf(s.log, "stub: a gateway's fault: %v\n", err)
		}
		s.close(fd, c)
		return
	}
	c.carry = append(c.carry[:0], b[used:]...)
	if c.done > 0 {
		c.done = 0
		c.ended = !c.keep
	}
	if len(c.out) > 0 {
		s.write(fd, c)
	}
}

func (s *server) write(fd int, c *connection) {
	n, err := epoll.Write(fd, c.out[c.sent:])
	c.sent += n
	if err != nil {
		s.close(fd, c)
		return
	}
	whole := c.sent == len(c.out)
	if whole {
		c.out, c.sent = c.out[:0], 0
	}
	if whole && c.ended {
		s.close(fd, c)
		return
	}
	if whole == c.wantW {
		c.wantW = !whole
		interest := uint32(epoll.In)
		if c.wantW {
			interest = epoll.Out
		}
		if s.set.Change(fd, interest) != nil {
			s.close(fd, c)
		}
	}
}

func (s *server) close(fd int, c *connection) {
	syscall.Close(fd)
	s.conns[fd] = nil
	*c = connection{
		request: request{params: c.params[:0], body: c.body[:0], out: c.out[:0]},
		carry:   c.carry[:0],
	}
	s.spare = append(s.spare, c)
}
