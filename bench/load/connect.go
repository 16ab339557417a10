//go:build linux

package load

import (
	"sync"
	"syscall"
	"time"
)

// handshakes measures connections that are opened and, once the server's
// answer has been checked, closed again: so many at a time, each by a thread of
// its own that blocks.
func handshakes(s Settings) (Result, error) {
	if err := raiseLimit(s.Conns); err != nil {
		return Result{}, err
	}
	began := time.Now()
	c := startClock(s, began)
	counts := make([]histogram, s.Conns)
	errs := make([]error, s.Conns)
	var wg sync.WaitGroup
	for i := range s.Conns {
		wg.Go(func() { errs[i] = openAndClose(s, i, began, &counts[i]) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return Result{}, err
		}
	}
	r := Result{Mode: s.Mode, Conns: s.Conns, Size: s.Size}
	if err := c.stop(&r); err != nil {
		return Result{}, err
	}
	var h histogram
	for i := range counts {
		h.merge(&counts[i])
	}
	h.into(&r)
	return r, nil
}

func openAndClose(s Settings, number int, began time.Time, h *histogram) error {
	to, err := newServer(s.Addr, s.Path, true)
	if err != nil {
		return err
	}
	for {
		start := time.Since(began)
		if start >= s.Warm+s.Duration {
			return nil
		}
		// Ports of a closed connection rest for a minute: each thread has an
		// address of its own.
		fd, err := to.open(number * perSource)
		if err != nil {
			return err
		}
		if end := time.Since(began); end >= s.Warm && end < s.Warm+s.Duration {
			h.add(end - start)
		}
		syscall.Close(fd)
	}
}
