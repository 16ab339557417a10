package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"ws-fpm/config"
	"ws-fpm/fastcgi"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
)

// serve is the command of that name.
func serve(ctx context.Context, args []string, stderr io.Writer) error {
	file, err := parseConfigFlag(flag.NewFlagSet("serve", flag.ContinueOnError), args, stderr, 0)
	if err != nil {
		return err
	}
	c, err := config.Load(file)
	if err != nil {
		return usageError{err}
	}
	tuneMemory()
	log := newLogger(c.Log, c.LogLevel, stderr)
	registry := new(metrics.Registry)
	observeRuntime(registry)
	pools, err := newPools(c.Pools, registry)
	if err != nil {
		return usageError{err}
	}
	options := gatewayOptions(c, pools, log)
	options.Metrics = registry
	g, err := gateway.New(ctx, options)
	if err != nil {
		return usageError{err}
	}
	listeners, err := listenAll(ctx, c.Listeners)
	if err != nil {
		return errors.Join(err, g.Shutdown(ctx))
	}
	logStart(log, c, options.MaxConnections, listeners)
	p := process{log: log, gateway: g, listeners: listeners, metrics: registry, drain: c.Drain}
	for _, pool := range pools {
		p.pools = append(p.pools, pool)
	}
	return p.run(ctx)
}

// A process is what runs between start and stop.
type process struct {
	log       *slog.Logger
	gateway   *gateway.Gateway
	listeners []net.Listener
	pools     []*fastcgi.Client
	metrics   *metrics.Registry
	drain     time.Duration
}

// run serves until a signal or the end of ctx, then lets clients go. A second
// signal ends the waiting.
func (p *process) run(ctx context.Context) error {
	dump := make(chan os.Signal, 1)
	signal.Notify(dump, syscall.SIGUSR1)
	defer signal.Stop(dump)
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(stop)

	failed := make(chan error, len(p.listeners))
	var serving sync.WaitGroup
	for _, l := range p.listeners {
		serving.Go(func() {
			if err := p.gateway.Serve(l); err != nil {
				failed <- err
			}
		})
	}
	var cause error
	for stopping := false; !stopping; {
		select {
		case <-dump:
			p.dumpMetrics()
		case cause = <-failed:
			stopping = true
		case s := <-stop:
			p.log.Info("stopping", "signal", s.String(), "drain", p.drain)
			stopping = true
		case <-ctx.Done():
			stopping = true
		}
	}
	err := p.shutdown(stop)
	serving.Wait()
	return errors.Join(cause, err)
}

// shutdown drains clients, then pools. Being cut short by a second signal, or
// by the drain time, is how a stop may end, and no failure.
func (p *process) shutdown(again <-chan os.Signal) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), p.drain, errors.New("drain is over"))
	defer cancel()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case s := <-again:
			cut(fmt.Errorf("second signal: %v", s))
		case <-done:
		}
	})
	if err := p.gateway.Shutdown(ctx); err != nil {
		p.log.Warn("stopped before all clients had gone", "reason", err)
	}
	for _, pool := range p.pools {
		if err := pool.Close(ctx); err != nil {
			p.log.Warn("stopped before php-fpm had answered", "reason", err)
		}
	}
	close(done)
	watching.Wait()
	p.log.Info("stopped")
	return nil
}

// dumpMetrics writes all metrics to the log.
func (p *process) dumpMetrics() {
	w := &lineLogger{log: p.log}
	p.metrics.WriteText(w)
}
