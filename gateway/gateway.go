package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/hub"
	"ws-fpm/websocket"
)

// A Gateway serves WebSocket clients. Its methods may be called by several
// goroutines at once.
type Gateway struct {
	inForce atomic.Pointer[setup] // replaced as a whole; a handshake reads it once
	log     *slog.Logger
	count   *counters
	conns   *websocket.Server
	http    *http.Server
	boot    string // WS_BOOT
	epoch   time.Time

	ctx        context.Context // ends when PHP is no longer waited for
	cancel     context.CancelFunc
	work       sync.WaitGroup // sessions being served, late events
	handshakes atomic.Int64   // connections that are not upgraded yet
	heard      atomic.Int64   // of them: those whose request came, or that were one too many
	shaking    sync.Map       // net.Conn to netip.Prefix: of those, whose share each is counted in
	grace      time.Duration  // how long Shutdown waits for handshakes: lastCallTime, but in tests

	visitors *addresses
	hub      *hub.Hub[*websocket.Prepared]

	mu        sync.Mutex // guards what follows
	serving   bool
	listeners []net.Listener    // until draining
	draining  bool              // Shutdown was called
	refusing  bool              // nobody is let in any more
	routes    map[string]*route // by prefix: those served, and those gone whose connections are not
	late      map[*fastcgi.Client]*mailbox
	open      int             // sessions
	empty     chan struct{}   // closed when refusing and open is zero
	unknown   map[string]bool // fields of replies that were logged as unknown
}

// clock is the time since New.
func (g *Gateway) clock() time.Duration { return time.Since(g.epoch) }

// opts is what is in force now.
func (g *Gateway) opts() *setup { return g.inForce.Load() }

// New makes a gateway. It serves once Serve is called.
func New(ctx context.Context, o Options) (*Gateway, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gateway{log: o.Logger, boot: randomID(), epoch: time.Now(), grace: lastCallTime, empty: make(chan struct{}), visitors: newAddresses(o.PerAddress),
		routes: map[string]*route{}, late: map[*fastcgi.Client]*mailbox{}, unknown: map[string]bool{}}
	list, err := o.terms(g.boot)
	if err != nil {
		return nil, err
	}
	connections := o.connections()
	connections.OnPanic = func(v any, stack []byte) { g.panicked(v, stack) }
	g.conns, err = websocket.NewServer(connections)
	if err != nil {
		return nil, err
	}
	g.adopt(o, list)
	g.hub, err = hub.New[*websocket.Prepared](hub.Options{PerMember: maxChannels})
	if err != nil {
		return nil, err
	}
	g.count = newCounters(o.Metrics)
	observe(o.Metrics, g.conns)
	observeHub(o.Metrics, g.hub)
	o.Metrics.GaugeFunc("ws_fpm_late_events_waiting", "Disconnect and start events not delivered yet.", func() float64 {
		n := 0
		for _, m := range g.mailboxes() {
			n += m.waiting()
		}
		return float64(n)
	})
	g.ctx, g.cancel = context.WithCancel(ctx)
	g.http = g.newHTTPServer()
	return g, nil
}

// Serve accepts clients on l until Shutdown, which closes it. It returns nil
// then.
func (g *Gateway) Serve(l net.Listener) error {
	l = g.newFront(l)
	g.begin(l)
	if err := g.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !g.Draining() {
		return fmt.Errorf("gateway: accepting on %s: %w", l.Addr(), err)
	}
	return nil
}

// begin has PHP told, the first time, and takes note of l.
func (g *Gateway) begin(l net.Listener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		l.Close()
		return
	}
	g.listeners = append(g.listeners, l)
	if !g.serving {
		g.serving = true
		g.announceLocked()
	}
}

// announceLocked lets the routes that keep books of connections know that this
// process begins with none, once each.
func (g *Gateway) announceLocked() {
	for _, r := range g.opts().routes {
		t := r.now.Load()
		if r.announced || !t.has(eventConnect) && !t.has(eventDisconnect) {
			continue
		}
		r.announced = true
		s := g.startSession(r)
		s.post(lateEvent{session: s, name: eventStart})
	}
}

// startSession is a session of no connection, for the start event of r.
func (g *Gateway) startSession(r *route) *session {
	var e environment
	e.add("REQUEST_URI", r.prefix)
	e.add("QUERY_STRING", "")
	e.add("REMOTE_ADDR", "127.0.0.1")
	e.add("SERVER_NAME", "localhost")
	e.add("REQUEST_SCHEME", "http")
	if e.err != nil {
		panic("BUG: " + e.err.Error())
	}
	t := r.now.Load()
	return &session{gateway: g, route: r, joined: t, terms: t, own: string(e.params)}
}

// enter admits one more session of r and of the visitor with that key, who is not
// counted if that is zero, or says why not.
func (g *Gateway) enter(r *route, key netip.Prefix) (v *visitor, result outcome, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.refusing:
		return nil, refusedDrain, false
	case r.gone: // since it was found
		return nil, refusedPath, false
	case g.open >= g.opts().MaxConnections:
		return nil, refusedFull, false
	}
	if key.IsValid() {
		if v = g.visitors.enter(key, time.Now()); v == nil {
			return nil, refusedAddress, false
		}
	}
	g.open++
	r.sessions++
	return v, accepted, true
}

// leave takes note that a session has come to its end.
func (g *Gateway) leave(r *route, v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v != nil {
		g.visitors.leave(v)
	}
	g.open--
	r.sessions--
	g.forgetLocked(r)
	if g.refusing && g.open == 0 {
		close(g.empty)
	}
}

// Open is the number of places that are taken: by clients, those in their
// connect event included, and by those who left and whose disconnect event PHP
// has not had yet.
func (g *Gateway) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// isRefusing reports whether whoever comes in now has to go by itself.
func (g *Gateway) isRefusing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refusing
}

// Draining reports whether Shutdown has begun.
func (g *Gateway) Draining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

func (g *Gateway) panicked(v any, stack []byte) {
	g.count.panics.Inc()
	g.log.Error("panic while serving a client", "panic", fmt.Sprint(v), "stack", string(stack))
}

// logUnknown logs fields of replies that mean nothing, each name once.
func (g *Gateway) logUnknown(script string, names []string) {
	for _, name := range names {
		g.mu.Lock()
		fresh := !g.unknown[name] && len(g.unknown) < maxUnknown
		if fresh {
			g.unknown[name] = true
		}
		g.mu.Unlock()
		if fresh {
			g.log.Warn("unknown field in a reply of PHP is ignored", "field", name, "script", script)
		}
	}
}

// maxUnknown is how many names are told apart for that.
const maxUnknown = 100

// randomID gives 128 random bits in lowercase hexadecimal digits.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
