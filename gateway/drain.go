package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How the closes of a shutdown are spread, so that all clients do not come back
// to whoever follows in one moment: over a part of the time there is, and no
// slower than need be.
const (
	drainShare = 0.6
	drainRate  = 500 // a second, at least
	drainTick  = 20 * time.Millisecond
)

// closesDue is how many of n connections are to have been told to go so long
// after the first, in a shutdown that may last for whole (zero: nobody knows).
func closesDue(n int, whole, since time.Duration) int {
	rate := float64(drainRate)
	if whole > 0 {
		rate = max(rate, float64(n)/(drainShare*whole.Seconds()))
	}
	return min(n, 1+int(rate*since.Seconds()))
}

// spread calls each for 0 to n-1, each when it is due, until ctx or done ends
// it.
func spread(ctx context.Context, n int, done <-chan struct{}, each func(i int)) {
	whole, begun := time.Duration(0), time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		whole = time.Until(deadline)
	}
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for told := 0; told < n; {
		for due := closesDue(n, whole, time.Since(begun)); told < due; told++ {
			each(told)
		}
		if told == n {
			return
		}
		select {
		case <-tick.C:
		case <-done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// lastCall lets in whoever was accepted already and has still to be read, for
// some moments: with a socket that is kept open, it would be the one client that
// a restart refuses.
func (g *Gateway) lastCall(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.grace)
	defer cancel()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for g.handshakes.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.refusing {
		g.refusing = true
		if g.open == 0 {
			close(g.empty)
		}
	}
}

// lastCallTime is how long a handshake that has begun may take once a shutdown
// has. A silent client is not waited for any longer.
const lastCallTime = 500 * time.Millisecond

// Shutdown ends the gateway: no client is accepted any more, and those that are
// connected are let go one after the other, over at most 60 % of the time until
// ctx's deadline and at least 500 a second. Each gets what PHP is working on and
// what it has sent before, and then a close frame with 1001. Shutdown returns nil
// when all have gone and PHP knows. If ctx ends first, those left are cut, and
// the error and the log say how many.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.draining = true
	listeners := g.listeners
	g.listeners = nil
	g.mu.Unlock()
	for _, l := range listeners {
		if f, is := l.(*front); is {
			f.hush()
		} else {
			l.Close()
		}
	}
	mailboxes := g.mailboxes() // there will be no others
	for _, m := range mailboxes {
		m.hasten()
	}
	g.lastCall(ctx)
	// This drops what was not read yet. Then it waits for requests in hand, of
	// which all that matter are counted in open.
	var requests sync.WaitGroup
	requests.Go(func() { g.http.Shutdown(ctx) })
	defer time.AfterFunc(streamsUntil(ctx), g.cutStreams).Stop()
	sessions := g.sessions() // whoever comes in from now on is let go by itself
	spread(ctx, len(sessions), g.empty, func(i int) { sessions[i].goAway() })
	clear(sessions)
	var err error
	done := false
	select {
	case <-g.empty:
		done = true
	case <-ctx.Done():
		left := g.undelivered(mailboxes)
		if left != (leftovers{}) {
			g.log.Warn("not all was delivered", "connections_cut", left.connections, "messages_dropped", left.messages,
				"disconnects_undelivered", left.disconnects, "reason", context.Cause(ctx))
		}
		if left.connections > 0 {
			err = fmt.Errorf("gateway: %d connections cut: %w", left.connections, context.Cause(ctx))
		}
	}
	g.http.Close()
	requests.Wait()
	for _, m := range mailboxes {
		m.flush(ctx)
	}
	g.cancel()
	g.conns.Close()
	if done {
		g.work.Wait() // else PHP decides when that is, and we do not wait any more
	}
	return err
}

// sessions are those that are connected.
func (g *Gateway) sessions() (list []*session) {
	for c := range g.conns.All() {
		list = append(list, c.Handler().(*session))
	}
	return list
}

// Leftovers are what a shutdown did not get done.
type leftovers struct {
	connections int // that are cut
	messages    int // of theirs that wait for PHP, or are in its hands
	disconnects int // that PHP is not told of
}

// undelivered counts what is left now.
func (g *Gateway) undelivered(mailboxes []*mailbox) (left leftovers) {
	for _, s := range g.sessions() {
		messages, owed := s.left()
		left.connections++
		left.messages += messages
		if owed {
			left.disconnects++
		}
	}
	for _, m := range mailboxes {
		left.disconnects += m.waiting()
	}
	return left
}

// left gives the messages of s that have no answer, and whether PHP will be owed
// a disconnect.
func (s *session) left() (messages int, owed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages = len(s.queue)
	if s.serving && !s.resting {
		messages++
	}
	return messages, s.joined.has(eventDisconnect)
}

// streamsUntil is how long streamed replies may go on during a shutdown: four
// fifths of the time there is, so that their clients still get a close frame.
func streamsUntil(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return time.Until(deadline) * 4 / 5
}

func (g *Gateway) cutStreams() {
	for _, s := range g.sessions() {
		s.cutStream(true)
	}
}
