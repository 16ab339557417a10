package config

import (
	"io/fs"
	"time"
)

const (
	wantListen = "host:port, such as 127.0.0.1:8080, :8080 or [::1]:8080, or a unix socket, such as unix:/run/ws-fpm.sock"
	wantPool   = "a unix socket, such as unix:/run/php/ws.sock, or host:port, such as 127.0.0.1:9000"
)

func globalKeys() []key[Config] {
	return []key[Config]{
		computed(list("listen", wantListen, "127.0.0.1:8080",
			"Where clients connect; the default counts only if there is no [listen NAME] either.", setListen)),
		oneOf("log", "text", "The format of the log on stderr.",
			func(c *Config) *string { return &c.Log }, "text", "json"),
		scalar("log_level", "debug, info, warn or error", "info", "The least severe level that is logged.", setLogLevel),
		duration("drain", "25s", "1ms", "1h", "How long a stop waits for connections to end.",
			func(c *Config) *time.Duration { return &c.Drain }),
		count("max_connections", "50000", 1, 10_000_000, "The most clients: connected, in their connect event, and gone as long as PHP has not been told; the descriptor limit may allow fewer.",
			func(c *Config) *int { return &c.MaxConnections }),
		count("max_handshakes", "1024", 1, 1_000_000, "The most connections that are not upgraded yet.",
			func(c *Config) *int { return &c.MaxHandshakes }),
		duration("handshake_timeout", "10s", "1ms", "5m", "How long the reading of a handshake may take, and again the writing of its answer.",
			func(c *Config) *time.Duration { return &c.HandshakeTimeout }),
		list("trusted_proxies", "IP addresses, prefixes such as 10.0.0.0/8, or unix", "",
			"The peers whose X-Forwarded-* headers are believed; unix is every peer on a unix socket.", setTrustedProxies),
		count("connections_per_address", "200", 1, 1_000_000, "The most connections of one client address.",
			func(c *Config) *int { return &c.ConnectionsPerAddress }),
		size("buffers", "256M", "64k", "1024G", "The most bytes in all outboxes and queues together.",
			func(c *Config) *int64 { return &c.Buffers }),
		duration("ping", "25s", "100ms", "1h", "How long a client may be silent before it is sent a ping.",
			func(c *Config) *time.Duration { return &c.Ping }),
		duration("pong", "10s", "100ms", "1h", "How long after a ping a client may be silent.",
			func(c *Config) *time.Duration { return &c.Pong }),
	}
}

func listenKeys() []key[Listener] {
	return []key[Listener]{
		required(scalar("address", wantListen+", or systemd or systemd:NAME", "", "Where clients connect.",
			func(l *Listener, s string) (problem string) {
				l.Network, l.Address, problem = parseListen(s)
				return problem
			})),
		mode("The permission of a unix socket.", func(l *Listener) *fs.FileMode { return &l.Mode }),
		account("group", "The group of a unix socket; by default the process's.",
			func(l *Listener) *string { return &l.Group }),
		filePath("tls_cert", "A PEM file with the certificate and its chain.",
			func(l *Listener) *string { return &l.TLSCert }),
		filePath("tls_key", "A PEM file with the certificate's key.",
			func(l *Listener) *string { return &l.TLSKey }),
	}
}

func poolKeys() []key[Pool] {
	return []key[Pool]{
		required(scalar("address", wantPool, "", "Where php-fpm listens: the listen line of its pool.", setPoolAddress)),
		count("max_conns", "4", 1, 100_000, "The most connections to php-fpm, idle ones too; keep it below pm.max_children.",
			func(p *Pool) *int { return &p.MaxConns }),
		computed(count("max_streams", "half of max_conns, at least 1", 1, 100_000, "The most streamed replies at one time; at most max_conns.",
			func(p *Pool) *int { return &p.MaxStreams })),
		duration("keep_alive", "1s", "0", "1h", "How long an idle connection stays open, and a PHP child with it; 0 closes each after its request.",
			func(p *Pool) *time.Duration { return &p.KeepAlive }),
		size("keep_alive_body", "8k", "1", "1G", "The longest request body sent on a connection that stays open.",
			func(p *Pool) *int64 { return &p.KeepAliveBody }),
		duration("connect_timeout", "1s", "1ms", "1m", "How long a connect may take.",
			func(p *Pool) *time.Duration { return &p.ConnectTimeout }),
		duration("timeout", "30s", "1ms", "24h", "How long a plain reply may take, whole.",
			func(p *Pool) *time.Duration { return &p.Timeout }),
		duration("stream_timeout", "30s", "1ms", "24h", "How long a streamed reply may be silent.",
			func(p *Pool) *time.Duration { return &p.StreamTimeout }),
		duration("max_stream", "10m", "1ms", "24h", "How long a streamed reply may take, whole.",
			func(p *Pool) *time.Duration { return &p.MaxStream }),
		count("queue", "1024", 1, 1_000_000, "The most requests that wait for a connection.",
			func(p *Pool) *int { return &p.Queue }),
		duration("queue_timeout", "5s", "1ms", "10m", "How long a request may wait for a connection.",
			func(p *Pool) *time.Duration { return &p.QueueTimeout }),
		toggle("multiplex", "off", "auto", "Several requests at once on a connection, if the peer can (php-fpm cannot).",
			func(p *Pool) *bool { return &p.Multiplex }),
	}
}

func routeKeys() []key[Route] {
	return []key[Route]{
		required(filePath("script", "The PHP file that answers, as php-fpm sees it.",
			func(r *Route) *string { return &r.Script })),
		computed(scalar("root", "an absolute path", "the script's folder",
			"The DOCUMENT_ROOT; SCRIPT_NAME is the script's path below it.", setRoot)),
		scalar("fastcgi", "the name of a [fastcgi NAME] section", "default",
			"The pool that runs the script; default is the section [fastcgi].", setPool),
		list("events", "connect, message, disconnect", "message", "What PHP is asked about.", setEvents),
		list("origins", "same, origins such as https://www.example.com, or * alone", "same",
			"The web pages that may connect; same is the request's own host, * is any.", setOrigins),
		list("subprotocols", "names without spaces", "", "The subprotocols spoken, the preferred first.", setSubprotocols),
		size("max_message", "1M", "1", "1G", "The longest message accepted.",
			func(r *Route) *int64 { return &r.MaxMessage }),
		size("max_reply", "8M", "1", "1G", "The longest body of a reply.",
			func(r *Route) *int64 { return &r.MaxReply }),
		size("fragment", "64k", "128", "16M", "The longest payload of a frame sent; longer messages are fragmented.",
			func(r *Route) *int64 { return &r.Fragment }),
		scalar("content_type", "auto, or a media type such as application/json", "auto",
			"The CONTENT_TYPE of a message; auto is chosen by the message.", setContentType),
		oneOf("on_error", "message", "What the client gets when PHP fails: a small JSON message, a close with 1011, or nothing.",
			func(r *Route) *string { return &r.OnError }, "message", "close", "ignore"),
		count("message_rate", "200", 1, 1_000_000, "The most messages of a connection, a second; a burst may have twice that.",
			func(r *Route) *int { return &r.MessageRate }),
		size("outbox", "1M", "1k", "1G", "How much may wait for a slow client.",
			func(r *Route) *int64 { return &r.Outbox }),
		count("waiting", "64", 1, 100_000, "The most messages of a connection that wait for PHP.",
			func(r *Route) *int { return &r.Waiting }),
		toggle("compression", "off", "on", "Offer permessage-deflate (RFC 7692).",
			func(r *Route) *bool { return &r.Compression }),
	}
}

func controlKeys() []key[Control] {
	return []key[Control]{
		required(scalar("listen", "a unix socket, such as unix:/run/ws-fpm/control.sock, or a loopback host:port", "",
			"Where the private HTTP API is served.", func(c *Control, s string) (problem string) {
				c.Network, c.Address, problem = parsePrivate(s)
				return problem
			})),
		mode("The permission of the unix socket.", func(c *Control) *fs.FileMode { return &c.Mode }),
		account("group", "The group of the unix socket; by default the process's.",
			func(c *Control) *string { return &c.Group }),
		list("allow_users", "names or numbers of users", "", "The users that may use the unix socket.",
			setAccounts(func(c *Control) *[]string { return &c.AllowUsers })),
		list("allow_groups", "names or numbers of groups", "", "The groups that may use the unix socket.",
			setAccounts(func(c *Control) *[]string { return &c.AllowGroups })),
		filePath("token_file", "A file with the token that callers must show; needed where listen is host:port.",
			func(c *Control) *string { return &c.TokenFile }),
		computed(scalar("api", "an http:// or https:// URL, or a unix socket", "the listen address", "What WS_API tells PHP.", setAPI)),
		scalar("metrics", wantListen, "", "An extra listener with /metrics and health only.",
			func(c *Control, s string) (problem string) {
				c.MetricsNetwork, c.MetricsAddress, problem = parseAddress(s)
				return problem
			}),
	}
}
