package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"ws-fpm/config"
	"ws-fpm/metrics"
)

func newLogger(format string, level slog.Leveler, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// startLog makes the log of a server: a queue, so that no reader of the log can
// hold up a client, behind a limit on repetition. Its level can be changed. To
// be closed at the end, which takes at most logFlush.
func startLog(c *config.Config, w io.Writer, r *metrics.Registry) (log *slog.Logger, level *slog.LevelVar, end func()) {
	level = new(slog.LevelVar)
	level.Set(c.LogLevel)
	format := func(w io.Writer) slog.Handler { return newLogger(c.Log, level, w).Handler() }
	queue := newLogQueue(w, format)
	limiter := newRepeatLimiter(format(queue))
	observeLog(r, queue, limiter)
	return slog.New(limiter), level, func() {
		ctx, cancel := context.WithTimeout(context.Background(), logFlush)
		defer cancel()
		closeLog(ctx, queue, limiter)
	}
}

// logFlush is how long the end waits for a slow reader of the log.
const logFlush = 2 * time.Second

// logStart says what is in force, one line per route, pool and listener, and
// where the control API is if there is one.
func logStart(log *slog.Logger, c *config.Config, maxConnections int, listeners []net.Listener, p *private) {
	buffers := buffersWithin(c.Buffers, memoryLimit())
	log.Info("starting", "version", version, "max_connections", maxConnections, "buffers", buffers, "memory_limit", memoryLimit(),
		"ping", c.Ping, "pong", c.Pong, "drain", c.Drain)
	if buffers < c.Buffers {
		log.Warn("buffers lowered to half of the memory limit", "configured", c.Buffers)
	}
	if maxConnections < c.MaxConnections {
		log.Warn("max_connections lowered to what the descriptor limit allows: LimitNOFILE= of the unit, or ulimit -n, raises it", "configured", c.MaxConnections)
	}
	for _, p := range c.Pools {
		log.Info("pool", "name", p.Name, "address", p.Address, "max_conns", p.MaxConns, "keep_alive", p.KeepAlive,
			"timeout", p.Timeout, "queue", p.Queue, "queue_timeout", p.QueueTimeout)
	}
	for _, r := range c.Routes {
		log.Info("route", "prefix", r.Prefix, "script", r.Script, "pool", r.Pool, "events", r.Events,
			"origins", r.Origins, "max_message", r.MaxMessage, "max_reply", r.MaxReply)
	}
	for _, l := range listeners {
		log.Info("listening", "network", l.Addr().Network(), "address", l.Addr().String())
	}
	if p == nil {
		return
	}
	log.Info("control API", "network", p.api.Addr().Network(), "address", p.api.Addr().String())
	if p.metrics != nil {
		log.Info("metrics", "network", p.metrics.Addr().Network(), "address", p.metrics.Addr().String())
	}
}

// A lineLogger logs what is written to it, a line a record.
type lineLogger struct {
	log  *slog.Logger
	rest []byte
}

func (w *lineLogger) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		if len(line) > 0 && line[0] != '#' {
			w.log.Info("metric", "series", string(line))
		}
		w.rest = rest
	}
}
