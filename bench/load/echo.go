//go:build linux

package load

import (
	"fmt"
	"sync"
	"time"

	"ws-fpm/bench/process"
)

// connect opens all connections, divided among the threads.
func connect(s Settings) ([]*loop, error) {
	if err := raiseLimit(s.Conns); err != nil {
		return nil, err
	}
	var loops []*loop
	for range s.Threads {
		l, err := newLoop(s)
		if err != nil {
			closeAll(loops)
			return nil, err
		}
		loops = append(loops, l)
	}
	for i, l := range loops {
		if err := l.open(s, i*s.Conns/s.Threads, (i+1)*s.Conns/s.Threads); err != nil {
			closeAll(loops)
			return nil, err
		}
	}
	return loops, nil
}

func closeAll(loops []*loop) {
	for _, l := range loops {
		l.close()
	}
}

// runAll runs every loop and returns the first error, when all have ended.
func runAll(loops []*loop) error {
	errs := make([]error, len(loops))
	var wg sync.WaitGroup
	for i, l := range loops {
		wg.Go(func() { errs[i] = l.run() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// echo measures round trips.
func echo(s Settings) (Result, error) {
	loops, err := connect(s)
	if err != nil {
		return Result{}, err
	}
	defer closeAll(loops)
	began := time.Now()
	for _, l := range loops {
		l.echo, l.began, l.measureFrom, l.stopAt = true, began, s.Warm, s.Warm+s.Duration
	}
	c := startClock(s, began)
	if err := runAll(loops); err != nil {
		return Result{}, err
	}
	r := Result{Mode: s.Mode, Conns: s.Conns, Size: s.Size}
	if err := c.stop(&r); err != nil {
		return Result{}, err
	}
	var h histogram
	for _, l := range loops {
		h.merge(&l.latency)
		for _, c := range l.conns {
			r.Pings += c.pinged
		}
	}
	if h.count == 0 {
		return Result{}, fmt.Errorf("no message was answered within %v", s.Duration)
	}
	h.into(&r)
	return r, nil
}

// A clock reads what the server and this program use, at both ends of the
// measurement: what comes before and behind is not of it.
type clock struct {
	samples [2]chan sample
	seconds float64
}

type sample struct {
	server process.Usage
	own    time.Duration
	err    error
}

func startClock(s Settings, began time.Time) *clock {
	c := &clock{seconds: s.Duration.Seconds()}
	for i, at := range []time.Duration{s.Warm, s.Warm + s.Duration} {
		c.samples[i] = make(chan sample, 1)
		time.AfterFunc(time.Until(began.Add(at)), func() {
			p := sample{own: process.Own()}
			if s.PID != 0 {
				p.server, p.err = process.CPU(s.PID)
			}
			c.samples[i] <- p
		})
	}
	return c
}

// stop waits for the second reading.
func (c *clock) stop(r *Result) error {
	before, after := <-c.samples[0], <-c.samples[1]
	if before.err != nil || after.err != nil {
		return fmt.Errorf("reading the server's processor time: %v, %v", before.err, after.err)
	}
	r.Seconds = c.seconds
	r.Server, r.Own = after.server.Since(before.server), after.own-before.own
	return nil
}
