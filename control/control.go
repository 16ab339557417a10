// Package control is the private HTTP API: sending to clients and channels, who
// is connected, closing a connection, metrics and health.
//
// It is served on a unix socket, where the kernel says who calls, or on a
// loopback address, where a token does. Neither is a public address, and yet
// strangers come near: other users of the machine, and any web page that a
// browser on it has open. So before anything is looked up, each request passes
// the same checks, in guard.go:
//
//	listener.go   how many connections; on a unix socket: whose
//	host.go       which Host, for a page can give this machine any name
//	token.go      the token, where there is one
//
// Those that only decide are pure: access.go, batch.go, fields.go, host.go. What the API
// needs of the rest of the program it gets as Connections and functions.
package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ws-fpm/metrics"
)

// Limits of one request and one connection. None can be configured.
const (
	headerTimeout  = 5 * time.Second  // from the first byte, or from connecting, to the end of the header
	requestTimeout = 10 * time.Second // to the end of the body; 408
	answerTimeout  = 20 * time.Second // from the end of the header to the end of the answer
	idleTimeout    = 30 * time.Second // between two requests

	maxHeaderBytes = 12 << 10 // net/http adds 4 KiB of grace: 16 KiB in all; 431
	maxFields      = 100      // header fields, repeated ones each; 431
	maxBody        = 1 << 20  // bytes; 413
)

// Connections are what the API shows and does of WebSocket connections. All
// methods are called by many goroutines at once and must not wait for a client.
// Each Most bounds what a list holds; the total counts what it would hold
// without.
type Connections interface {
	// Send sends m to the connection with this id. It reports false if there
	// is none that takes it.
	Send(id string, m Message) bool

	// Publish sends m to all that listen to the channel, but for the
	// connection exclude, which may be empty. It gives the number of those
	// that were handed it. SendToUser does so for all of a user.
	Publish(channel, exclude string, m Message) (delivered int)
	SendToUser(user string, m Message) (delivered int)

	// CloseUser is Disconnect for all of a user. It gives their number.
	CloseUser(user string, code uint16, reason string) (closed int)

	// Channels gives the channels whose names begin with prefix, by name.
	Channels(prefix string, most int) (list []Channel, total int)

	// List gives the connections of the user that listen to the channel; an
	// empty one of the two stands for any.
	List(user, channel string, most int) (list []Connection, total int)

	// Connection describes the connection with this id, which is 32 lowercase
	// hexadecimal digits. It reports false if there is none.
	Connection(id string) (Connection, bool)

	// Disconnect closes it with code (1000, 1008, 1011, 1013 or 3000 to 4999)
	// and a reason of at most 123 bytes of UTF-8, as a WS-Close of PHP does.
	// It reports false if there is none.
	Disconnect(id string, code uint16, reason string) bool
}

// A Message is what a client is sent. Its text is UTF-8.
type Message struct {
	Text bool
	Body []byte
}

// A Channel is a name that connections listen to.
type Channel struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
}

// A Connection is one WebSocket connection as the API shows it.
type Connection struct {
	ID            string
	Since         time.Time         // when it was accepted
	Route         string            // the route's prefix, such as /ws
	User          string            // what PHP's WS-User said; empty if nothing
	Attributes    map[string]string // what PHP's WS-Set-* said, by the name in WS_ATTR_<NAME>
	Channels      []string          // that it listens to
	RemoteAddress string            // the client's address, as PHP's REMOTE_ADDR
}

// Options are what a Server is made of.
type Options struct {
	// Connections is required.
	Connections Connections

	// Ready gives the reason why this process should get no traffic: what
	// php-fpm said last, or a shutdown that has begun; nil if there is none.
	// The text is shown to whoever asks /readyz. Required; it may take as long as a connect.
	Ready func() error

	// Metrics is what /metrics shows, and where the Server counts. Nil means
	// a registry of its own.
	Metrics *metrics.Registry

	// Access says who may use the API. SetAccess replaces it.
	Access Access

	// Logger is told of refusals. Nil means that nobody is.
	Logger *slog.Logger
}

// Access says who may use the API. Of it, ServeMetrics heeds Hosts alone.
type Access struct {
	// Token is what callers must show. The zero Token means: on a unix socket
	// none is needed; on a loopback address nobody is let in.
	Token Token

	// Allow says whose processes may use a unix socket. Its zero value leaves
	// that to the socket's mode and group.
	Allow Allow

	// Hosts are further names, without a port, by which a request may call a
	// loopback address: its own are localhost and loopback addresses. On a unix
	// socket any name will do, for no browser can reach one.
	Hosts []string
}

func (a Access) withDefaults() (Access, error) {
	hosts := make([]string, len(a.Hosts))
	for i, h := range a.Hosts {
		name, ok := hostName(h)
		if !ok {
			return Access{}, fmt.Errorf("control: Hosts: %q: want a name or an address, without a port", h)
		}
		hosts[i] = name
	}
	a.Hosts = hosts
	return a, nil
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Connections == nil:
		return Options{}, errors.New("control: Connections is nil")
	case o.Ready == nil:
		return Options{}, errors.New("control: Ready is nil")
	}
	if o.Metrics == nil {
		o.Metrics = new(metrics.Registry)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// A Server serves the API. Its methods may be called by several goroutines at
// once.
type Server struct {
	opts    Options
	access  atomic.Pointer[Access] // replaced as a whole; a request reads it once
	count   *counters
	http    *http.Server
	api     http.Handler // all of it
	metrics http.Handler // metrics and health

	scrape sync.Mutex     // held while the metrics are written down
	work   sync.WaitGroup // connections being served
}

// New makes a server. It serves once Serve or ServeMetrics is called.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, count: newCounters(o.Metrics, o.Logger)}
	if err := s.SetAccess(o.Access); err != nil {
		return nil, err
	}
	s.api = newMux(slices.Concat(s.healthRows(), s.connectionRows(), s.channelRows(), s.userRows(), s.batchRows()))
	s.metrics = newMux(s.healthRows())
	s.http = &http.Server{
		Handler:                      http.HandlerFunc(s.handle),
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 answerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		ConnContext:                  withConn,
		ConnState:                    s.connState,
	}
	s.http.Protocols.SetHTTP1(true)
	return s, nil
}

// SetAccess replaces who may use the API, for a configuration that is read
// again. Requests in progress and, for Allow, connections that are open keep
// what they were admitted by. On an error nothing changes.
func (s *Server) SetAccess(a Access) error {
	a, err := a.withDefaults()
	if err != nil {
		return err
	}
	s.access.Store(&a)
	return nil
}

// Serve serves the whole API on l, a unix socket or a loopback address, until
// Shutdown; then it returns nil. It closes l in any case.
//
// It is an error if l is on any other address, if l is on a loopback address
// and there is no token, and, where the system does not say who is at the other
// end of a unix socket (any but Linux), if Allow is not empty: only the socket's
// mode and group decide there.
func (s *Server) Serve(l net.Listener) error {
	unix, loopback := kind(l.Addr())
	access := s.access.Load()
	problem := ""
	switch {
	case !unix && !loopback:
		problem = "want a unix socket or a loopback address"
	case !unix && access.Token.isZero():
		problem = "want a token: everybody on this machine can reach a port"
	case unix && !access.Allow.isZero() && !peersKnown:
		problem = "this system does not say who uses a unix socket: want none in Allow, and the socket's mode and group"
	}
	if problem != "" {
		l.Close()
		return fmt.Errorf("control: serving on %s: %s", l.Addr(), problem)
	}
	return s.serve(&listener{Listener: l, server: s, mux: s.api, private: true, unix: unix, local: loopback})
}

// ServeMetrics serves metrics and health alone on l, until Shutdown; then it
// returns nil. It closes l in any case. There, whoever reaches l may read: no
// token is asked for, and the Host matters on a loopback address only.
func (s *Server) ServeMetrics(l net.Listener) error {
	unix, loopback := kind(l.Addr())
	return s.serve(&listener{Listener: l, server: s, mux: s.metrics, unix: unix, local: loopback})
}

func (s *Server) serve(l *listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control: accepting on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown ends the server: it accepts nothing more, and requests in hand are
// answered. If ctx ends first, they are cut and that is the error. When it
// returns, no goroutine of the server runs any more.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
		err = fmt.Errorf("control: requests cut: %w", err)
	}
	s.work.Wait()
	return err
}

// kind says which sort of address a is.
func kind(a net.Addr) (unix, loopback bool) {
	switch a := a.(type) {
	case *net.UnixAddr:
		return true, false
	case *net.TCPAddr:
		return false, a.IP.IsLoopback()
	}
	return false, false
}

// A Token is the SHA-256 sum of a secret that callers show. Its zero value
// stands for none, and nothing matches it.
type Token [sha256.Size]byte

func (t Token) isZero() bool { return t == Token{} }
