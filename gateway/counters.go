package gateway

import (
	"cmp"
	"time"

	"ws-fpm/hub"
	"ws-fpm/metrics"
	"ws-fpm/websocket"
)

// counters are what the gateway itself counts; connections and pools count for
// themselves and are asked when somebody reads.
type counters struct {
	handshakes map[outcome]*metrics.Counter
	events     map[string]map[failure]*metrics.Counter // by event
	answers    *metrics.Counter                        // of them: messages that had a reply
	closes     map[string]*metrics.Counter
	latency    *metrics.Histogram
	dropped    *metrics.Counter
	replies    *metrics.Counter // of messages for clients: what PHP said
	excuses    *metrics.Counter // and that it said nothing of use
	early      *metrics.Counter
	pauses     *metrics.Counter
	panics     *metrics.Counter
}

// An outcome is how a handshake ended.
type outcome string

const (
	accepted       outcome = "accepted"
	refusedRequest outcome = "bad_request"     // 400, 405, 426 …: not a WebSocket handshake
	refusedPath    outcome = "not_found"       // 404, or a path of two meanings
	refusedSize    outcome = "too_large"       // 431, 414
	refusedOrigin  outcome = "origin"          // 403
	refusedHost    outcome = "host"            // 403
	refusedByPHP   outcome = "php"             // as PHP says
	refusedBackend outcome = "backend"         // 502, 503, 504: PHP said nothing of use
	refusedAddress outcome = "address"         // 503
	refusedFull    outcome = "max_connections" // 503
	refusedMemory  outcome = "memory"          // 503: four fifths of the memory limit are in use
	refusedBuffers outcome = "buffers"         // 503: four fifths of Buffers are in use
	refusedDrain   outcome = "draining"        // 503
	refusedFlood   outcome = "max_handshakes"  // closed at once
	unread         outcome = "unread"          // no request that net/http takes: malformed, over 16 KiB, late or none
	broken         outcome = "broken"          // the client went, or writing failed
)

var outcomes = [...]outcome{accepted, refusedRequest, refusedPath, refusedSize, refusedOrigin, refusedHost, refusedByPHP, refusedBackend, refusedAddress, refusedFull, refusedMemory, refusedBuffers,
	refusedDrain, refusedFlood, unread, broken}

// answered is the result of an event that had a reply.
const answered failure = ""

var failures = [...]failure{answered, backendFailed, backendTimeout, backendBusy, replyTooBig, badReply}

// closeLabels are the codes counted one by one; others by their range.
var closeLabels = [...]string{"1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010",
	"1011", "1012", "1013", "1014", "3xxx", "4xxx"}

// latencies are the upper bounds of the time PHP takes, in seconds.
var latencies = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

const pauses = "Times that a client was not read for a while, by cause."

func newCounters(r *metrics.Registry) *counters {
	c := &counters{
		handshakes: map[outcome]*metrics.Counter{},
		events:     map[string]map[failure]*metrics.Counter{},
		closes:     map[string]*metrics.Counter{},
		latency:    r.Histogram("ws_fpm_event_seconds", "Time from an event to the end of PHP's reply.", latencies),
		dropped:    r.Counter("ws_fpm_messages_dropped_total", "Messages not given to PHP, for their connection was closing."),
		early:      r.Counter("ws_fpm_sends_dropped_total", drops, metrics.Label{Name: "cause", Value: "connecting"}),
		pauses:     r.Counter("ws_fpm_reading_paused_total", pauses, metrics.Label{Name: "cause", Value: "waiting"}),
		panics:     r.Counter("ws_fpm_panics_total", "Panics while a client was served; each cost that client its connection."),
	}
	c.replies = r.Counter("ws_fpm_messages_for_clients_total", toClients, metrics.Label{Name: "kind", Value: "reply"})
	c.excuses = r.Counter("ws_fpm_messages_for_clients_total", toClients, metrics.Label{Name: "kind", Value: "failure"})
	for _, o := range outcomes {
		c.handshakes[o] = r.Counter("ws_fpm_handshakes_total", "Handshakes by result.", metrics.Label{Name: "result", Value: string(o)})
	}
	for _, event := range []string{eventConnect, eventMessage, eventDisconnect, eventStart} {
		c.events[event] = map[failure]*metrics.Counter{}
		for _, f := range failures {
			c.events[event][f] = r.Counter("ws_fpm_events_total", "Events given to PHP, by result.",
				metrics.Label{Name: "event", Value: event}, metrics.Label{Name: "result", Value: cmp.Or(string(f), "answered")})
		}
	}
	c.answers = c.events[eventMessage][answered]
	for _, label := range closeLabels {
		c.closes[label] = r.Counter("ws_fpm_closes_total", "Connections ended, by the code of their first close frame.",
			metrics.Label{Name: "code", Value: label})
	}
	return c
}

func (c *counters) event(name string, word failure, took time.Duration) {
	if name == eventMessage && word == answered {
		c.answers.Inc() // nearly all there are
	} else {
		c.events[name][word].Inc()
	}
	c.latency.Observe(took.Seconds())
}

// closed counts how a connection ended. Codes are a client's choice, so those
// without a meaning of their own share a label.
func (c *counters) closed(how websocket.Closing) {
	label := itoa(int(how.Code))
	switch {
	case how.Code >= 4000:
		label = "4xxx"
	case how.Code >= 3000:
		label = "3xxx"
	}
	c.closes[label].Inc()
}

// Help of families that have series in two places.
const (
	toClients = "Messages for clients, by what they are; each is then sent or counted as dropped."
	drops     = "Messages for clients that were dropped, by cause."
)

// observe registers what connections count.
func observe(r *metrics.Registry, s *websocket.Server) {
	gauge := func(name, help string, f func(websocket.Stats) float64) {
		r.GaugeFunc(name, help, func() float64 { return f(s.Stats()) })
	}
	count := func(name, help string, f func(websocket.Stats) uint64, labels ...metrics.Label) {
		r.CounterFunc(name, help, func() float64 { return float64(f(s.Stats())) }, labels...)
	}
	cause := func(value string) metrics.Label { return metrics.Label{Name: "cause", Value: value} }

	gauge("ws_fpm_connections", "Connections open.", func(s websocket.Stats) float64 { return float64(s.Open) })
	gauge("ws_fpm_buffered_bytes", "Bytes in all queues of all connections.", func(s websocket.Stats) float64 { return float64(s.Held) })
	count("ws_fpm_messages_received_total", "Whole messages from clients.", func(s websocket.Stats) uint64 { return s.MessagesIn })
	count("ws_fpm_messages_received_bytes_total", "Their payload.", func(s websocket.Stats) uint64 { return s.BytesIn })
	count("ws_fpm_messages_sent_total", "Messages wholly handed to sockets.", func(s websocket.Stats) uint64 { return s.MessagesOut })
	count("ws_fpm_sent_bytes_total", "Bytes written to clients.", func(s websocket.Stats) uint64 { return s.BytesOut })
	count("ws_fpm_pings_total", "Pings sent.", func(s websocket.Stats) uint64 { return s.Pings })

	count("ws_fpm_reading_paused_total", pauses, func(s websocket.Stats) uint64 { return s.ThrottledMessages }, cause("message_rate"))
	count("ws_fpm_reading_paused_total", pauses, func(s websocket.Stats) uint64 { return s.ThrottledControl }, cause("control_rate"))

	count("ws_fpm_messages_inflated_total", "Messages from clients that came deflated.", func(s websocket.Stats) uint64 { return s.Inflated })
	count("ws_fpm_messages_deflated_total", "Messages deflated, for one client or several.", func(s websocket.Stats) uint64 { return s.Deflated })
	count("ws_fpm_deflate_saved_bytes_total", "Bytes that they got shorter.", func(s websocket.Stats) uint64 { return s.Saved })

	const asTheyAre = "Messages sent as they are to clients that take deflated ones, by cause."
	count("ws_fpm_deflate_skipped_total", asTheyAre, func(s websocket.Stats) uint64 { return s.DeflateSmall }, cause("small"))
	count("ws_fpm_deflate_skipped_total", asTheyAre, func(s websocket.Stats) uint64 { return s.DeflateNoGain }, cause("no_gain"))
	count("ws_fpm_deflate_skipped_total", asTheyAre, func(s websocket.Stats) uint64 { return s.DeflateBusy }, cause("busy"))

	const bad = "Deflated messages that were refused, by cause; each closed its connection."
	count("ws_fpm_inflate_failed_total", bad, func(s websocket.Stats) uint64 { return s.InflateTooBig }, cause("max_message"))
	count("ws_fpm_inflate_failed_total", bad, func(s websocket.Stats) uint64 { return s.InflateDamaged }, cause("damaged"))

	const drops = "Messages for clients that were dropped, by cause."
	count("ws_fpm_sends_dropped_total", drops, func(s websocket.Stats) uint64 { return s.DroppedClosed }, cause("closed"))
	count("ws_fpm_sends_dropped_total", drops, func(s websocket.Stats) uint64 { return s.DroppedSlow }, cause("slow"))
	count("ws_fpm_sends_dropped_total", drops, func(s websocket.Stats) uint64 { return s.DroppedShed }, cause("buffers"))
	count("ws_fpm_sends_dropped_total", drops, func(s websocket.Stats) uint64 { return s.Refused }, cause("refused"))

	count("ws_fpm_publish_encodings_total", "Times that a message for several clients was encoded.", func(s websocket.Stats) uint64 { return s.Encoded })
	count("ws_fpm_drains_total", "Times that what a client did not take at once was left to be written later.", func(s websocket.Stats) uint64 { return s.Drains })

	const cuts = "Connections cut for passing a limit, by limit."
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.Violations }, cause("protocol"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.Slow }, cause("outbox"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.Shed }, cause("buffers"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.ShedMessages }, cause("buffers_message"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.PongTimeouts }, cause("pong"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.MessageTimeouts }, cause("message_timeout"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.WriteTimeouts }, cause("write_timeout"))
	count("ws_fpm_cut_total", cuts, func(s websocket.Stats) uint64 { return s.CloseTimeouts }, cause("close_timeout"))
}

// observeHub registers what the hub counts.
func observeHub(r *metrics.Registry, h *hub.Hub[*websocket.Prepared]) {
	gauge := func(name, help string, f func(hub.Stats) int64) {
		r.GaugeFunc(name, help, func() float64 { return float64(f(h.Stats())) })
	}
	count := func(name, help string, f func(hub.Stats) uint64, labels ...metrics.Label) {
		r.CounterFunc(name, help, func() float64 { return float64(f(h.Stats())) }, labels...)
	}
	label := func(name, value string) metrics.Label { return metrics.Label{Name: name, Value: value} }

	gauge("ws_fpm_channels", "Channels that somebody listens to.", func(s hub.Stats) int64 { return s.Channels })
	gauge("ws_fpm_subscriptions", "Pairs of a connection and a channel it listens to.", func(s hub.Stats) int64 { return s.Listening })
	gauge("ws_fpm_users", "Users that have a connection.", func(s hub.Stats) int64 { return s.Users })
	count("ws_fpm_publishes_total", "Messages published to a channel.", func(s hub.Stats) uint64 { return s.Publishes })

	count("ws_fpm_messages_for_clients_total", toClients, func(s hub.Stats) uint64 { return s.Taken + s.Refused }, label("kind", "push"))

	const refused = "Subscriptions refused, by limit."
	count("ws_fpm_subscriptions_refused_total", refused, func(s hub.Stats) uint64 { return s.TooManyChannels }, label("limit", "connection"))
	count("ws_fpm_subscriptions_refused_total", refused, func(s hub.Stats) uint64 { return s.ChannelsFull }, label("limit", "channels"))
}
