//go:build linux

package load

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"ws-fpm/bench/epoll"
)

// A loop drives connections from one goroutine. Its counters are its own
// until run returns.
type loop struct {
	conns   []*conn
	byFD    []*conn
	set     *epoll.Set
	m       *message
	echo    bool // send messages
	once    bool // one each, and no more
	began   time.Time
	buf     []byte
	opcode  byte // of the answers: what was sent
	latency histogram

	// Answers between measureFrom and stopAt, on the clock that began starts,
	// are counted; after stopAt no message is sent.
	measureFrom, stopAt time.Duration
	firstEnd, lastFrom  time.Duration // of the first and the last tenth in between
	first, last         uint64        // messages answered there
	inFlight            int

	rate   float64 // messages a second; zero: the next as soon as an answer has come
	issued int64   // with a rate: messages that have been due
}

// newLoop makes a loop without connections.
func newLoop(s Settings) (*loop, error) {
	set, err := epoll.New()
	if err != nil {
		return nil, err
	}
	l := &loop{set: set, m: newMessage(s.Size, s.Binary), buf: make([]byte, 256<<10), opcode: 1}
	if s.Binary {
		l.opcode = 2
	}
	return l, nil
}

// open connects a loop's connections, those of all from first to before end.
func (l *loop) open(s Settings, first, end int) error {
	l.rate = s.Rate * float64(end-first) / float64(s.Conns)
	to, err := newServer(s.Addr, s.Path, s.Mode != "broadcast")
	if err != nil {
		return err
	}
	for i := first; i < end; i++ {
		fd, err := to.open(i)
		if err == nil {
			err = l.add(&conn{fd: fd, number: uint32(i)})
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

func (l *loop) add(c *conn) error {
	l.conns = append(l.conns, c)
	for c.fd >= len(l.byFD) {
		l.byFD = append(l.byFD, nil)
	}
	l.byFD[c.fd] = c
	return l.set.Add(c.fd, epoll.In)
}

func (l *loop) close() {
	for _, c := range l.conns {
		if c.fd >= 0 {
			syscall.Close(c.fd)
		}
	}
	l.set.Close()
}

// fewAtOnce bounds the messages in flight where each connection sends one: after
// a pause of the machine they would come all at once.
const fewAtOnce = 256

// grace is how long answers are waited for once no message is sent any more.
const grace = 10 * time.Second

func (l *loop) now() time.Duration { return time.Since(l.began) }

// run sends and checks messages until stopAt and the last answer; without
// echo it only answers pings until stopAt.
func (l *loop) run() error {
	if l.rate > 0 {
		defer epoll.Punctual()()
	}
	if l.echo && l.rate == 0 {
		now := int64(l.now())
		for _, c := range l.conns {
			if err := l.next(c, now); err != nil {
				return err
			}
		}
	}
	for {
		now := l.now()
		switch {
		case now >= l.stopAt && l.inFlight == 0 && !(l.echo && l.once && l.issued < int64(len(l.conns))):
			return nil
		case now >= l.stopAt+grace:
			return fmt.Errorf("%d answers are missing %v after the end", l.inFlight, grace)
		}
		wait := l.stopAt - now
		if wait <= 0 {
			wait = grace
		}
		if l.echo && l.rate > 0 && (now < l.stopAt || l.once) {
			due, err := l.issue(now)
			if err != nil {
				return err
			}
			wait = min(wait, due)
		}
		events, err := l.set.WaitFor(wait)
		if err != nil {
			return err
		}
		for _, e := range events {
			c := l.byFD[e.Fd]
			if e.Events&epoll.Out != 0 {
				err = l.write(c)
			}
			if err == nil && e.Events&epoll.Readable != 0 {
				err = l.read(c)
			}
			if err != nil {
				return fmt.Errorf("connection %d, message %d: %w", c.number, c.seq, err)
			}
		}
	}
}

// dueAt is when the n-th of all messages of a fixed rate is due.
func (l *loop) dueAt(n int64) int64 { return int64(float64(n) / l.rate * 1e9) }

// issue begins the messages that are due, each connection's in turn, and says
// how long there is to wait for the next. A message whose connection is still
// waiting for an answer is owed: it is late, and that counts from when it was
// due (else a server that stalls would not be asked while it does).
func (l *loop) issue(now time.Duration) (time.Duration, error) {
	for {
		if l.once && (l.issued == int64(len(l.conns)) || l.inFlight >= fewAtOnce) {
			return grace, nil
		}
		if due := l.dueAt(l.issued); due > int64(now) {
			return time.Duration(due) - now, nil
		}
		c := l.conns[l.issued%int64(len(l.conns))]
		l.issued++
		if c.busy {
			c.owed++
			continue
		}
		if err := l.nextDue(c); err != nil {
			return 0, err
		}
	}
}

// nextDue begins a connection's next message of a fixed rate.
func (l *loop) nextDue(c *conn) error {
	index := int64(c.number - l.conns[0].number)
	due := l.dueAt(index + c.turns*int64(len(l.conns)))
	c.turns++
	return l.next(c, due)
}

// next begins a connection's next message.
func (l *loop) next(c *conn, due int64) error {
	c.seq++
	c.busy, c.sent, c.got, c.due = true, 0, 0, due
	l.inFlight++
	return l.write(c)
}

// write goes on with the message in flight and then with a pong that waits.
func (l *loop) write(c *conn) error {
	if c.busy && c.sent < len(l.m.wire) {
		l.m.set(c.number, c.seq)
		n, err := epoll.Write(c.fd, l.m.wire[c.sent:])
		if err != nil {
			return err
		}
		c.sent += n
	}
	whole := !c.busy || c.sent == len(l.m.wire)
	if whole && len(c.pong) > 0 {
		n, err := epoll.Write(c.fd, c.pong)
		if err != nil {
			return err
		}
		c.pong = c.pong[n:]
	}
	if blocked := !whole || len(c.pong) > 0; blocked != c.wantW {
		c.wantW = blocked
		interest := uint32(epoll.In)
		if blocked {
			interest |= epoll.Out
		}
		return l.set.Change(c.fd, interest)
	}
	return nil
}

// read takes what the socket has and checks it.
func (l *loop) read(c *conn) error {
	n, err := epoll.Read(c.fd, l.buf)
	switch {
	case err == syscall.EAGAIN:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("closed by the server")
	}
	l.m.set(c.number, c.seq)
	for rest, complete := l.buf[:n], false; len(rest) > 0; {
		if rest, complete, err = c.feed(rest, l.m.plain, l.opcode); err != nil {
			return err
		}
		if !complete {
			continue
		}
		if !c.busy || c.sent < len(l.m.wire) || len(rest) > 0 && rest[0]&0x0f < 8 {
			return errors.New("an answer to nothing")
		}
		c.busy = false
		l.inFlight--
		if err := l.answered(c); err != nil {
			return err
		}
	}
	if len(c.pong) > 0 {
		return l.write(c)
	}
	return nil
}

// answered counts an answer and begins the next message, if there is one.
func (l *loop) answered(c *conn) error {
	now := l.now()
	if now >= l.measureFrom && now < l.stopAt {
		l.latency.add(now - time.Duration(c.due))
		if now < l.firstEnd {
			l.first++
		} else if now >= l.lastFrom {
			l.last++
		}
	}
	switch {
	case now >= l.stopAt || l.once:
		return nil
	case l.rate == 0:
		return l.next(c, int64(now))
	case c.owed > 0:
		c.owed--
		return l.nextDue(c)
	}
	return nil
}
