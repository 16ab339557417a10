//go:build linux

package load

import (
	"fmt"
	"sync"
	"time"
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
		l.firstEnd, l.lastFrom = s.Warm+s.Duration/10, s.Warm+s.Duration-s.Duration/10
	}
	c := startClock(s, began)
	if err := runAll(loops); err != nil {
		return Result{}, err
	}
	r := Result{Mode: s.Mode, Conns: s.Conns, Size: s.Size}
	var h histogram
	var first, last uint64
	for _, l := range loops {
		h.merge(&l.latency)
		first, last = first+l.first, last+l.last
		for _, c := range l.conns {
			r.Pings += c.pinged
		}
	}
	if err := c.stop(&r); err != nil {
		return Result{}, err
	}
	if s.Tenths {
		c.tenths(&r, first, last)
	}
	if h.count == 0 {
		return Result{}, fmt.Errorf("no message was answered within %v", s.Duration)
	}
	h.into(&r)
	return r, nil
}
