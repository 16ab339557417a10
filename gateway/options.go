package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/metrics"
)

// Options configure a Gateway. No value of any field means "no limit".
type Options struct {
	// Routes are what is served, at least one.
	Routes []Route

	// Trust names the proxies whose X-Forwarded-* headers are believed.
	Trust Trust

	// MaxConnections bounds the clients: connected, in their connect event, and
	// gone as long as PHP has not had their disconnect. One more is answered
	// 503. Zero means 50,000.
	MaxConnections int

	// PerAddress bounds the connections of one client address, of IPv6 one
	// /64, where that is known: never those of this machine or of a trusted
	// proxy. One more is answered 503. Zero means 200.
	PerAddress int

	// MaxHandshakes bounds the connections that are not upgraded yet. One
	// more is closed as soon as it is accepted. Zero means 1,024.
	MaxHandshakes int

	// HandshakeTimeout bounds the time from accept until a handshake has been
	// read, and the writing of its answer. Zero means 10 s.
	HandshakeTimeout time.Duration

	// Ping, Pong and Buffers are those of websocket.Options.
	Ping, Pong time.Duration
	Buffers    int64

	// MemoryShort says that the program has little memory left; newcomers are
	// answered 503 then. Nil means that nobody knows.
	MemoryShort func() bool

	// Software is SERVER_SOFTWARE. Empty means "ws-fpm".
	Software string

	// API is WS_API: where PHP reaches the control API, a URL or a unix socket.
	// Empty means that there is none.
	API string

	// Hosts says whether a Host header names this server; other requests are
	// answered 403. Nil means that any name will do.
	Hosts func(host string) bool

	// Fallback answers requests for paths of no route. Nil means 404.
	Fallback http.Handler

	// ShowErrors adds what PHP wrote to its error log to the error messages
	// of clients: right for a developer's own machine only.
	ShowErrors bool

	// Logger is told what went wrong. Nil means that nobody is told.
	Logger *slog.Logger

	// Metrics is where all counters are registered. Nil means that nobody
	// reads them.
	Metrics *metrics.Registry
}

// A Route serves the paths below a prefix by one PHP script.
type Route struct {
	// Prefix matches whole segments of the path: "/ws" takes /ws and /ws/room.
	Prefix string

	// Script is the PHP file, an absolute path as php-fpm sees it.
	Script string

	// Root is DOCUMENT_ROOT. Empty means the folder of Script.
	Root string

	// Backend is the php-fpm that runs Script.
	Backend *fastcgi.Client

	// Events are what PHP is told of. Empty means "message" alone.
	Events []string

	// Origins are the web pages that may connect, as websocket.OriginAllowed
	// wants them. Empty means those of the request's own host.
	Origins []string

	// Subprotocols are those that the route speaks, the preferred first.
	Subprotocols []string

	// MaxMessage is the longest message accepted, in bytes. Zero means 1 MiB.
	MaxMessage int64

	// MessageRate is how many messages a second a connection may send, and
	// twice as many at once; then its socket is not read for a while. Zero
	// means 200.
	MessageRate int

	// MaxReply is the longest body of a reply, in bytes. Zero means 8 MiB.
	MaxReply int

	// Fragment is the longest payload of a frame sent, in bytes. Zero means
	// 64 KiB.
	Fragment int

	// Compression has messages deflated (RFC 7692) for clients that offer it.
	Compression bool

	// Outbox is how many bytes may wait for a client that reads slowly. Zero
	// means 1 MiB.
	Outbox int

	// Waiting is how many messages of a connection may wait while PHP works
	// on one before its socket is not read. Zero means 64.
	Waiting int

	// ContentType is the CONTENT_TYPE of messages. Empty means "auto".
	ContentType string

	// OnError is what a client gets for a message that failed: OnErrorMessage
	// (also if empty), OnErrorClose or OnErrorIgnore.
	OnError string
}

// What a client gets for a message that failed.
const (
	OnErrorMessage = "message" // a small JSON text
	OnErrorClose   = "close"   // 1011
	OnErrorIgnore  = "ignore"  // nothing
)

func (o Options) withDefaults() (Options, error) {
	o.MaxConnections = cmp.Or(o.MaxConnections, 50000)
	o.PerAddress = cmp.Or(o.PerAddress, 200)
	o.MaxHandshakes = cmp.Or(o.MaxHandshakes, 1024)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 10*time.Second)
	o.Software = cmp.Or(o.Software, "ws-fpm")
	if o.MaxConnections < 0 || o.PerAddress < 0 || o.MaxHandshakes < 0 || o.HandshakeTimeout < 0 {
		return o, fmt.Errorf("gateway: a negative option: MaxConnections %d, PerAddress %d, MaxHandshakes %d, HandshakeTimeout %v",
			o.MaxConnections, o.PerAddress, o.MaxHandshakes, o.HandshakeTimeout)
	}
	if o.MemoryShort == nil {
		o.MemoryShort = func() bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = new(metrics.Registry)
	}
	if len(o.Routes) == 0 {
		return o, errors.New("gateway: no route")
	}
	return o, nil
}

func (r Route) withDefaults() (Route, error) {
	r.Root = cmp.Or(r.Root, r.Script[:strings.LastIndexByte(r.Script, '/')+1])
	if r.Root != "/" {
		r.Root = strings.TrimRight(r.Root, "/")
	}
	if len(r.Events) == 0 {
		r.Events = []string{eventMessage}
	}
	r.MaxMessage = cmp.Or(r.MaxMessage, 1<<20)
	r.MaxReply = cmp.Or(r.MaxReply, 8<<20)
	r.Waiting = cmp.Or(r.Waiting, 64)
	r.ContentType = cmp.Or(r.ContentType, "auto")
	r.OnError = cmp.Or(r.OnError, OnErrorMessage)
	switch {
	case !strings.HasPrefix(r.Prefix, "/") || !strings.HasPrefix(r.Script, "/"):
		return r, fmt.Errorf("gateway: route %q: prefix and script have to begin with a slash", r.Prefix)
	case r.Backend == nil:
		return r, fmt.Errorf("gateway: route %q has no backend", r.Prefix)
	case r.MaxMessage < 0 || r.MaxReply < 0 || r.Waiting < 0 || r.Fragment < 0 || r.Outbox < 0 || r.MessageRate < 0:
		return r, fmt.Errorf("gateway: route %q has a negative limit", r.Prefix)
	case !slices.Contains([]string{OnErrorMessage, OnErrorClose, OnErrorIgnore}, r.OnError):
		return r, fmt.Errorf("gateway: route %q: OnError is %q", r.Prefix, r.OnError)
	}
	return r, nil
}
