//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// connect opens all connections, divided among the threads. It first makes
// sure that this process may hold so many.
func connect(s settings) ([]*loop, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	if need := uint64(s.conns + 64); limit.Cur < need {
		limit.Cur = need
		limit.Max = max(limit.Max, need)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return nil, fmt.Errorf("%d connections need as many file descriptors: %w", s.conns, err)
		}
	}
	var loops []*loop
	for i := range s.threads {
		first, end := i*s.conns/s.threads, (i+1)*s.conns/s.threads
		l, err := newLoop(s, first, end-first)
		if err != nil {
			closeAll(loops)
			return nil, err
		}
		loops = append(loops, l)
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
func echo(s settings, out io.Writer) error {
	loops, err := connect(s)
	if err != nil {
		return err
	}
	defer closeAll(loops)
	began := time.Now()
	for _, l := range loops {
		l.echo, l.began, l.measureFrom, l.stopAt = true, began, s.warm, s.warm+s.duration
	}
	// The server's time is read at both ends of the measurement, not of the run.
	type sample struct {
		server, own time.Duration
		err         error
	}
	take := func() (p sample) {
		if p.own = ownCPU(); s.pid != 0 {
			p.server, p.err = cpuTime(s.pid)
		}
		return p
	}
	samples := make(chan sample, 2)
	for _, at := range []time.Duration{s.warm, s.warm + s.duration} {
		timer := time.AfterFunc(time.Until(began.Add(at)), func() { samples <- take() })
		defer timer.Stop()
	}
	if err := runAll(loops); err != nil {
		return err
	}
	before, after := <-samples, <-samples
	var h histogram
	for _, l := range loops {
		h.merge(&l.latency)
	}
	if h.count == 0 {
		return fmt.Errorf("no message was answered within %v", s.duration)
	}
	fmt.Fprintf(out, "echo: %d connections, %d bytes, %v\n", s.conns, s.size, s.duration)
	fmt.Fprintf(out, "messages   %d, %.0f/s, every answer checked\n", h.count, float64(h.count)/s.duration.Seconds())
	fmt.Fprintf(out, "latency    p50 %v, p99 %v, max %v\n", short(h.quantile(0.5)), short(h.quantile(0.99)), short(h.max))
	switch {
	case s.pid == 0:
	case before.err != nil || after.err != nil:
		return fmt.Errorf("reading the server's cpu time: %v, %v", before.err, after.err)
	default:
		used := after.server - before.server
		fmt.Fprintf(out, "server     %.2f µs cpu per message, %.0f %% of a cpu\n",
			float64(used.Microseconds())/float64(h.count), percent(used, s.duration))
	}
	own := after.own - before.own
	fmt.Fprintf(out, "generator  %.2f µs cpu per message, %.0f %% of a cpu\n",
		float64(own.Microseconds())/float64(h.count), percent(own, s.duration))
	return nil
}

func percent(part, whole time.Duration) float64 { return 100 * float64(part) / float64(whole) }

func short(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// idle measures what connections cost that do nothing.
func idle(s settings, out io.Writer) error {
	var before, after memory
	var err error
	if s.pid != 0 {
		// A few connections first, so that what the server needs only once is
		// there before the first reading.
		few := s
		few.conns, few.threads = min(10, s.conns), 1
		warm, err := connect(few)
		if err != nil {
			return err
		}
		closeAll(warm)
		if before, err = memoryOf(s.pid); err != nil {
			return err
		}
	}
	began := time.Now()
	loops, err := connect(s)
	if err != nil {
		return err
	}
	defer closeAll(loops)
	opened := time.Since(began)
	for _, l := range loops {
		l.began, l.stopAt = time.Now(), s.wait
	}
	if err := runAll(loops); err != nil {
		return err
	}
	fmt.Fprintf(out, "idle: %d connections, opened in %v, %v ago\n", s.conns, opened.Round(time.Millisecond), s.wait)
	pings := 0
	for _, l := range loops {
		pings += l.pings
	}
	fmt.Fprintf(out, "pings      %d answered, no connection lost\n", pings)
	if s.pid != 0 {
		if after, err = memoryOf(s.pid); err != nil {
			return err
		}
		n := int64(s.conns)
		fmt.Fprintf(out, "memory     PSS %d KiB before, %d KiB after: %d bytes per connection (%d of them heap and stacks)\n",
			before.pss>>10, after.pss>>10, (after.pss-before.pss)/n, (after.anon-before.anon)/n)
	}
	if s.goroutines != "" {
		count, err := goroutines(s.goroutines)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "goroutines %s\n", count)
	}
	return nil
}

// goroutines reads the count from metrics in Prometheus's text format.
func goroutines(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if count, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return count, nil
		}
	}
	return "", fmt.Errorf("%s has no line go_goroutines", url)
}
