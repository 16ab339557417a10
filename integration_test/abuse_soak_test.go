package integration_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How lively a soak is.
const (
	soakChurn    = 20  // connections that go, and as many that come, a second
	soakMessages = 100 // a second
)

// A soaker is a place for one connection after the other.
type soaker struct {
	mu     sync.Mutex // guards what follows
	c      *client    // nil: there is none for now
	asked  string     // what it waits for; empty: nothing
	leaves bool
	gone   chan struct{} // closed when its reader has ended
}

// soak is a crowd that is quiet and changes slowly.
type soak struct {
	s        *siege
	places   []*soaker
	work     sync.WaitGroup
	answered atomic.Int64
	came     atomic.Int64

	mu   sync.Mutex // guards lost
	lost []string
}

func (k *soak) fault(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = append(k.lost, fmt.Sprintf(format, args...))
}

// fill connects a place.
func (k *soak) fill(i int) {
	c, err := connectFrom(k.s.g, i/1000, "/soak")
	if err != nil {
		k.fault("a newcomer: %v", err)
		return
	}
	c.timeout = time.Minute // there is a ping in that time
	p, gone := k.places[i], make(chan struct{})
	p.mu.Lock()
	p.c, p.asked, p.leaves, p.gone = c, "", false, gone
	p.mu.Unlock()
	k.came.Add(1)
	k.work.Go(func() {
		defer close(gone)
		defer c.conn.Close()
		for {
			_, got, err := c.message()
			p.mu.Lock()
			asked, leaves := p.asked, p.leaves
			p.asked = ""
			if err != nil {
				p.c = nil
			}
			p.mu.Unlock()
			var ce *closeError
			switch {
			case err == nil && asked != "" && string(got) == asked:
				k.answered.Add(1)
				continue
			case leaves && errors.As(err, &ce) && ce.code == 1000 && asked == "":
				return
			}
			k.fault("waiting for %.30q: %.30q, %v", asked, got, err)
			return
		}
	})
}

// leave ends the connection of a place, if it waits for nothing.
func (k *soak) leave(i int) bool {
	p := k.places[i]
	p.mu.Lock()
	c, gone := p.c, p.gone
	if c == nil || p.asked != "" {
		p.mu.Unlock()
		return false
	}
	p.leaves = true
	p.c = nil
	p.mu.Unlock()
	c.close(1000, "")
	<-gone
	return true
}

// ask has a place say something, if it waits for nothing.
func (k *soak) ask(i, n int) {
	p := k.places[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.c == nil || p.asked != "" {
		return
	}
	p.asked = fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("x", n%1000))
	if err := p.c.text(p.asked); err != nil {
		k.fault("sending: %v", err)
	}
}

// TestAbuseSoak: many quiet clients, some of whom come, go and speak: memory,
// goroutines and descriptors stay as they are. WS_FPM_SOAK says for how long.
func TestAbuseSoak(t *testing.T) {
	clients, lasts, warm, every := scaled(100, 5000), 3*time.Second, time.Second, 200*time.Millisecond
	if long() {
		lasts, warm, every = 30*time.Minute, 2*time.Minute, 10*time.Second
	}
	if said := os.Getenv("WS_FPM_SOAK"); said != "" {
		var err error
		if lasts, err = time.ParseDuration(said); err != nil {
			t.Fatalf("WS_FPM_SOAK: %v", err)
		}
		warm = min(warm, lasts/5)
	}
	s := besiege(t, "71 soak", besiegeOptions{canaries: 2, keeps: clients, routes: []string{"/soak soak.php\nevents = " + allEvents}})
	s.f.write("soak.php", `<?php
if ($_SERVER['WS_EVENT'] === 'connect') header('WS-Accept: yes');
if ($_SERVER['WS_EVENT'] === 'message') echo file_get_contents('php://input');`)
	k := &soak{s: s}
	for i := range clients {
		k.places = append(k.places, &soaker{})
		k.fill(i)
	}
	begun := time.Now()
	end := begun.Add(lasts)
	var crowd sync.WaitGroup
	crowd.Go(func() {
		tick := time.NewTicker(time.Second / soakChurn)
		defer tick.Stop()
		for time.Now().Before(end) {
			<-tick.C
			if i := rand.IntN(clients); k.leave(i) {
				k.fill(i)
			}
		}
	})
	crowd.Go(func() {
		tick := time.NewTicker(time.Second / soakMessages)
		defer tick.Stop()
		for n := 0; time.Now().Before(end); n++ {
			<-tick.C
			k.ask(rand.IntN(clients), n)
		}
	})
	samples := map[string][]float64{}
	pause(warm)
	for time.Now().Before(end) {
		u := s.usage()
		at := time.Since(begun).Hours()
		for name, value := range map[string]float64{"": at, "RSS in KiB": float64(u.rssKiB), "goroutines": float64(u.goroutines), "descriptors": float64(u.descriptors)} {
			samples[name] = append(samples[name], value)
		}
		pause(every)
	}
	crowd.Wait()
	at := samples[""]
	figure(t, s.name, "%d clients for %v: %d came, %d messages answered, %d lost or wrong; %d samples", clients, lasts, k.came.Load(), k.answered.Load(), len(k.lost), len(at))
	for _, name := range []string{"RSS in KiB", "goroutines", "descriptors"} {
		values := samples[name]
		slope, deviation := trend(at, values)
		figure(t, s.name, "%s: %.0f to %.0f, at first %.0f, at last %.0f; slope %+.1f ± %.1f an hour", name,
			slices.Min(values), slices.Max(values), values[0], values[len(values)-1], slope, deviation)
		if grown := (slope - 3*deviation) * lasts.Hours(); long() && grown > values[0]/20 {
			t.Errorf("%s grew by %.0f, for sure", name, grown)
		}
	}
	for i := range clients {
		k.leave(i)
	}
	k.work.Wait()
	for i, what := range k.lost {
		if i == 5 {
			break
		}
		t.Error(what)
	}
	s.until(2*time.Minute, "PHP has been told of all", func(m series) bool {
		return m[`ws_fpm_events_total{event="disconnect",result="answered"}`] == float64(k.came.Load())
	})
	s.over()
	s.conserved()
}

// trend is the slope of the line through points that fits best, and its
// standard error.
func trend(x, y []float64) (slope, deviation float64) {
	n := float64(len(x))
	var mx, my float64
	for i := range x {
		mx += x[i] / n
		my += y[i] / n
	}
	var sxx, sxy, rest float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	slope = sxy / sxx
	for i := range x {
		d := y[i] - my - slope*(x[i]-mx)
		rest += d * d
	}
	return slope, math.Sqrt(rest / (n - 2) / sxx)
}

func TestTrend(t *testing.T) {
	slope, deviation := trend([]float64{0, 1, 2, 3}, []float64{1, 3, 5, 7})
	if slope != 2 || deviation != 0 {
		t.Errorf("trend of a line = %v ± %v, want 2 ± 0", slope, deviation)
	}
	// By hand: 0.3 + 0.8x, from which the points are 0.3, 0.9, 0.9 and 0.3 away.
	slope, deviation = trend([]float64{0, 1, 2, 3}, []float64{0, 2, 1, 3})
	if math.Abs(slope-0.8) > 1e-9 || math.Abs(deviation-math.Sqrt(1.8/2/5)) > 1e-9 {
		t.Errorf("trend = %v ± %v, want 0.8 ± %v", slope, deviation, math.Sqrt(1.8/2/5))
	}
}
