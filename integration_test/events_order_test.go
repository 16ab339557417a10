package integration_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Messages of one connection are answered in order whatever time each takes.
func TestEventsOrder(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.config("", "/ws slow.php"))
	c := dial(t, g.at("/ws"))
	n := scaled(2000, 10000)
	random := rand.New(rand.NewPCG(1, 2))
	sent := make([]string, n)
	for i := range sent {
		sent[i] = fmt.Sprintf("%d %d", random.IntN(3000), i)
	}
	go func() {
		for _, s := range sent {
			if c.text(s) != nil {
				return // the reader will say so
			}
		}
	}()
	for i, want := range sent {
		if _, b, err := c.message(); err != nil || string(b) != want {
			t.Fatalf("answer %d is %.50q, %v; want %q", i, b, err, want)
		}
	}
	if runs := f.executions(); len(runs) != n {
		t.Errorf("%d messages ran; want %d", len(runs), n)
	}
}

// One client that fills its queue holds one php-fpm child at most, so 50
// polite ones are all answered.
func TestEventsHog(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	g := startGateway(t, f.config("", "/ws slow.php"))
	var polite []*client
	for range 50 {
		polite = append(polite, dial(t, g.at("/ws")))
	}
	ask := func() (took []time.Duration) {
		results := make(chan []time.Duration, len(polite))
		for _, c := range polite {
			go func() {
				var mine []time.Duration
				for range 20 {
					begun := time.Now()
					c.text("1000 ")
					if _, b, err := c.message(); err != nil || string(b) != "1000 " {
						t.Errorf("a polite client got %.50q, %v", b, err)
						break
					}
					mine = append(mine, time.Since(begun))
				}
				results <- mine
			}()
		}
		for range polite {
			took = append(took, <-results...)
		}
		slices.Sort(took)
		if len(took) != 20*len(polite) {
			t.Fatalf("%d answers; want %d", len(took), 20*len(polite))
		}
		return took
	}
	without := ask()
	hog := dial(t, g.at("/ws"))
	for range 65 { // one at work, 64 that wait
		if err := hog.text("20000 "); err != nil {
			t.Fatal(err)
		}
	}
	with := ask()
	p99 := func(d []time.Duration) time.Duration { return d[len(d)*99/100] }
	t.Logf("polite p50 and p99: %v, %v without a hog, %v, %v with one", without[len(without)/2], p99(without), with[len(with)/2], p99(with))
	for range 65 {
		hog.wantText(t, "20000 ")
	}
}
