//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// A loop drives connections from one goroutine. Its counters are its own
// until run returns.
type loop struct {
	conns   []*conn
	epoll   int
	m       *message
	echo    bool // send a new message when an answer has come
	began   time.Time
	buf     []byte
	opcode  byte // of the answers: what was sent
	latency histogram

	// Answers between measureFrom and stopAt, on the clock that began starts,
	// are counted; after stopAt no message is sent.
	measureFrom, stopAt time.Duration
	inFlight            int
	pings               int
}

// newLoop connects a loop's connections.
func newLoop(s settings, first, count int) (*loop, error) {
	l := &loop{m: newMessage(s.size, s.binary), buf: make([]byte, 64<<10), opcode: 1, epoll: -1}
	if s.binary {
		l.opcode = 2
	}
	var err error
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	for i := range count {
		c, err := open(s.addr, s.path, uint32(first+i))
		if err == nil {
			l.conns = append(l.conns, c)
			err = l.register(syscall.EPOLL_CTL_ADD, i, false)
		}
		if err != nil {
			l.close()
			return nil, fmt.Errorf("connection %d: %w", first+i, err)
		}
	}
	return l, nil
}

// register tells epoll what to wait for on the connection at an index.
func (l *loop) register(op, index int, writable bool) error {
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(index)}
	if writable {
		ev.Events |= syscall.EPOLLOUT
	}
	return syscall.EpollCtl(l.epoll, op, l.conns[index].fd, &ev)
}

func (l *loop) close() {
	for _, c := range l.conns {
		syscall.Close(c.fd)
	}
	syscall.Close(l.epoll)
}

// grace is how long answers are waited for once no message is sent any more.
const grace = 10 * time.Second

// run sends and checks messages until stopAt and the last answer; without
// echo it only answers pings until stopAt.
func (l *loop) run() error {
	if l.echo {
		for i := range l.conns {
			if err := l.next(i); err != nil {
				return err
			}
		}
	}
	events := make([]syscall.EpollEvent, 256)
	for {
		now := time.Since(l.began)
		switch {
		case now >= l.stopAt && l.inFlight == 0:
			return nil
		case now >= l.stopAt+grace:
			return fmt.Errorf("%d answers are missing %v after the end", l.inFlight, grace)
		}
		wait := int(max(l.stopAt-now, 0)/time.Millisecond) + 1
		n, err := syscall.EpollWait(l.epoll, events, min(wait, 1000))
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			c := l.conns[ev.Fd]
			if ev.Events&syscall.EPOLLOUT != 0 {
				err = l.write(int(ev.Fd))
			}
			if err == nil && ev.Events&^syscall.EPOLLOUT != 0 {
				err = l.read(int(ev.Fd))
			}
			if err != nil && !errors.Is(err, syscall.EINTR) {
				return fmt.Errorf("connection %d, message %d: %w", c.number, c.seq, err)
			}
			err = nil
		}
	}
}

// next begins a connection's next message.
func (l *loop) next(index int) error {
	c := l.conns[index]
	c.seq++
	c.sent, c.got = 0, 0
	c.sentAt = int64(time.Since(l.began))
	l.inFlight++
	return l.write(index)
}

// write goes on with the message in flight and then with a pong that waits.
func (l *loop) write(index int) error {
	c := l.conns[index]
	if c.seq > 0 && c.sent < len(l.m.wire) {
		l.m.set(c.number, c.seq)
		n, err := writeSome(c.fd, l.m.wire[c.sent:])
		if err != nil {
			return err
		}
		c.sent += n
	}
	whole := c.seq == 0 || c.sent == len(l.m.wire)
	if whole && len(c.pong) > 0 {
		n, err := writeSome(c.fd, c.pong)
		if err != nil {
			return err
		}
		c.pong = c.pong[n:]
	}
	if blocked := !whole || len(c.pong) > 0; blocked != c.wantW {
		c.wantW = blocked
		return l.register(syscall.EPOLL_CTL_MOD, index, blocked)
	}
	return nil
}

// writeSome writes what the socket takes.
func writeSome(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, b)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		}
		return max(n, 0), err
	}
}

// read takes what the socket has and checks it.
func (l *loop) read(index int) error {
	c := l.conns[index]
	n, err := syscall.Read(c.fd, l.buf)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("closed by the server")
	}
	l.m.set(c.number, c.seq)
	complete, err := c.feed(l.buf[:n], l.m.plain, l.opcode)
	if err != nil {
		return err
	}
	if len(c.pong) > 0 {
		l.pings++
		if err := l.write(index); err != nil {
			return err
		}
	}
	if !complete {
		return nil
	}
	if !l.echo || c.sent < len(l.m.wire) {
		return errors.New("an answer to nothing")
	}
	l.inFlight--
	now := time.Since(l.began)
	if now >= l.measureFrom && now < l.stopAt {
		l.latency.add(now - time.Duration(c.sentAt))
	}
	if now < l.stopAt {
		return l.next(index)
	}
	return nil
}

// feed decodes what the server sent. It says whether that completes the
// answer, which must be want and is compared as it comes.
func (c *conn) feed(b, want []byte, opcode byte) (complete bool, err error) {
	for len(b) > 0 {
		if c.left == 0 {
			var ok bool
			if b, ok, err = c.frameHeader(b, opcode); err != nil || !ok {
				return complete, err
			}
		}
		n := int(min(c.left, uint64(len(b))))
		part := b[:n]
		b, c.left = b[n:], c.left-uint64(n)
		if c.op >= 8 {
			c.control = append(c.control, part...)
		} else {
			if complete || c.got+n > len(want) || !bytes.Equal(part, want[c.got:c.got+n]) {
				return false, fmt.Errorf("wrong answer at byte %d of %d", c.got, len(want))
			}
			c.got += n
		}
		if c.left > 0 {
			return complete, nil
		}
		c.have = 0 // the frame is over
		switch {
		case c.op == 9:
			c.answer()
		case c.op == 8:
			return false, fmt.Errorf("closed with %x", c.control)
		case c.op < 8 && c.fin && c.got != len(want):
			return false, fmt.Errorf("answer of %d bytes, want %d", c.got, len(want))
		case c.op < 8 && c.fin:
			complete = true
		}
	}
	return complete, nil
}

// frameHeader collects a frame's header and says whether it is complete.
func (c *conn) frameHeader(b []byte, opcode byte) (rest []byte, ok bool, err error) {
	for c.have < headerSize(c.header[:c.have]) {
		if len(b) == 0 {
			return nil, false, nil
		}
		c.header[c.have] = b[0]
		c.have, b = c.have+1, b[1:]
	}
	c.fin, c.op = c.header[0]&0x80 != 0, c.header[0]&0x0f
	switch length := c.header[1]; {
	case length < 126:
		c.left = uint64(length)
	case length == 126:
		c.left = uint64(binary.BigEndian.Uint16(c.header[2:]))
	case length == 127:
		c.left = binary.BigEndian.Uint64(c.header[2:])
	default:
		return nil, false, errors.New("masked frame")
	}
	switch {
	case c.header[0]&0x70 != 0:
		return nil, false, errors.New("reserved bits are set")
	case c.op >= 8 && (c.op > 10 || c.left > 125 || !c.fin):
		return nil, false, fmt.Errorf("control frame %x", c.header[:2])
	case c.op >= 8:
		c.control = c.control[:0]
	case c.op == 0 && c.got == 0, c.op != 0 && (c.op != opcode || c.got > 0):
		return nil, false, fmt.Errorf("opcode %d, want %d", c.op, opcode)
	}
	return b, true, nil
}

// headerSize is how many bytes the frame header has that begins with h.
func headerSize(h []byte) int {
	switch {
	case len(h) >= 2 && h[1] == 126:
		return 4
	case len(h) >= 2 && h[1] == 127:
		return 10
	}
	return 2
}

// answer prepares the pong for a ping that has come.
func (c *conn) answer() {
	if len(c.pong) > 0 {
		return // only the latest ping wants an answer, and half a pong cannot be taken back
	}
	c.pong = append(c.pong[:0], 0x8a, 0x80|byte(len(c.control)))
	c.pong = append(c.pong, maskKey[:]...)
	for i, b := range c.control {
		c.pong = append(c.pong, b^maskKey[i&3])
	}
}
