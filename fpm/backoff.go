package fpm

import "time"

const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 5 * time.Second
	// longLife is how long a php-fpm must have lived for its end to count as
	// the first again.
	longLife = 30 * time.Second
)

// backoff says how long to wait before a php-fpm that ended is started again:
// 100 ms, then twice as long each time, at most 5 s.
type backoff struct {
	delay time.Duration // the last one; zero before the first
}

// next gives the wait after a php-fpm that lived that long.
func (b *backoff) next(lived time.Duration) time.Duration {
	switch {
	case b.delay == 0 || lived >= longLife:
		b.delay = firstDelay
	default:
		b.delay = min(2*b.delay, lastDelay)
	}
	return b.delay
}
