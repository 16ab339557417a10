package config

import (
	"io/fs"
	"log/slog"
	"net/netip"
	"time"
)

// Config is a whole configuration, checked and with its defaults applied.
// Every number in it is inside its documented range.
type Config struct {
	// Listeners are where clients connect, at least one: the entries of the
	// global listen list, then the [listen NAME] sections. Default: one at
	// 127.0.0.1:8080.
	Listeners []Listener

	// Log is the format of the log: "text" or "json". Default text.
	Log string

	// LogLevel is the least severe level that is logged. Default info.
	LogLevel slog.Level

	// Drain is how long a stop waits for connections to end. Default 25s.
	Drain time.Duration

	// MaxConnections bounds the clients: connected, in their connect event, and
	// gone as long as PHP has not been told. Default 50000.
	MaxConnections int

	// MaxHandshakes bounds the connections not yet upgraded. Default 1024.
	MaxHandshakes int

	// HandshakeTimeout bounds the reading of a handshake, and again the writing
	// of its answer. Default 10s.
	HandshakeTimeout time.Duration

	// TrustedProxies are the peers whose X-Forwarded-* headers are believed;
	// a single address is a prefix of its full length. Default none.
	TrustedProxies []netip.Prefix

	// TrustUnix says that peers on unix sockets are trusted proxies too.
	TrustUnix bool

	// ConnectionsPerAddress bounds the connections of one client address.
	// Default 200.
	ConnectionsPerAddress int

	// Buffers bounds the bytes in all outboxes and queues together. Default 256M.
	Buffers int64

	// Ping is how long a client may be silent before it is sent a ping.
	// Default 25s.
	Ping time.Duration

	// Pong is how long after a ping a client may be silent. Default 10s.
	Pong time.Duration

	// Pools are the php-fpm pools, in the file's order.
	Pools []Pool

	// Routes are the served path prefixes, at least one, in the file's order.
	Routes []Route

	// Control is the private HTTP API; nil if the file has no such section.
	Control *Control
}

// A Listener is one address to accept clients on.
type Listener struct {
	// Name is that of the section; empty for an entry of the global list.
	Name string

	// Network is "tcp", "unix" or "systemd".
	Network string

	// Address is host:port for tcp (an empty host is every address, port 0 is
	// one that the system picks), an absolute path for unix, and for systemd
	// the name of the passed descriptor (empty: those without a name).
	Address string

	// Mode is the permission of a unix socket. Default 0660.
	Mode fs.FileMode

	// Group owns a unix socket, by name or number. Default: the process's.
	Group string

	// TLSCert and TLSKey are absolute paths of PEM files, both or neither.
	TLSCert, TLSKey string
}

// A Pool is one php-fpm pool.
type Pool struct {
	// Name is "default" for the section [fastcgi].
	Name string

	// Network is "unix" or "tcp"; Address an absolute path or host:port.
	Network, Address string

	// MaxConns bounds all connections to the pool, idle ones too. Default 4.
	MaxConns int

	// MaxStreams bounds the streamed replies at one time; at most MaxConns.
	// Default half of MaxConns, at least 1.
	MaxStreams int

	// KeepAlive is how long an idle connection stays open; 0 closes each after
	// its request. Default 1s.
	KeepAlive time.Duration

	// KeepAliveBody is the longest request body, in bytes, that is sent on a
	// connection which is to be used again. Default 8k.
	KeepAliveBody int64

	// ConnectTimeout bounds a connect. Default 1s.
	ConnectTimeout time.Duration

	// Timeout bounds a plain reply, whole. Default 30s.
	Timeout time.Duration

	// StreamTimeout bounds the silence of a streamed reply. Default 30s.
	StreamTimeout time.Duration

	// MaxStream bounds a streamed reply, whole. Default 10m.
	MaxStream time.Duration

	// Queue bounds the requests that wait for a connection. Default 1024.
	Queue int

	// QueueTimeout bounds that wait. Default 5s.
	QueueTimeout time.Duration

	// Multiplex allows several requests at once on a connection whose peer
	// has said that it can (multiplex = auto). Default off.
	Multiplex bool
}

// A Route serves one prefix of the URL's path by one PHP script.
type Route struct {
	// Prefix matches whole segments of the decoded path. It begins with a
	// slash and, but for "/" itself, ends without one.
	Prefix string

	// Script is the PHP file, an absolute path as php-fpm sees it.
	Script string

	// Root is the DOCUMENT_ROOT, which holds the script. Default its folder.
	Root string

	// Pool is the Name of one of the Pools. Default "default".
	Pool string

	// Events are those PHP is asked about: "connect", "message", "disconnect",
	// in this order. Default message alone.
	Events []string

	// Origins are the web pages that may connect: "same" for the request's own
	// host, origins in lower case without their scheme's default port, or "*"
	// alone for any. Default same.
	Origins []string

	// Subprotocols are those the route speaks, the preferred first. Default none.
	Subprotocols []string

	// MaxMessage is the longest message accepted, in bytes. Default 1M.
	MaxMessage int64

	// MaxReply is the longest body of a reply, in bytes. Default 8M.
	MaxReply int64

	// Fragment is the longest payload of a frame sent, in bytes. Default 64k.
	Fragment int64

	// ContentType is the CONTENT_TYPE of a message, or "auto" to choose it by
	// the message. Default auto.
	ContentType string

	// OnError is what a client gets when PHP fails: a "message", a "close", or
	// nothing ("ignore"). Default message.
	OnError string

	// MessageRate bounds the messages of a connection, a second. Default 200.
	MessageRate int

	// Outbox is how many bytes may wait for a slow client before nothing more
	// is accepted for it. Default 1M.
	Outbox int64

	// Waiting bounds the messages of a connection that wait for PHP. Default 64.
	Waiting int

	// Compression deflates messages (RFC 7692) for clients that offer it. Default
	// off.
	Compression bool
}

// Control is the private HTTP API.
type Control struct {
	// Network is "unix" or "tcp"; a tcp Address is of a loopback interface.
	Network, Address string

	// Mode is the permission of a unix socket. Default 0660.
	Mode fs.FileMode

	// Group owns a unix socket, by name or number. Default: the process's.
	Group string

	// AllowUsers and AllowGroups may use a unix socket, by name or number.
	AllowUsers, AllowGroups []string

	// TokenFile is the absolute path of a file with the token.
	TokenFile string

	// API is what WS_API tells PHP. Default: the listen address.
	API string

	// MetricsNetwork and MetricsAddress are an extra listener with metrics
	// and health only; empty if there is none.
	MetricsNetwork, MetricsAddress string
}
