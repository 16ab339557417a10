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
	come    chan []sample
	samples []sample // in order; set by stop
	seconds float64
}

type sample struct {
	server process.Usage
	own    time.Duration
	garbage
	err error
}

// startClock begins to read: in one goroutine, so that readings are in order even
// if the machine pauses. Metrics, if there are any, are read at the ends only.
func startClock(s Settings, began time.Time) *clock {
	c := &clock{come: make(chan []sample, 1), seconds: s.Duration.Seconds()}
	times := []time.Duration{s.Warm, s.Warm + s.Duration}
	if s.Tenths {
		times = []time.Duration{s.Warm, s.Warm + s.Duration/10, s.Warm + s.Duration - s.Duration/10, s.Warm + s.Duration}
	}
	address := ""
	if s.Mode == "echo" {
		address = s.Metrics
	}
	go func() {
		samples := make([]sample, len(times))
		for i, at := range times {
			<-time.After(time.Until(began.Add(at)))
			if i == 0 || i == len(times)-1 {
				samples[i] = readSample(s.PID, address)
			} else {
				samples[i] = readSample(s.PID, "")
			}
		}
		c.come <- samples
	}()
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

// stop waits for the last reading, and says in r what was used between the ends.
func (c *clock) stop(r *Result) error {
	c.samples = <-c.come
	for _, s := range c.samples {
		if s.err != nil {
			return fmt.Errorf("reading what the server takes: %w", s.err)
		}
	}
	before, after := c.samples[0], c.samples[len(c.samples)-1]
	r.Seconds = c.seconds
	r.Server, r.Own = after.server.Since(before.server), after.own-before.own
	r.Allocs, r.Collections = after.allocs-before.allocs, after.collections-before.collections
	r.Collecting = after.collecting - before.collecting
	return nil
}

// tenths says what a message took at either end, after stop: so many were
// answered there.
func (c *clock) tenths(r *Result, first, last uint64) {
	r.First = perMessage(c.samples[1].server.Since(c.samples[0].server), first)
	r.Last = perMessage(c.samples[3].server.Since(c.samples[2].server), last)
}
