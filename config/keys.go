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
			"Where clients connect; the default counts only if there is no [listen NAME] either.", setListen)).after(Restart),
		oneOf("log", "text", "The format of the log on stderr.",
			func(c *Config) *string { return &c.Log }, "text", "json").after(Restart),
		scalar("log_level", "debug, info, warn or error", "info", "The least severe level that is logged.", setLogLevel).after(AtOnce),
		duration("drain", "25s", "1ms", "1h", "How long a stop waits for connections to end.",
			func(c *Config) *time.Duration { return &c.Drain }).after(AtOnce),
		count("max_connections", "50000", 1, 10_000_000, "The most clients: connected, in their connect event, and gone as long as PHP has not been told; the descriptor limit may allow fewer. One more is refused with 503.",
			func(c *Config) *int { return &c.MaxConnections }).after(AtOnce),
		count("max_handshakes", "1024", 1, 1_000_000, "The most connections that are not upgraded yet.",
			func(c *Config) *int { return &c.MaxHandshakes }).after(AtOnce),
		duration("handshake_timeout", "10s", "1ms", "5m", "How long the reading of a handshake may take, and again the writing of its answer.",
			func(c *Config) *time.Duration { return &c.HandshakeTimeout }).after(Restart),
		list("trusted_proxies", "IP addresses, prefixes such as 10.0.0.0/8, or unix", "",
			"The peers whose X-Forwarded-* headers are believed; unix is every peer on a unix socket.", setTrustedProxies).after(NewConnections),
		count("connections_per_address", "200", 1, 1_000_000, "The most connections of one client address.",
			func(c *Config) *int { return &c.ConnectionsPerAddress }).after(AtOnce),
		size("buffers", "256M", "64k", "1024G", "The most bytes in all outboxes and queues together.",
			func(c *Config) *int64 { return &c.Buffers }).after(AtOnce),
		duration("ping", "25s", "100ms", "1h", "How long a client may be silent before it is sent a ping.",
			func(c *Config) *time.Duration { return &c.Ping }).after(AtOnce),
		duration("pong", "10s", "100ms", "1h", "How long after a ping a client may be silent.",
			func(c *Config) *time.Duration { return &c.Pong }).after(AtOnce),
	}
}

func listenKeys() []key[Listener] {
	return []key[Listener]{
		required(scalar("address", wantListen+", or systemd or systemd:NAME", "", "Where clients connect.",
			func(l *Listener, s string) (problem string) {
				l.Network, l.Address, problem = parseListen(s)
				return problem
			})).after(Restart),
		mode("The permission of a unix socket.", func(l *Listener) *fs.FileMode { return &l.Mode }).after(Restart),
		account("group", "The group of a unix socket; by default the process's.",
			func(l *Listener) *string { return &l.Group }).after(Restart),
		filePath("tls_cert", "A PEM file with the certificate and its chain.",
			func(l *Listener) *string { return &l.TLSCert }).after(NewConnections),
		filePath("tls_key", "A PEM file with the certificate's key.",
			func(l *Listener) *string { return &l.TLSKey }).after(NewConnections),
	}
}

func poolKeys() []key[Pool] {
	return []key[Pool]{
		required(scalar("address", wantPool, "", "Where php-fpm listens: the listen line of its pool.", setPoolAddress)).after(AtOnce),
		count("max_conns", "4", 1, 100_000, "The most connections to php-fpm, idle ones too; keep it below pm.max_children.",
			func(p *Pool) *int { return &p.MaxConns }).after(AtOnce),
		computed(count("max_streams", "half of max_conns, at least 1", 1, 100_000, "The most streamed replies at one time; at most max_conns.",
			func(p *Pool) *int { return &p.MaxStreams })).after(AtOnce),
		duration("keep_alive", "1s", "0", "1h", "How long an idle connection stays open, and a PHP child with it; 0 closes each after its request.",
			func(p *Pool) *time.Duration { return &p.KeepAlive }).after(AtOnce),
		size("keep_alive_body", "8k", "1", "1G", "The longest request body sent on a connection that stays open.",
			func(p *Pool) *int64 { return &p.KeepAliveBody }).after(AtOnce),
		duration("connect_timeout", "1s", "1ms", "1m", "How long a connect may take.",
			func(p *Pool) *time.Duration { return &p.ConnectTimeout }).after(AtOnce),
		duration("timeout", "30s", "1ms", "24h", "How long a plain reply may take, whole.",
			func(p *Pool) *time.Duration { return &p.Timeout }).after(AtOnce),
		duration("stream_timeout", "30s", "1ms", "24h", "How long a streamed reply may be silent.",
			func(p *Pool) *time.Duration { return &p.StreamTimeout }).after(AtOnce),
		duration("max_stream", "10m", "1ms", "24h", "How long a streamed reply may take, whole.",
			func(p *Pool) *time.Duration { return &p.MaxStream }).after(AtOnce),
		count("queue", "1024", 1, 1_000_000, "The most requests that wait for a connection.",
			func(p *Pool) *int { return &p.Queue }).after(AtOnce),
		duration("queue_timeout", "5s", "1ms", "10m", "How long a request may wait for a connection.",
			func(p *Pool) *time.Duration { return &p.QueueTimeout }).after(AtOnce),
		toggle("multiplex", "off", "auto", "Several requests at once on a connection, if the peer can (php-fpm cannot).",
			func(p *Pool) *bool { return &p.Multiplex }).after(AtOnce),
	}
}

func routeKeys() []key[Route] {
	return []key[Route]{
		required(filePath("script", "The PHP file that answers, as php-fpm sees it.",
			func(r *Route) *string { return &r.Script })).after(AtOnce),
		computed(scalar("root", "an absolute path", "the script's folder",
			"The DOCUMENT_ROOT; SCRIPT_NAME is the script's path below it.", setRoot)).after(AtOnce),
		scalar("fastcgi", "the name of a [fastcgi NAME] section", "default",
			"The pool that runs the script; default is the section [fastcgi].", setPool).after(AtOnce),
		list("events", "connect, message, disconnect", "message", "What PHP is asked about.", setEvents).after(NewConnections),
		list("origins", "same, origins such as https://www.example.com, or * alone", "same",
			"The web pages that may connect; same is the request's own host, * is any.", setOrigins).after(NewConnections),
		list("subprotocols", "names without spaces", "", "The subprotocols spoken, the preferred first.", setSubprotocols).after(NewConnections),
		size("max_message", "1M", "1", "1G", "The longest message accepted.",
			func(r *Route) *int64 { return &r.MaxMessage }).after(NewConnections),
		size("max_reply", "8M", "1", "1G", "The longest body of a reply.",
			func(r *Route) *int64 { return &r.MaxReply }).after(AtOnce),
		size("fragment", "64k", "128", "16M", "The longest payload of a frame sent; longer messages are fragmented.",
			func(r *Route) *int64 { return &r.Fragment }).after(NewConnections),
		scalar("content_type", "auto, or a media type such as application/json", "auto",
			"The CONTENT_TYPE of a message; auto is chosen by the message.", setContentType).after(AtOnce),
		oneOf("on_error", "message", "What the client gets when PHP fails: a small JSON message, a close with 1011, or nothing.",
			func(r *Route) *string { return &r.OnError }, "message", "close", "ignore").after(AtOnce),
		count("message_rate", "200", 1, 1_000_000, "The most messages of a connection, a second; a burst may have twice that.",
			func(r *Route) *int { return &r.MessageRate }).after(NewConnections),
		size("outbox", "1M", "1k", "1G", "How much may wait for a client; what is more closes it with 1013. To be larger than all answers that a client has not read yet may be at once.",
			func(r *Route) *int64 { return &r.Outbox }).after(NewConnections),
		count("waiting", "64", 1, 100_000, "The most messages of a connection that wait for PHP.",
			func(r *Route) *int { return &r.Waiting }).after(AtOnce),
		toggle("compression", "off", "on", "Deflate messages for clients that offer permessage-deflate (RFC 7692); see Compression.",
			func(r *Route) *bool { return &r.Compression }).after(NewConnections),
	}
}

func controlKeys() []key[Control] {
	return []key[Control]{
		required(scalar("listen", "a unix socket, such as unix:/run/ws-fpm/control.sock, or a loopback host:port", "",
			"Where the private HTTP API is served.", func(c *Control, s string) (problem string) {
				c.Network, c.Address, problem = parsePrivate(s)
				return problem
			})).after(Restart),
		mode("The permission of the unix socket.", func(c *Control) *fs.FileMode { return &c.Mode }).after(Restart),
		account("group", "The group of the unix socket; by default the process's.",
			func(c *Control) *string { return &c.Group }).after(Restart),
		list("allow_users", "names or numbers of users", "", "The users that may use the unix socket.",
			setAccounts(func(c *Control) *[]string { return &c.AllowUsers })).after(AtOnce),
		list("allow_groups", "names or numbers of groups", "", "The groups that may use the unix socket.",
			setAccounts(func(c *Control) *[]string { return &c.AllowGroups })).after(AtOnce),
		filePath("token_file", "A file with the token that callers must show; needed where listen is host:port.",
			func(c *Control) *string { return &c.TokenFile }).after(AtOnce),
		computed(scalar("api", "an http:// or https:// URL, or a unix socket", "the listen address", "What WS_API tells PHP.", setAPI)).after(AtOnce),
		scalar("metrics", wantListen, "", "An extra listener with /metrics and health only.",
			func(c *Control, s string) (problem string) {
				c.MetricsNetwork, c.MetricsAddress, problem = parseAddress(s)
				return problem
			}).after(Restart),
	}
}
