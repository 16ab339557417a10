//go:build linux

package suite

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"ws-fpm/bench/report"
)

// short are the parts of most cells: the shorter, the more rounds there are
// for the machine's moods to be seen in.
var short = lengths{warm: 200 * time.Millisecond, measure: 700 * time.Millisecond}

// sizes are those of the messages. Up to keep_alive_body = 8 KiB ws-fpm's two
// settings are the same.
var sizes = []struct {
	bytes int
	name  string
}{{64, "64 B"}, {1 << 10, "1 KiB"}, {16 << 10, "16 KiB"}, {60 << 10, "60 KiB"}, {256 << 10, "256 KiB"}, {1 << 20, "1 MiB"}}

// Full measures all that the README shows.
func Full(ctx context.Context, o Options) (report.Data, error) {
	return o.run(ctx, Targets(), func(r *run) error {
		if err := r.rounds(ctx, append(r.echoes(), r.handshakes()), o.Rounds); err != nil {
			return err
		}
		r.forgetAll()
		if err := r.rounds(ctx, []turn{r.rarely(), r.long()}, min(o.Rounds, 5)); err != nil {
			return err
		}
		r.forgetAll()
		r.allocations(ctx)
		return r.memory(ctx, 10000, r.keys("ws-fpm", "gws", "gorilla", "node", "nginx", "gofast"))
	})
}

// echoes are all round trips.
func (r *run) echoes() (turns []turn) {
	fast := r.keys("ws-fpm", "gws", "gorilla", "node", "floor")
	large := r.keys("ws-fpm", "ws-fpm-8M", "gws", "gorilla", "node", "floor")
	all := r.keys("ws-fpm", "gws", "gorilla", "node", "nginx", "nginx-keep", "gofast", "floor")
	for _, backend := range []string{"stub", "php-fpm"} {
		for _, size := range sizes {
			t := turn{targets: fast, lengths: short, Cell: report.Cell{Name: fmt.Sprintf("%s, 50 connections, %s", size.name, backend),
				Backend: backend, Mode: "echo", Size: size.bytes, Conns: 50}}
			switch {
			case size.bytes == 1<<10:
				t.targets, t.calls = all, backend == "stub"
			case backend == "php-fpm" && size.bytes > 60<<10: // where time is short, and php-fpm's own is most of it
				t.targets = r.keys("ws-fpm", "ws-fpm-8M", "gws", "gorilla")
			case size.bytes > 8<<10:
				t.targets = large
			}
			turns = append(turns, t)
		}
	}
	for _, c := range []struct {
		conns int
		name  string
	}{{1, "1 connection"}, {500, "500 connections"}} {
		turns = append(turns, turn{targets: fast, lengths: short, Cell: report.Cell{
			Name: "1 KiB, " + c.name + ", stub", Backend: "stub", Mode: "echo", Size: 1 << 10, Conns: c.conns}})
	}
	return turns
}

// handshakes are connections that come and go.
func (r *run) handshakes() turn {
	return turn{targets: r.keys("ws-fpm", "gws", "gorilla", "node", "nginx", "floor"), lengths: short,
		Cell: report.Cell{Name: "handshakes, 8 at a time", Backend: "stub", Mode: "connect", Size: 16, Conns: 8}}
}

// rarely are 10,000 connections that each send once in ten seconds.
func (r *run) rarely() turn {
	return turn{targets: r.keys("ws-fpm", "gws", "node", "floor"), lengths: lengths{warm: time.Second, measure: 4 * time.Second},
		Cell: report.Cell{Name: "1 KiB, 10,000 connections that each send once in 10 s, stub", Backend: "stub", Mode: "echo", Size: 1 << 10,
			Conns: 10000, Rate: 1000}}
}

// long are connections that send many messages each: does one of the last cost
// more than one of the first? They are also what rarely is compared with.
func (r *run) long() turn {
	return turn{targets: r.keys("ws-fpm", "gws", "floor"), lengths: lengths{warm: 500 * time.Millisecond, measure: 8 * time.Second},
		Cell: report.Cell{Name: "1 KiB, 50 connections for 8 s, stub", Backend: "stub", Mode: "echo", Size: 1 << 10, Conns: 50, Long: true}}
}

// allocations runs the test that counts them on the echo path.
func (r *run) allocations(ctx context.Context) {
	if len(r.only) > 0 && !slices.Contains(r.only, "ws-fpm") {
		return
	}
	r.data.Allocations = "none"
	if _, err := r.output(ctx, 5*time.Minute, "go", "-C", r.tools.root, "test", "-count=1", "-run", "^TestEchoAllocatesNothing$", "./gateway"); err != nil {
		r.data.Allocations = "the test fails"
		fmt.Fprintf(r.log, "allocations: %v\n", err)
	}
}

// memory measures what connections take, of all targets at once: it is the
// minute of waiting that takes time, and noise does not change memory.
func (r *run) memory(ctx context.Context, conns int, keys []string) error {
	t := turn{lengths: lengths{measure: 10 * time.Second, rest: time.Minute}, Cell: report.Cell{Backend: "stub", Mode: "idle", Size: 1 << 10, Conns: conns,
		Name: fmt.Sprintf("memory of each of %d connections", conns)}}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards the run's data
	for _, key := range keys {
		target, _ := r.target(key)
		wg.Go(func() {
			s := report.Sample{Cell: t.Cell, Target: key}
			g, err := r.nursery.open(ctx, target, t.Backend, r.tools, r.conns)
			if err == nil {
				s.Result, err = r.measure(ctx, g, t.Cell, t.lengths)
				g.stop()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.Error = err.Error()
				fmt.Fprintf(r.log, "%s, %s: %v\n", t.Name, key, err)
			}
			r.data.Samples = append(r.data.Samples, s)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Crowd measures memory with as many connections as descriptors allow, up to
// 100,000, from many addresses.
func Crowd(ctx context.Context, o Options) (report.Data, error) {
	return o.run(ctx, Targets(), func(r *run) error {
		return r.memory(ctx, crowd(), r.keys("ws-fpm"))
	})
}

// Fanout compares what it takes to push to many.
func Fanout(ctx context.Context, o Options) (report.Data, error) {
	return o.run(ctx, Fanouts(), func(r *run) error {
		keys := r.keys("ws-fpm", "nchan", "floor")
		var turns []turn
		for _, subscribers := range []int{100, 1000, 10000} {
			turns = append(turns, turn{targets: keys, lengths: lengths{200 * time.Millisecond, 1500 * time.Millisecond, 0}, Cell: report.Cell{
				Name: fmt.Sprintf("256 B to %d subscribers", subscribers), Backend: "stub", Mode: "broadcast", Size: 256, Conns: subscribers}})
		}
		// The same again at a rate that leaves time to spare, with and without
		// subscribers that do not read.
		for _, slow := range []int{0, 2000} {
			turns = append(turns, turn{targets: keys, lengths: lengths{time.Second, 4 * time.Second, 0}, Cell: report.Cell{
				Name: fmt.Sprintf("256 B to 10000 subscribers twice a second, %d of them do not read", slow), Backend: "stub", Mode: "broadcast",
				Size: 256, Conns: 10000, Rate: 2, Slow: slow}})
		}
		return r.rounds(ctx, turns, min(o.Rounds, 5))
	})
}
