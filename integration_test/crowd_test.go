package integration_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is a number of clients that each send a message, wait for the answer
// and send the next, until they are stopped.
type crowd struct {
	t    testing.TB
	done chan struct{}
	work sync.WaitGroup
	// count is how many messages have got an answer or a failure.
	count atomic.Int64

	mu               sync.Mutex // guards what follows
	answered, failed []string
}

// startCrowd connects clients to /ws of g. Each of their messages is one of
// name, and has to come back as it is or as a failure.
func startCrowd(t testing.TB, g *gateway, clients int, name func(client, n int) string) *crowd {
	t.Helper()
	l := &crowd{t: t, done: make(chan struct{})}
	t.Cleanup(l.end) // before the connections are closed, which are cleaned up first otherwise
	for i := range clients {
		c := dial(t, g.at("/ws"))
		l.work.Go(func() {
			if err := l.run(c, i, name); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	return l
}

func (l *crowd) run(c *client, client int, name func(client, n int) string) error {
	var answered, failures []string
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answered, l.failed = append(l.answered, answered...), append(l.failed, failures...)
	}()
	for n := 1; ; n++ {
		select {
		case <-l.done:
			return nil
		default:
		}
		message := name(client, n)
		if err := c.text(message); err != nil {
			return err
		}
		_, got, err := c.message()
		switch m := failed.FindSubmatch(got); {
		case err != nil:
			return fmt.Errorf("waiting for the answer to %s: %w", message, err)
		case m != nil && string(m[3]) == itoa(n):
			failures = append(failures, message)
		case string(got) == message:
			answered = append(answered, message)
		default:
			return fmt.Errorf("the answer to %s is %.200q", message, got)
		}
		l.count.Add(1)
	}
}

// more waits until n more messages have come back.
func (l *crowd) more(n int) {
	l.t.Helper()
	want := l.count.Load() + int64(n)
	eventually(l.t, 60*time.Second, fmt.Sprintf("%d more messages come back", n), func() bool { return l.count.Load() >= want || l.t.Failed() })
}

func (l *crowd) end() {
	l.mu.Lock()
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	l.mu.Unlock()
	l.work.Wait()
}

// stop waits for the last answers and gives the messages that came back, and
// those that failed.
func (l *crowd) stop() (answered, failures []string) {
	l.end()
	return l.answered, l.failed
}

// wantOnce checks how often scripts ran: each message that was answered once,
// each that failed at most once, nothing else.
func wantOnce(t testing.TB, ran map[string]int, answered, failures []string) {
	t.Helper()
	lost, doubled := 0, 0
	for _, message := range answered {
		if ran[message] == 0 {
			lost++
		}
	}
	for message, n := range ran {
		if n > 1 {
			doubled++
			t.Errorf("%s ran %d times", message, n)
		}
	}
	if lost > 0 || doubled > 0 {
		t.Errorf("%d messages were answered and did not run, %d ran twice", lost, doubled)
	}
	known := map[string]bool{}
	for _, message := range slices.Concat(answered, failures) {
		known[message] = true
	}
	for message := range ran {
		if !known[message] {
			t.Errorf("%s ran and was never answered", message)
		}
	}
}
