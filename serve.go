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
	"runtime"
	"sync"
	"time"

	"ws-fpm/config"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
)

// serve is the command of that name.
func serve(ctx context.Context, args []string, stderr io.Writer) error {
	file, err := parseConfigFlag(flag.NewFlagSet("serve", flag.ContinueOnError), args, stderr, 0)
	if err != nil {
		return err
	}
	c, settings, err := config.Read(file)
	if err != nil {
		return usageError{err}
	}
	tuneMemory()
	registry := new(metrics.Registry)
	log, level, closeLog := startLog(c, stderr, registry)
	defer closeLog()
	r := &reloader{file: file, log: log, level: level, count: newReloadCounters(registry), started: settings, settings: settings}
	r.config.Store(c)
	return located(settings, serveConfig(ctx, r, registry))
}

// serveConfig serves what the configuration says until it is told to stop.
func serveConfig(ctx context.Context, r *reloader, registry *metrics.Registry) error {
	c, log := r.config.Load(), r.log
	heard := heedSignals()
	defer heard.end()
	manager, err := newNotifier()
	if err != nil {
		return err
	}
	sockets, err := receiveSockets()
	if err != nil {
		return err
	}
	observeRuntime(registry)
	if err := findGroups(c); err != nil {
		closeSockets(sockets)
		return err
	}
	if r.certificates, err = loadCertificates(c.Listeners, log); err != nil {
		closeSockets(sockets)
		return err
	}
	r.certificates.observe(registry)
	if r.pools, err = newPools(c.Pools, log); err != nil {
		return usageError{err}
	}
	observePools(registry, r.pools)
	options := gatewayOptions(c, r.pools.set(), log)
	options.Metrics = registry
	g, err := gateway.New(ctx, options)
	if err != nil {
		return usageError{err}
	}
	r.gateway = g
	listeners, err := listenAll(ctx, c.Listeners, sockets, r.certificates, log)
	if err != nil {
		return errors.Join(err, g.Shutdown(ctx))
	}
	pools := func() []config.Pool { return r.config.Load().Pools }
	r.private, err = openControl(ctx, c.Control, g, pools, registry, log)
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
	logStart(everyRecord(log), c, options.MaxConnections, listeners, r.private)
	p := process{log: log, heard: heard, gateway: g, listeners: listeners, metrics: registry, reloader: r,
		manager: manager, private: r.private}
	return p.run(ctx)
}

// A process is what runs between start and stop.
type process struct {
	log       *slog.Logger
	heard     *signals
	gateway   *gateway.Gateway
	listeners []net.Listener
	metrics   *metrics.Registry
	reloader  *reloader
	drain     time.Duration // once it stops
	manager   *notifier
	private   *private // nil: no control API
}

// run serves until a signal or the end of ctx, then lets clients go. A second
// signal ends the waiting.
func (p *process) run(ctx context.Context) error {
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
	serving.Go(func() { trimMemory(watched, p.clients, memoryIsShort) })
	p.told(p.manager.ready("serving"))
	var cause error
	for stopping := false; !stopping; {
		select {
		case <-p.heard.dump:
			p.dumpMetrics()
		case <-p.heard.hup:
			p.reload()
		case cause = <-failed:
			stopping = true
		case s := <-p.heard.stop:
			p.log.Info("stopping", "signal", s.String(), "drain", p.reloader.config.Load().Drain)
			stopping = true
		case <-ctx.Done():
			stopping = true
		}
	}
	p.drain = p.reloader.config.Load().Drain
	p.told(p.manager.stopping("draining", p.drain+5*time.Second))
	p.shutdown(p.heard.stop, p.heard.hup)
	unwatch()
	if p.private != nil {
		ctx, cancel := context.WithTimeout(context.Background(), privateStop)
		defer cancel()
		p.private.server.Shutdown(ctx)
	}
	serving.Wait()
	return cause
}

// reload takes over the configuration file as it is now.
func (p *process) reload() {
	p.told(p.manager.reloading())
	status := "serving"
	if !p.reloader.reload() {
		status = "serving; the last reload was refused, see the log"
	}
	p.told(p.manager.ready(status))
}

// alive is what the watchdog asks. It never says no: whoever holds the gateway's
// lock for ever keeps it from saying anything, which is what counts.
func (p *process) alive() bool {
	p.gateway.Open()
	return true
}

// clients is how many there are, or a few more: one in its handshake is not
// counted by the gateway, but has a goroutine.
func (p *process) clients() int { return p.gateway.Open() + runtime.NumGoroutine() }

// told logs that the service manager could not be told something.
func (p *process) told(err error) {
	if err != nil {
		p.log.Warn("the service manager was not told", "reason", err)
	}
}

// shutdown drains clients, then pools. Being cut short by a second signal, or
// by the drain time, is how a stop may end, and no failure.
func (p *process) shutdown(again, hup <-chan os.Signal) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), p.drain, errors.New("drain is over"))
	defer cancel()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case s := <-again:
				cut(fmt.Errorf("second signal: %v", s))
				return
			case <-hup:
				p.reloader.refuse()
			case <-done:
				return
			}
		}
	})
	if err := p.gateway.Shutdown(ctx); err != nil {
		p.log.Warn("stopped before all clients had gone", "reason", err)
	}
	p.reloader.pools.close(ctx)
	close(done)
	watching.Wait()
	p.log.Info("stopped")
}

// dumpMetrics writes all metrics to the log.
func (p *process) dumpMetrics() {
	w := &lineLogger{log: everyRecord(p.log)}
	p.metrics.WriteText(w)
}
