package main

import (
	"log/slog"
	"syscall"

	"ws-fpm/config"
	"ws-fpm/fastcgi"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
)

// gatewayOptions gives the gateway what the configuration says.
func gatewayOptions(c *config.Config, pools poolSet, log *slog.Logger) gateway.Options {
	clients, handshakes := descriptorsFor(descriptorLimit(), c.MaxHandshakes, c.Pools)
	o := gateway.Options{
		Trust:            gateway.Trust{Prefixes: c.TrustedProxies, Unix: c.TrustUnix},
		MaxConnections:   min(c.MaxConnections, clients),
		PerAddress:       c.ConnectionsPerAddress,
		MaxHandshakes:    handshakes,
		HandshakeTimeout: c.HandshakeTimeout,
		Ping:             c.Ping,
		Pong:             c.Pong,
		Buffers:          buffersWithin(c.Buffers, memoryLimit()),
		MemoryShort:      memoryIsShort,
		Software:         "ws-fpm/" + version,
		Logger:           log,
	}
	if c.Control != nil {
		o.API = c.Control.API
	}
	for _, r := range c.Routes {
		o.Routes = append(o.Routes, gateway.Route{
			Prefix:       r.Prefix,
			Script:       r.Script,
			Root:         r.Root,
			Backend:      pools[r.Pool].client,
			Events:       r.Events,
			Origins:      r.Origins,
			Subprotocols: r.Subprotocols,
			MaxMessage:   r.MaxMessage,
			MessageRate:  r.MessageRate,
			MaxReply:     int(r.MaxReply),
			Fragment:     int(r.Fragment),
			Outbox:       int(r.Outbox),
			Compression:  r.Compression,
			Waiting:      r.Waiting,
			ContentType:  r.ContentType,
			OnError:      r.OnError,
		})
	}
	return o
}

// reserve is how many descriptors are kept for what is not counted: the log,
// listeners, the control API, connections that are being refused.
const reserve = 64

// descriptorsFor divides n descriptors: at most a quarter of them to clients in
// their handshake, so many to php-fpm as all pools may use, and the rest to
// clients.
func descriptorsFor(n, maxHandshakes int, pools []config.Pool) (clients, handshakes int) {
	handshakes = max(1, min(maxHandshakes, n/4))
	for _, p := range pools {
		n -= p.MaxConns
	}
	return max(1, n-handshakes-reserve), handshakes
}

// descriptorLimit is the limit of the process, to which Go has raised it.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 30
	}
	return int(min(limit.Cur, 1<<30))
}

// observePools registers what the pools count.
func observePools(r *metrics.Registry, p *pools) {
	type emit = func(value float64, labels ...metrics.Label)
	each := func(name, help string, kind metrics.Kind, f func(s fastcgi.Stats, emit func(value float64, label, word string))) {
		r.CollectFunc(name, help, kind, func(emit emit) {
			for pool, stats := range p.stats() {
				f(stats, func(value float64, label, word string) {
					emit(value, metrics.Label{Name: "pool", Value: pool}, metrics.Label{Name: label, Value: word})
				})
			}
		})
	}
	each("ws_fpm_pool_connections", "Connections to php-fpm by state.", metrics.KindGauge,
		func(s fastcgi.Stats, emit func(float64, string, string)) {
			emit(float64(s.InUse), "state", "in_use")
			emit(float64(s.Idle), "state", "idle")
			emit(float64(s.Resting), "state", "resting")
		})
	each("ws_fpm_pool_waiting", "Requests that wait for a connection to php-fpm.", metrics.KindGauge,
		func(s fastcgi.Stats, emit func(float64, string, string)) {
			emit(float64(s.Waiting), "state", "waiting")
		})
	each("ws_fpm_pool_requests_total", "Requests to php-fpm by result.", metrics.KindCounter,
		func(s fastcgi.Stats, emit func(float64, string, string)) {
			emit(float64(s.Completed), "result", "completed")
			emit(float64(s.GivenUp), "result", "given_up")
			emit(float64(s.NotExecuted), "result", "not_executed")
			emit(float64(s.Unknown), "result", "unknown")
			emit(float64(s.Executed), "result", "executed")
		})
	each("ws_fpm_pool_events_total", "What happened on the way to php-fpm.", metrics.KindCounter,
		func(s fastcgi.Stats, emit func(float64, string, string)) {
			emit(float64(s.Dials), "event", "dial")
			emit(float64(s.DialErrors), "event", "dial_error")
			emit(float64(s.Reused), "event", "reused")
			emit(float64(s.Validated), "event", "validated")
			emit(float64(s.ValidationsFailed), "event", "validation_failed")
			emit(float64(s.Timeouts), "event", "timeout")
			emit(float64(s.Abandoned), "event", "abandoned")
			emit(float64(s.Retries), "event", "retry")
			emit(float64(s.ProtocolErrors), "event", "protocol_error")
			emit(float64(s.BadReplies), "event", "bad_reply")
			emit(float64(s.HeadLinesSkipped), "event", "malformed_header")
			emit(float64(s.StreamsRefused), "event", "stream_refused")
			emit(float64(s.IdleShed), "event", "idle_shed")
			emit(float64(s.StderrDropped), "event", "stderr_byte_dropped")
			emit(float64(s.QueueFull), "event", "queue_full")
			emit(float64(s.QueueTimeout), "event", "queue_timeout")
		})
}
