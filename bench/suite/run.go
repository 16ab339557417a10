//go:build linux

package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"ws-fpm/bench/report"
)

// giveUp is how many failures in a row end a target's turns in a cell.
const giveUp = 2

// A run is one run of the suite.
type run struct {
	*nursery
	tools   tools
	conns   int // to php-fpm
	targets []Target
	only    []string  // if not empty, those that were asked for
	log     io.Writer // what is being done
	data    report.Data
	open    map[string]*running // by target and backend
	failed  map[string]int      // in a row, by cell and target
}

// A turn is a cell and who takes part in it.
type turn struct {
	report.Cell
	targets []string
	lengths
	calls bool // count system calls too
}

// rounds measures all turns, so many times. Each round begins with another
// target, so that none always comes first.
func (r *run) rounds(ctx context.Context, turns []turn, rounds int) error {
	for round := range rounds {
		began := time.Now()
		for _, t := range turns {
			for i := range t.targets {
				key := t.targets[(i+round)%len(t.targets)]
				if err := r.once(ctx, t, key, round); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(r.log, "round %d of %d: %v\n", round+1, rounds, time.Since(began).Round(time.Second))
	}
	return r.count(ctx, turns)
}

// once measures one target. What goes wrong there is in the data; an error
// ends the run.
func (r *run) once(ctx context.Context, t turn, key string, round int) error {
	target, ok := r.target(key)
	id := t.Name + "\x00" + key
	if !ok || target.MaxSize > 0 && t.Size > target.MaxSize || r.failed[id] >= giveUp {
		return ctx.Err()
	}
	s := report.Sample{Cell: t.Cell, Target: key, Round: round}
	g, err := r.gateway(ctx, target, t.Backend)
	if err == nil {
		l := t.lengths
		if t.Mode == "echo" && t.Rate == 0 {
			l.warm = max(l.warm, target.warm)
		}
		s.Result, err = r.measure(ctx, g, t.Cell, l)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		s.Error = err.Error()
		r.failed[id]++
		fmt.Fprintf(r.log, "%s, %s: %v\n", t.Name, key, err)
		r.forget(key, t.Backend)
	} else {
		r.failed[id] = 0
	}
	r.data.Samples = append(r.data.Samples, s)
	return nil
}

// count counts system calls, once: they do not depend on the machine's mood.
func (r *run) count(ctx context.Context, turns []turn) error {
	for _, t := range turns {
		if !t.calls {
			continue
		}
		for _, key := range t.targets {
			target, ok := r.target(key)
			if !ok || target.MaxSize > 0 && t.Size > target.MaxSize {
				continue
			}
			g, err := r.gateway(ctx, target, t.Backend)
			if err == nil {
				var n float64
				if n, err = r.nursery.calls(ctx, g, t.Cell); err == nil {
					if r.data.Calls[t.Name] == nil {
						r.data.Calls[t.Name] = map[string]float64{}
					}
					r.data.Calls[t.Name][key] = n
				}
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				fmt.Fprintf(r.log, "system calls of %s, %s: %v\n", t.Name, key, err)
				r.forget(key, t.Backend)
			}
		}
	}
	return nil
}

func (r *run) target(key string) (Target, bool) {
	i := slices.IndexFunc(r.targets, func(t Target) bool { return t.Key == key })
	if i < 0 {
		return Target{}, false
	}
	return r.targets[i], true
}

// gateway gives a target that runs, and starts it if need be.
func (r *run) gateway(ctx context.Context, t Target, backend string) (*running, error) {
	id := t.Key + " on " + backend
	if g := r.open[id]; g != nil {
		select {
		case <-g.gateway.done:
			words := g.gateway.lastWords()
			r.forget(t.Key, backend)
			return nil, errors.New("it had ended: " + words)
		default:
			return g, nil
		}
	}
	g, err := r.nursery.open(ctx, t, backend, r.tools, r.conns)
	if err == nil {
		r.open[id] = g
	}
	return g, err
}

// forget stops a target, so that it is started anew when it is needed again.
func (r *run) forget(key, backend string) {
	id := key + " on " + backend
	if g := r.open[id]; g != nil {
		g.stop()
		delete(r.open, id)
	}
}

func (r *run) forgetAll() {
	for id, g := range r.open {
		g.stop()
		delete(r.open, id)
	}
}
