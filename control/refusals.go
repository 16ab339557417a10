package control

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ws-fpm/metrics"
)

// A cause is why a connection or request was refused before it was looked at.
type cause string

const (
	causeBody        cause = "body"        // 413: longer than 1 MiB
	causeBrowser     cause = "browser"     // 403: with Origin or Sec-Fetch-Site
	causeConnections cause = "connections" // closed at once: too many
	causeFields      cause = "fields"      // 431: more than 100 header fields
	causeHost        cause = "host"        // 403: a Host that may be anybody's
	causePeer        cause = "peer"        // 403: a process of a user who may not
	causeTimeout     cause = "timeout"     // 408: a body not whole in 10 s
	causeToken       cause = "token"       // 401: none, or a wrong one
	causeUnread      cause = "unread"      // no request that net/http takes: malformed, over 16 KiB, late or none
	causeVersion     cause = "version"     // 505: not HTTP/1.1
)

var causes = [...]cause{causeBody, causeBrowser, causeConnections, causeFields, causeHost, causePeer, causeTimeout,
	causeToken, causeUnread, causeVersion}

// attack reports whether c is worth a warning: somebody wants in who may not.
func (c cause) attack() bool {
	switch c {
	case causeBrowser, causeHost, causePeer, causeToken:
		return true
	case causeBody, causeConnections, causeFields, causeTimeout, causeUnread, causeVersion:
		return false
	}
	panic("BUG: a refusal without a cause")
}

// counters are what the Server itself counts.
type counters struct {
	log     *slog.Logger
	refused map[cause]*metrics.Counter
	lines   map[cause]*limiter
	answers [6]*metrics.Counter // by the first digit of the status
	open    *metrics.Gauge
	panics  *metrics.Counter
	panic   limiter
}

func newCounters(r *metrics.Registry, log *slog.Logger) *counters {
	c := &counters{
		log:     log,
		refused: map[cause]*metrics.Counter{},
		lines:   map[cause]*limiter{},
		open:    r.Gauge("ws_fpm_control_connections", "Connections to the control API and the extra metrics listener."),
		panics:  r.Counter("ws_fpm_control_panics_total", "Panics while a request to the control API was answered."),
	}
	for _, why := range causes {
		c.refused[why] = r.Counter("ws_fpm_control_refused_total", "Connections and requests that the control API refused, by cause.",
			metrics.Label{Name: "cause", Value: string(why)})
		c.lines[why] = new(limiter)
	}
	for _, class := range []int{2, 4, 5} {
		c.answers[class] = r.Counter("ws_fpm_control_requests_total", "Requests to the control API answered, by status.",
			metrics.Label{Name: "status", Value: fmt.Sprintf("%dxx", class)})
	}
	return c
}

// refuse counts, and logs at most once a second for each cause, with how many
// were not logged since. Nothing that the caller sent is in that line.
func (c *counters) refuse(why cause, from *conn) {
	c.refused[why].Inc()
	unsaid, ok := c.lines[why].allow(time.Now())
	if !ok {
		return
	}
	level := slog.LevelDebug
	if why.attack() {
		level = slog.LevelWarn
	}
	c.log.Log(nil, level, "control API refused a request", "cause", string(why), "listener", from.listener.Addr().String(),
		"from", from.String(), "unlogged", unsaid)
}

// String says who is at the other end of c.
func (c *conn) String() string {
	if !c.listener.unix {
		return c.RemoteAddr().String()
	}
	p, err := peerOf(c.Conn)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("uid %d, gid %d", p.uid, p.gid)
}

// A limiter lets one line a second into the log. Its zero value is ready.
type limiter struct {
	mu     sync.Mutex // guards what follows
	next   time.Time
	unsaid uint64
}

// allow reports whether a line may be logged now, and how many were not since
// the last one.
func (l *limiter) allow(now time.Time) (unsaid uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.unsaid++
		return 0, false
	}
	unsaid, l.unsaid, l.next = l.unsaid, 0, now.Add(time.Second)
	return unsaid, true
}
