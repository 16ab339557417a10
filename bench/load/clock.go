//go:build linux

package load

import (
	"fmt"
	"time"

	"ws-fpm/bench/process"
)

// A clock reads what the server and this program use, at both ends of the
// measurement: what comes before and behind is not of it. For its tenths it
// does so inside as well.
type clock struct {
	ends    [2]chan sample
	inside  [2]chan sample // the end of the first tenth, the beginning of the last
	seconds float64

	begun, ended sample // set by stop
}

type sample struct {
	server process.Usage
	own    time.Duration
	garbage
	err error
}

func startClock(s Settings, began time.Time) *clock {
	c := &clock{seconds: s.Duration.Seconds()}
	read := func(at time.Duration, address string) chan sample {
		come := make(chan sample, 1)
		time.AfterFunc(time.Until(began.Add(at)), func() { come <- readSample(s.PID, address) })
		return come
	}
	address := ""
	if s.Mode == "echo" {
		address = s.Metrics
	}
	c.ends = [2]chan sample{read(s.Warm, address), read(s.Warm+s.Duration, address)}
	if s.Tenths {
		c.inside = [2]chan sample{read(s.Warm+s.Duration/10, ""), read(s.Warm+s.Duration-s.Duration/10, "")}
	}
	return c
}

func readSample(pid int, address string) sample {
	p := sample{own: process.Own()}
	if pid != 0 {
		p.server, p.err = process.CPU(pid)
	}
	if p.err == nil && address != "" {
		p.garbage, p.err = readGarbage(address)
	}
	return p
}

// stop waits for the second reading.
func (c *clock) stop(r *Result) error {
	before, after := <-c.ends[0], <-c.ends[1]
	c.begun, c.ended = before, after
	if before.err != nil || after.err != nil {
		return fmt.Errorf("reading what the server takes: %v, %v", before.err, after.err)
	}
	r.Seconds = c.seconds
	r.Server, r.Own = after.server.Since(before.server), after.own-before.own
	r.Allocs, r.Collections = after.allocs-before.allocs, after.collections-before.collections
	r.Collecting = after.collecting - before.collecting
	return nil
}

// tenths says what a message took at either end, after stop: so many were
// answered there.
func (c *clock) tenths(r *Result, first, last uint64) error {
	firstEnd, lastFrom := <-c.inside[0], <-c.inside[1]
	if firstEnd.err != nil || lastFrom.err != nil {
		return fmt.Errorf("reading what the server takes: %v, %v", firstEnd.err, lastFrom.err)
	}
	r.First = perMessage(firstEnd.server.Since(c.begun.server), first)
	r.Last = perMessage(c.ended.server.Since(lastFrom.server), last)
	return nil
}
