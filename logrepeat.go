package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// maxLogRepeats is how often a message is logged in one second.
	maxLogRepeats = 20

	// maxLogMessages is how many different messages are told apart in one
	// second. Those beyond it count as one message per level.
	maxLogMessages = 1000
)

// A repeatLimiter is a handler that hands on the first maxLogRepeats records of
// a second that have the same message and level, whatever their attributes. At
// the second's end one line for each says how many more there were.
//
// The second begins with a record, and the next one with the first record after
// it. Handlers made of this one by WithAttrs and WithGroup count with it.
type repeatLimiter struct {
	inner   slog.Handler
	repeats *repeats
}

// repeats counts the records of the current second.
type repeats struct {
	inner slog.Handler   // takes the lines about what was suppressed
	ends  sync.WaitGroup // of seconds whose end a timer brings

	mu         sync.Mutex // guards what follows
	start      time.Time
	counts     map[repeatKey]int
	timer      *time.Timer // nil while nothing is suppressed
	suppressed uint64
	closed     bool
}

// A repeatKey is what makes two records the same. Other is the key of all
// messages that have none of their own.
type repeatKey struct {
	level   slog.Level
	message string
	other   bool
}

// A repeated is a message and how many records of it were suppressed.
type repeated struct {
	key   repeatKey
	times int
}

// newRepeatLimiter limits what reaches inner, which must not block. Close ends
// it.
func newRepeatLimiter(inner slog.Handler) *repeatLimiter {
	return &repeatLimiter{inner, &repeats{inner: inner, counts: map[repeatKey]int{}}}
}

// everyRecord gives a logger that writes where log does, without a limit on
// repeats: for what says many things by the same message.
func everyRecord(log *slog.Logger) *slog.Logger {
	if h, is := log.Handler().(*repeatLimiter); is {
		return slog.New(h.inner)
	}
	return log
}

func (h *repeatLimiter) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

func (h *repeatLimiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &repeatLimiter{h.inner.WithAttrs(attrs), h.repeats}
}

func (h *repeatLimiter) WithGroup(name string) slog.Handler {
	return &repeatLimiter{h.inner.WithGroup(name), h.repeats}
}

func (h *repeatLimiter) Handle(ctx context.Context, r slog.Record) error {
	before, pass := h.repeats.count(r.Level, r.Message)
	err := h.repeats.tell(before)
	if !pass {
		return err
	}
	return errors.Join(err, h.inner.Handle(ctx, r))
}

// Suppressed is how many records were not handed on.
func (h *repeatLimiter) Suppressed() uint64 {
	h.repeats.mu.Lock()
	defer h.repeats.mu.Unlock()
	return h.repeats.suppressed
}

// Close says at once what was suppressed. From then on nothing is.
func (h *repeatLimiter) Close() error {
	s := h.repeats
	s.mu.Lock()
	s.closed = true
	before := s.endLocked()
	s.mu.Unlock()
	err := s.tell(before)
	s.ends.Wait()
	return err
}

// count counts a record and reports whether it passes. Before it, something is
// to be said of those of the second that has just ended.
func (s *repeats) count(level slog.Level, message string) (before []repeated, pass bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, true
	}
	now := time.Now()
	if now.Sub(s.start) >= time.Second {
		before = s.endLocked()
		s.start = now
	}
	key := repeatKey{level: level, message: message}
	if _, known := s.counts[key]; !known && len(s.counts) >= maxLogMessages {
		key = repeatKey{level: level, other: true}
	}
	s.counts[key]++
	if s.counts[key] <= maxLogRepeats {
		return before, true
	}
	s.suppressed++
	if s.timer == nil {
		s.ends.Add(1)
		start := s.start
		s.timer = time.AfterFunc(start.Add(time.Second).Sub(now), func() { s.end(start) })
	}
	return before, false
}

// end ends the second that began at start, unless a record has done so.
func (s *repeats) end(start time.Time) {
	defer s.ends.Done()
	s.mu.Lock()
	var before []repeated
	if s.start.Equal(start) {
		before = s.endLocked()
	}
	s.mu.Unlock()
	s.tell(before)
}

// endLocked forgets the current second and lists what was suppressed in it.
func (s *repeats) endLocked() (list []repeated) {
	if s.timer != nil && s.timer.Stop() {
		s.ends.Done()
	}
	s.timer = nil
	for key, n := range s.counts {
		if n > maxLogRepeats {
			list = append(list, repeated{key, n - maxLogRepeats})
		}
	}
	clear(s.counts)
	s.start = time.Time{}
	slices.SortFunc(list, func(a, b repeated) int {
		return cmp.Or(cmp.Compare(a.key.message, b.key.message), cmp.Compare(a.key.level, b.key.level))
	})
	return list
}

// tell says of each message how often it was suppressed.
func (s *repeats) tell(list []repeated) (err error) {
	for _, m := range list {
		message := m.key.message
		if m.key.other {
			message = "other messages"
		}
		r := slog.NewRecord(time.Now(), m.key.level, fmt.Sprintf("%s … repeated %d times", message, m.times), 0)
		err = errors.Join(err, s.inner.Handle(context.Background(), r))
	}
	return err
}
