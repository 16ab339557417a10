package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"

	"ws-fpm/config"
)

func newLogger(format string, level slog.Level, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// logStart says what is in force, one line per route, pool and listener.
func logStart(log *slog.Logger, c *config.Config, maxConnections int, listeners []net.Listener) {
	log.Info("starting", "version", version, "max_connections", maxConnections, "buffers", c.Buffers,
		"ping", c.Ping, "pong", c.Pong, "drain", c.Drain)
	if maxConnections < c.MaxConnections {
		log.Warn("max_connections lowered to what the descriptor limit allows", "configured", c.MaxConnections)
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
