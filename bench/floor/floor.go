//go:build linux

package floor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"ws-fpm/bench/epoll"
	"ws-fpm/bench/stub"
)

// everything is waited for once, edge-triggered, so that no call is needed to
// change it.
const everything = epoll.In | epoll.Out | epoll.Edge

// A socket is a client's or one to php-fpm. What it sends is taken as a whole
// when it is whole, for there is only one message at a time.
type socket struct {
	fd      int
	php     bool
	open    bool    // of a client: hands were shaken
	client  *socket // of php-fpm: whom it works for
	in, out []byte  // in: what came of an unfinished message; out: not sent yet
	waiting bool    // of a client: its message is in in, and php-fpm is busy
}

type gateway struct {
	set     *epoll.Set
	sockets []*socket // by descriptor
	free    []*socket // connections to php-fpm that are idle
	queue   []*socket // clients whose message waits for one, from head on
	head    int
	params  []byte
	buf     []byte // what is read
	wire    []byte // what is written
}

// Serve is a gateway with so many connections to php-fpm, for ever: wait,
// read a client, write php-fpm, wait, read php-fpm, write the client.
func Serve(listen, php, script string, conns int) error {
	set, err := epoll.New()
	if err != nil {
		return err
	}
	g := &gateway{set: set, buf: make([]byte, 256<<10)}
	// As many params as a gateway replays with a browser's handshake.
	for _, p := range [][2]string{
		{"SCRIPT_FILENAME", script}, {"REQUEST_METHOD", "POST"}, {"CONTENT_TYPE", "text/plain"},
		{"SERVER_PROTOCOL", "HTTP/1.1"}, {"GATEWAY_INTERFACE", "CGI/1.1"}, {"REQUEST_URI", "/ws"},
		{"HTTP_COOKIE", strings.Repeat("c", 700)},
	} {
		g.params = stub.Param(g.params, p[0], p[1])
	}
	for range conns {
		fd, err := epoll.Dial(php)
		if err != nil {
			return err
		}
		s, err := g.add(fd)
		if err != nil {
			return err
		}
		s.php = true
		g.free = append(g.free, s)
	}
	listener, err := epoll.Listen(listen)
	if err != nil {
		return err
	}
	if err := set.Add(listener, epoll.In); err != nil {
		return err
	}
	for {
		events, err := set.Wait()
		if err != nil {
			return err
		}
		for _, e := range events {
			if int(e.Fd) == listener {
				err = g.accept(listener)
			} else if s := g.sockets[e.Fd]; s != nil {
				err = g.serve(s, e.Events)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (g *gateway) add(fd int) (*socket, error) {
	for fd >= len(g.sockets) {
		g.sockets = append(g.sockets, nil)
	}
	s := &socket{fd: fd}
	g.sockets[fd] = s
	return s, g.set.Add(fd, everything)
}

func (g *gateway) accept(listener int) error {
	for {
		fd, err := epoll.Accept(listener)
		if err == syscall.EAGAIN {
			return nil
		}
		if err == nil {
			syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
			_, err = g.add(fd)
		}
		if err != nil {
			return err
		}
	}
}

func (g *gateway) serve(s *socket, events uint32) error {
	if events&epoll.Out != 0 && len(s.out) > 0 {
		if err := g.send(s, nil); err != nil {
			return g.lost(s, err)
		}
	}
	for events&epoll.Readable != 0 && !s.waiting {
		n, err := epoll.Read(s.fd, g.buf)
		if err == syscall.EAGAIN {
			return nil
		}
		if n == 0 {
			return g.lost(s, err)
		}
		b := g.buf[:n]
		if len(s.in) > 0 {
			s.in = append(s.in, b...)
			b = s.in
		}
		if s.php {
			err = g.fromPHP(s, b)
		} else {
			err = g.fromClient(s, b)
		}
		if err != nil || n < len(g.buf) { // less than there was room for: all there was
			return err
		}
	}
	return nil
}

// lost forgets a client. Without php-fpm there is nothing to measure.
func (g *gateway) lost(s *socket, err error) error {
	if s.php {
		return fmt.Errorf("floor: php-fpm closed: %v", err)
	}
	g.sockets[s.fd] = nil
	for _, p := range g.sockets {
		if p != nil && p.client == s {
			p.client = nil
		}
	}
	s.open = false // its message may be in the queue
	return syscall.Close(s.fd)
}

// fromClient is given all of a client's message that has come.
func (g *gateway) fromClient(s *socket, b []byte) error {
	if !s.open {
		answer := switching(b)
		s.open = answer != nil
		s.keep(b, answer != nil)
		return g.send(s, answer)
	}
	payload, err := frame(b)
	switch {
	case err != nil:
		return g.lost(s, err)
	case payload == nil:
		s.keep(b, false)
		return nil
	case len(g.free) == 0:
		s.in, s.waiting = append(s.in[:0], payload...), true
		g.queue = append(g.queue, s)
		return nil
	}
	s.keep(b, true)
	return g.ask(s, payload)
}

// ask sends php-fpm a client's message: one write, if the socket takes it.
func (g *gateway) ask(s *socket, payload []byte) error {
	p := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	p.client = s
	params := stub.ContentLength(g.params, len(payload))
	g.wire = stub.Request(g.wire[:0], 1, true, params, payload)
	return g.send(p, g.wire)
}

// fromPHP is given all of an answer that has come.
func (g *gateway) fromPHP(p *socket, b []byte) error {
	size, ended := 0, false
	for rest := b; len(rest) >= 8; {
		length := int(binary.BigEndian.Uint16(rest[4:]))
		whole := 8 + length + int(rest[6])
		if len(rest) < whole {
			break
		}
		if rest[1] == 6 {
			size += length
		}
		ended = rest[1] == 3
		rest = rest[whole:]
	}
	if !ended {
		p.keep(b, false)
		return nil
	}
	g.wire = g.wire[:0]
	for rest := b; rest[1] != 3; {
		length := int(binary.BigEndian.Uint16(rest[4:]))
		content := rest[8:][:length]
		if rest[1] != 6 {
			content = nil // stderr
		} else if len(g.wire) == 0 {
			end := bytes.Index(content, []byte("\r\n\r\n")) + 4
			g.wire = appendHeader(g.wire, size-end)
			content = content[end:]
		}
		g.wire = append(g.wire, content...)
		rest = rest[8+length+int(rest[6]):]
	}
	s := p.client
	p.client = nil
	p.keep(b, true)
	g.free = append(g.free, p)
	if s != nil && s.open {
		if err := g.send(s, g.wire); err != nil {
			if err := g.lost(s, err); err != nil {
				return err
			}
		}
	}
	for g.head < len(g.queue) {
		next := g.queue[g.head]
		if g.head++; g.head == len(g.queue) {
			g.queue, g.head = g.queue[:0], 0
		}
		if !next.open {
			continue
		}
		next.waiting = false
		payload := next.in
		next.in = next.in[:0]
		return g.ask(next, payload)
	}
	return nil
}

// keep stores what came of an unfinished message, or drops a finished one.
func (s *socket) keep(b []byte, finished bool) {
	switch {
	case finished:
		s.in = s.in[:0]
	case len(s.in) == 0: // else b is s.in
		s.in = append(s.in, b...)
	}
}

// send writes b, behind what was not sent before.
func (g *gateway) send(s *socket, b []byte) error {
	if len(s.out) == 0 {
		n, err := epoll.Write(s.fd, b)
		s.out = append(s.out, b[max(n, 0):]...)
		return err
	}
	s.out = append(s.out, b...)
	n, err := epoll.Write(s.fd, s.out)
	s.out = append(s.out[:0], s.out[max(n, 0):]...)
	return err
}
