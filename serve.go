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
	registry := new(metrics.Registry)
	log, closeLog := startLog(c, stderr, registry)
	defer closeLog()
	return serveConfig(ctx, c, log, registry)
}

// serveConfig serves what c says until it is told to stop.
func serveConfig(ctx context.Context, c *config.Config, log *slog.Logger, registry *metrics.Registry) error {
	manager, err := newNotifier()
	if err != nil {
		return err
	}
	sockets, err := receiveSockets()
	if err != nil {
		return err
	}
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
	listeners, err := listenAll(ctx, c.Listeners, sockets, log)
	if err != nil {
		return errors.Join(err, g.Shutdown(ctx))
	}
	private, err := openControl(ctx, c.Control, g, c.Pools, registry, log)
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return errors.Join(err, g.Shutdown(ctx))
	}
	failures := newAcceptErrors(registry)
	for i, l := range listeners {
		listeners[i] = patient(l, log, failures)
	}
	logStart(everyRecord(log), c, options.MaxConnections, listeners)
	p := process{log: log, gateway: g, listeners: listeners, metrics: registry, drain: c.Drain,
		manager: manager, private: private}
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
	manager   *notifier
	private   *private // nil: no control API
}

// run serves until a signal or the end of ctx, then lets clients go. A second
// signal ends the waiting.
func (p *process) run(ctx context.Context) error {
	dump := make(chan os.Signal, 1)
	signal.Notify(dump, syscall.SIGUSR1)
	defer signal.Stop(dump)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(stop)

	failed := make(chan error, len(p.listeners)+2)
	var serving sync.WaitGroup
	for _, l := range p.listeners {
		serving.Go(func() {
			if err := p.gateway.Serve(l); err != nil {
				failed <- err
			}
		})
	}
	if p.private != nil {
		p.private.serve(&serving, failed)
	}
	watched, unwatch := context.WithCancel(context.Background())
	serving.Go(func() { p.manager.watch(watched, p.log, p.alive) })
	p.told(p.manager.ready("serving"))
	var cause error
	for stopping := false; !stopping; {
		select {
		case <-dump:
			p.dumpMetrics()
		case <-hup:
			p.log.Warn("SIGHUP changes nothing: this version reads its configuration at start only")
		case cause = <-failed:
			stopping = true
		case s := <-stop:
			p.log.Info("stopping", "signal", s.String(), "drain", p.drain)
			stopping = true
		case <-ctx.Done():
			stopping = true
		}
	}
	p.told(p.manager.stopping("draining", p.drain+5*time.Second))
	p.shutdown(stop)
	unwatch()
	if p.private != nil {
		ctx, cancel := context.WithTimeout(context.Background(), privateStop)
		defer cancel()
		p.private.server.Shutdown(ctx)
	}
	serving.Wait()
	return cause
}

// alive is what the watchdog asks. It never says no: whoever holds the gateway's
// lock for ever keeps it from saying anything, which is what counts.
func (p *process) alive() bool {
	p.gateway.Open()
	return true
}

// told logs that the service manager could not be told something.
func (p *process) told(err error) {
	if err != nil {
		p.log.Warn("the service manager was not told", "reason", err)
	}
}

// shutdown drains clients, then pools. Being cut short by a second signal, or
// by the drain time, is how a stop may end, and no failure.
func (p *process) shutdown(again <-chan os.Signal) {
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
}

// dumpMetrics writes all metrics to the log.
func (p *process) dumpMetrics() {
	w := &lineLogger{log: everyRecord(p.log)}
	p.metrics.WriteText(w)
}
