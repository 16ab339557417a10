//go:build linux

package load

import (
	"fmt"
	"syscall"
	"time"

	"ws-fpm/bench/epoll"
)

// smallBuffer is the receive buffer of a subscriber that does not read.
const smallBuffer = 4096

// settle is how long subscribers are connected before anything is published:
// a server may have answered before it has told its other processes.
const settle = 300 * time.Millisecond

// A crowd is the subscribers of one channel, and who publishes to it, all
// driven from one thread.
type crowd struct {
	*loop
	post    *publisher
	reading int     // subscribers that read and are still there
	sentAt  []int64 // nanoseconds on the loop's clock, of each message published
	came    uint64  // deliveries of all messages
	owed    uint64  // deliveries that are to come, if none is lost
	result  *Result
	err     error // why the first subscriber was lost
}

// broadcast measures what many subscribers get that one publishes.
func broadcast(s Settings) (Result, error) {
	r := Result{Mode: s.Mode, Conns: s.Conns, Size: s.Size}
	if err := raiseLimit(s.Conns); err != nil {
		return r, err
	}
	var before uint64
	if s.Metrics != "" {
		var err error
		if before, _, err = counters(s.Metrics); err != nil {
			return r, err
		}
	}
	one := s
	one.Rate = 0
	l, err := newLoop(one)
	if err != nil {
		return r, err
	}
	defer l.close()
	if err := l.open(one, 0, s.Conns); err != nil {
		return r, err
	}
	if s.Hello {
		if err := speak([]*loop{l}, max(time.Duration(s.Conns)*150*time.Microsecond, 100*time.Millisecond)); err != nil {
			return r, err
		}
	}
	if err := rest([]*loop{l}, settle); err != nil {
		return r, err
	}
	c := &crowd{loop: l, result: &r, reading: s.Conns - s.Slow}
	for i, k := range l.conns {
		k.seq, k.busy = 0, false
		if i < s.Slow {
			syscall.SetsockoptInt(k.fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer)
			if err := l.set.Remove(k.fd); err != nil {
				return r, err
			}
		}
	}
	if c.post, err = newPublisher(s.Publish, s.Target, s.Size); err != nil {
		return r, err
	}
	defer syscall.Close(c.post.fd)
	if err := l.set.Add(c.post.fd, epoll.In); err != nil {
		return r, err
	}
	l.began, l.rate, l.measureFrom, l.stopAt = time.Now(), s.Rate, s.Warm, s.Warm+s.Duration
	clock := startClock(s, l.began)
	if err := c.run(); err != nil {
		return r, err
	}
	if err := clock.stop(&r); err != nil {
		return r, err
	}
	r.Publish = uint64(len(c.sentAt))
	if s.Metrics != "" {
		if err := account(s.Metrics, l, before, &r); err != nil {
			return r, err
		}
		want := (r.Publish + 1) * uint64(s.Conns) // the answers to Hello are such messages too
		if s.Hello && s.Slow == 0 && r.Lost == 0 && r.Meant != want {
			return r, fmt.Errorf("the server counts %d messages for clients, and %d were sent to it", r.Meant, want)
		}
	}
	r.Sent = r.Publish * uint64(s.Conns-s.Slow)
	r.Missed = r.Sent - c.came
	l.latency.into(&r)
	if r.Messages == 0 {
		return r, fmt.Errorf("nothing was delivered within %v: %v", s.Duration, c.err)
	}
	return r, nil
}

func (c *crowd) run() error {
	if c.rate > 0 {
		defer epoll.Punctual()()
	}
	for {
		now := c.now()
		done := c.post.idle() && c.came >= c.owed
		switch {
		case now >= c.stopAt && done, now >= c.stopAt+grace:
			return nil // what has not come by now is missed
		case now < c.stopAt && c.post.idle() && c.due(now, done):
			if err := c.publish(now); err != nil {
				return err
			}
		}
		events, err := c.set.WaitFor(c.wait(now))
		if err != nil {
			return err
		}
		for _, e := range events {
			if int(e.Fd) == c.post.fd {
				if err := c.post.read(c.buf); err != nil {
					return err
				}
			} else if k := c.byFD[e.Fd]; k.fd >= 0 {
				if err := c.read(k); err != nil {
					c.lose(k, err)
				}
			}
		}
	}
}

// due reports whether the next message is to be published.
func (c *crowd) due(now time.Duration, done bool) bool {
	if c.rate == 0 {
		return done
	}
	return c.dueAt(int64(len(c.sentAt))) <= int64(now)
}

// wait is how long nothing has to be done unless something comes.
func (c *crowd) wait(now time.Duration) time.Duration {
	if now >= c.stopAt {
		return c.stopAt + grace - now
	}
	wait := c.stopAt - now
	if c.rate > 0 && c.post.idle() {
		wait = min(wait, time.Duration(c.dueAt(int64(len(c.sentAt))))-now)
	}
	return wait
}

// publish sends the next message. Its time is when it was due.
func (c *crowd) publish(now time.Duration) error {
	at := int64(now)
	if c.rate > 0 {
		at = c.dueAt(int64(len(c.sentAt)))
	}
	c.sentAt = append(c.sentAt, at)
	c.owed += uint64(c.reading)
	c.m.set(0, uint32(len(c.sentAt)))
	return c.post.send(c.m.plain)
}

// read takes what a subscriber was sent, and checks that it is the message
// that follows the one before.
func (c *crowd) read(k *conn) error {
	n, err := epoll.Read(k.fd, c.buf)
	if err == syscall.EAGAIN {
		return nil
	}
	if n == 0 || err != nil {
		return fmt.Errorf("closed by the server: %v", err)
	}
	for rest, complete := c.buf[:n], false; len(rest) > 0; {
		c.m.set(0, k.seq+1)
		if rest, complete, err = k.feed(rest, c.m.plain, c.opcode); err != nil {
			return err
		}
		if !complete {
			continue
		}
		if int(k.seq) >= len(c.sentAt) {
			return fmt.Errorf("a message that was not published")
		}
		now := c.now()
		if now >= c.measureFrom && now < c.stopAt {
			c.latency.add(now - time.Duration(c.sentAt[k.seq]))
		}
		k.seq++
		c.came++
	}
	if len(k.pong) > 0 {
		return c.write(k)
	}
	return nil
}

// lose counts a subscriber that the server has cut off, or that got something
// wrong, and no longer waits for what it would have got.
func (c *crowd) lose(k *conn, err error) {
	if c.err == nil {
		c.err = fmt.Errorf("subscriber %d after message %d: %w", k.number, k.seq, err)
	}
	syscall.Close(k.fd)
	k.fd = -1
	c.reading--
	c.result.Lost++
	c.owed -= uint64(len(c.sentAt)) - uint64(k.seq)
}
