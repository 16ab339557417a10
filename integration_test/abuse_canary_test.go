package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How well-behaved the canaries are: so many of them, each with so many echo
// messages a second, and newcomers beside them.
const (
	canaryClients    = 50
	canaryInterval   = time.Second / 5
	newcomerInterval = time.Second / 2
)

// canaries are well-behaved clients that must not notice an attack. Each checks
// what comes back, and that it comes in order.
type canaries struct {
	t    testing.TB
	open func() (*client, error)
	done chan struct{}
	work sync.WaitGroup
	// noNewcomers is for attacks that newcomers may notice.
	noNewcomers atomic.Bool

	mu     sync.Mutex // guards what follows
	phase  string
	phases map[string]*canaryTimes
	wrong  []string
}

// canaryTimes are what canaries had to wait for in one phase.
type canaryTimes struct{ answers, handshakes []time.Duration }

// startCanaries connects so many clients by open, which stay until the end of t
// at the latest. They are in the phase "before".
func startCanaries(t testing.TB, clients int, open func() (*client, error)) *canaries {
	t.Helper()
	k := &canaries{t: t, open: open, done: make(chan struct{}), phase: "before", phases: map[string]*canaryTimes{}}
	for i := range clients {
		c, err := open()
		if err != nil {
			t.Fatalf("canary %d: %v", i, err)
		}
		t.Cleanup(func() { c.conn.Close() })
		c.timeout = canaryPatience
		k.work.Go(func() { k.sing(c, i, clients) })
	}
	k.work.Go(k.newcomers)
	t.Cleanup(k.end) // which comes first
	return k
}

// enter begins a phase: before, during, after.
func (k *canaries) enter(phase string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.phase = phase
}

// end lets every canary have its last answer, and go.
func (k *canaries) end() {
	select {
	case <-k.done:
	default:
		close(k.done)
	}
	k.work.Wait()
}

// sing has one canary speak. Every fifth time it says two things at once, whose
// answers have to come in that order.
func (k *canaries) sing(c *client, number, of int) {
	timer := time.NewTimer(canaryInterval * time.Duration(number) / time.Duration(of)) // not all at once
	defer timer.Stop()
	for n := 0; ; n++ {
		select {
		case <-k.done:
			return
		case <-timer.C:
		}
		timer.Reset(canaryInterval)
		words := []string{canaryWords(number, n)}
		if n%5 == 4 {
			n++
			words = append(words, canaryWords(number, n))
		}
		if !k.exchange(c, fmt.Sprintf("canary %d", number), words) {
			return
		}
	}
}

// canaryWords are different for every message.
func canaryWords(number, n int) string {
	return fmt.Sprintf("%d:%d:%s", number, n, strings.Repeat(string(rune('a'+n%26)), n%400))
}

// exchange sends words and wants them back.
func (k *canaries) exchange(c *client, who string, words []string) bool {
	phase, begun := k.times(), time.Now()
	var frames []frame
	for _, w := range words {
		frames = append(frames, frame{fin: true, op: opText, key: testKey, payload: []byte(w)})
	}
	if err := c.send(frames...); err != nil {
		return k.lost("%s: sending: %v", who, err)
	}
	for _, w := range words {
		op, got, err := c.message()
		took := time.Since(begun)
		if err != nil || op != opText || string(got) != w {
			return k.lost("%s: the answer to %.40q is %.100q, %v, after %v", who, w, got, err, took)
		}
		k.mu.Lock()
		phase.answers = append(phase.answers, took)
		k.mu.Unlock()
	}
	return true
}

// newcomers come, say a word and go.
func (k *canaries) newcomers() {
	tick := time.NewTicker(newcomerInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-k.done:
			return
		case <-tick.C:
		}
		if k.noNewcomers.Load() {
			continue
		}
		phase, begun := k.times(), time.Now()
		c, err := k.open()
		if err != nil {
			if c != nil {
				c.conn.Close()
			}
			k.lost("newcomer %d: %v, after %v", n, err, time.Since(begun))
			continue
		}
		k.mu.Lock()
		phase.handshakes = append(phase.handshakes, time.Since(begun))
		k.mu.Unlock()
		c.timeout = canaryPatience
		if k.exchange(c, fmt.Sprintf("newcomer %d", n), []string{"hello", "and goodbye"}) {
			c.close(1000, "")
		}
		c.conn.Close()
	}
}

// times is where the present phase is written down.
func (k *canaries) times() *canaryTimes {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.phases[k.phase] == nil {
		k.phases[k.phase] = &canaryTimes{}
	}
	return k.phases[k.phase]
}

func (k *canaries) lost(format string, args ...any) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
	return false
}

// check is for when all have gone: no answer may be lost or wrong. In the long
// form answers may not be much later during an attack than before, or than those
// of a program that is not attacked and shares the machine: attackers and other
// work take processor time from both.
func (k *canaries) check(name string, peers *canaries) {
	k.t.Helper()
	k.end()
	for i, w := range k.wrong {
		if i == 5 {
			k.t.Errorf("and %d more", len(k.wrong)-i)
			break
		}
		k.t.Error(w)
	}
	var all int
	p99 := map[string]time.Duration{}
	for _, phase := range []string{"before", "during", "after"} {
		times := k.phases[phase]
		if times == nil {
			continue
		}
		all += len(times.answers)
		p99[phase] = k.p99(phase)
		figure(k.t, name, "canaries %s: %d answers, p50 %v, p99 %v, slowest %v; %d handshakes, p99 %v", phase, len(times.answers),
			quantile(times.answers, 0.5), p99[phase], quantile(times.answers, 1), len(times.handshakes), quantile(times.handshakes, 0.99))
	}
	figure(k.t, name, "canaries: %d lost or wrong of %d", len(k.wrong), all+len(k.wrong))
	if peers == nil {
		return
	}
	peers.end()
	other := peers.p99("during")
	figure(k.t, name, "canaries of a program not attacked: p99 %v before, %v during", peers.p99("before"), other)
	if most := 3 * max(p99["before"], other); p99["during"] > min(most, max(3*other, 100*time.Millisecond)) && len(k.phases["during"].answers) > 1000 {
		k.t.Errorf("p99 of the canaries is %v during the attack, was %v before, and %v elsewhere", p99["during"], p99["before"], other)
	}
}

// p99 is of the answers in a phase.
func (k *canaries) p99(phase string) time.Duration {
	if k.phases[phase] == nil {
		return 0
	}
	return quantile(k.phases[phase].answers, 0.99)
}

// quantile sorts times and gives the one below which that share of them is,
// rounded; zero for none.
func quantile(times []time.Duration, share float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(share*float64(len(times))), len(times)-1)].Round(10 * time.Microsecond)
}

// figure writes down what a test has measured.
func figure(t testing.TB, name, format string, args ...any) {
	t.Helper()
	t.Logf("figure: %s: %s", name, fmt.Sprintf(format, args...))
}

// TestCanaries: what canaries take for a loss.
func TestCanaries(t *testing.T) {
	if got := quantile([]time.Duration{3e6, 1e6, 2e6}, 0.5); got != 2e6 {
		t.Errorf("the median of 1, 2 and 3 ms is %v", got)
	}
	if got := quantile([]time.Duration{3e6, 1e6, 2e6}, 1); got != 3e6 {
		t.Errorf("the slowest of 1, 2 and 3 ms is %v", got)
	}
	f := startFPM(t, fpmOptions{})
	f.write("swap.php", `<?php $b = file_get_contents('php://input'); echo str_starts_with($b, '3:2:') ? 'something else' : $b;`)
	g := startGateway(t, f.config("", "/ws swap.php"))
	k := startCanaries(t, 5, func() (*client, error) { return connect(g.at("/ws")) })
	eventually(t, 10*time.Second, "a wrong answer is noticed", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.wrong) > 0
	})
	k.end()
	if len(k.wrong) != 1 || !strings.HasPrefix(k.wrong[0], "canary 3: the answer to ") {
		t.Errorf("one answer was wrong; the canaries say %q", k.wrong)
	}
	if times := k.phases["before"]; times == nil || len(times.answers) < 5 {
		t.Errorf("the other answers were not written down: %+v", times)
	}
}
