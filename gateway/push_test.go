package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ws-fpm/hub"
	"ws-fpm/websocket"
)

// conserved fails the test unless every message for a client was sent or is
// counted as dropped, when all clients have gone: the difference is 0.
func conserved(t *testing.T, g *Gateway) {
	t.Helper()
	eventually(t, "all are gone", func() bool { return g.Open() == 0 })
	meant := count(g, "ws_fpm_messages_for_clients_total")
	sent, dropped := count(g, "ws_fpm_messages_sent_total"), count(g, "ws_fpm_sends_dropped_total")
	if meant != sent+dropped {
		t.Errorf("%d messages for clients: %d sent, %d dropped, difference %d", meant, sent, dropped, meant-sent-dropped)
	}
	if held := count(g, "ws_fpm_buffered_bytes"); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
	for _, name := range []string{"ws_fpm_channels", "ws_fpm_subscriptions", "ws_fpm_users"} {
		if n := count(g, name); n != 0 {
			t.Errorf("%s is %d after all", name, n)
		}
	}
}

// join has n clients listen to a channel.
func join(t *testing.T, address, channel string, n int) (clients []*client) {
	t.Helper()
	for range n {
		c := dial(t, address)
		c.say("header WS-Subscribe: " + channel)
		c.hear("ok")
		clients = append(clients, c)
	}
	return clients
}

// Among many that read, some stop, some leave and some are closed, while several
// publish: who reads gets all of it, in order of each publisher, and every
// message is sent or counted.
func TestPublishToSlowReaders(t *testing.T) {
	g, _, address := open(t, func(r *Route, o *Options) { r.Outbox = 64 << 10 })
	const publishers, messages = 3, 150
	clients := join(t, address, "c", 20)
	slow, reading := clients[:8], clients[8:]
	got := make([]atomic.Int64, len(reading))
	var work sync.WaitGroup
	for i, c := range reading {
		work.Go(func() {
			defer got[i].Store(publishers * messages) // or the publishers would wait for it
			var next [publishers]int
			for range publishers * messages {
				if err := c.readNumbered(next[:]); err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				got[i].Add(1)
			}
		})
	}
	var turn sync.Mutex // guards what follows: those who read are only to be late, not slow
	published, delivered := 0, 0
	for p := range publishers {
		work.Go(func() {
			for n := range messages {
				body := fmt.Appendf(nil, "%d %d %s", p, n, strings.Repeat(string(rune('a'+p)), rand.IntN(16<<10)))
				turn.Lock()
				eventually(t, "readers have caught up", func() bool {
					return !slices.ContainsFunc(indexes(got), func(i int) bool { return got[i].Load() < int64(published-2) })
				})
				delivered += g.Publish("c", "", websocket.Text, body)
				published++
				turn.Unlock()
				if n == 50 && p == 0 {
					slow[0].Close()
					slow[1].reset()
				}
			}
		})
	}
	work.Wait()
	if took := g.Publish("c", "", websocket.Text, nil); took != len(reading) {
		t.Errorf("in the end %d take it; want the %d who read", took, len(reading))
	}
	if delivered < published*len(reading) || delivered >= published*len(clients) {
		t.Errorf("%d deliveries of %d publishes", delivered, published)
	}
	if n := count(g, "ws_fpm_cut_total", `="outbox"`); n < 4 || n > len(slow) {
		t.Errorf("%d were cut for their outbox; want most of the %d slow ones", n, len(slow))
	}
	if n := count(g, "ws_fpm_publish_encodings_total"); n != published+1 {
		t.Errorf("encoded %d times for %d publishes", n, published+1)
	}
	for _, c := range clients {
		c.Close()
	}
	conserved(t, g)
}

func indexes[T any](list []T) (all []int) {
	for i := range list {
		all = append(all, i)
	}
	return all
}

// readNumbered reads "publisher number letters", and fails if it is not that
// publisher's next or holds another's letters.
func (c *client) readNumbered(next []int) error {
	head, payload, err := c.read()
	if err != nil {
		return err
	}
	var p, n int
	if _, err := fmt.Sscanf(payload, "%d %d ", &p, &n); err != nil || head != text || n != next[p] {
		return fmt.Errorf("got %x %.20q, %v; want number %d", head, payload, err, next[p])
	}
	next[p]++
	if rest := strings.Trim(payload[strings.LastIndexByte(payload, ' ')+1:], string(rune('a'+p))); rest != "" {
		return fmt.Errorf("got bytes of another: %.20q", rest)
	}
	return nil
}

// A thousand channels are too many for a hub of two; the rest of the reply
// counts all the same, and PHP is told what there is.
func TestChannelsFull(t *testing.T) {
	g, _, address := open(t, nil)
	var err error
	if g.hub, err = hub.New[*websocket.Prepared](hub.Options{Channels: 2}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, address)
	c.say("header WS-Subscribe: a,b,c|WS-User: 42", "param WS_CHANNELS", "param WS_USER")
	c.hear("ok", "a,b", "42")
	if list, total := g.Connections("42", "", 9); total != 1 || strings.Join(list[0].Channels, " ") != "a b" {
		t.Errorf("%+v, %d", list, total)
	}
	c.say("header WS-Unsubscribe: a|WS-Subscribe: c", "param WS_CHANNELS")
	c.hear("ok", "b,c")
}

// What is sent to a client that is still connecting waits: less than 64 KiB, and
// one message more. If it is turned away all is dropped and counted, and nobody
// can send to it any more.
func TestEarlyMessages(t *testing.T) {
	g, _, _ := open(t, nil)
	newcomer := func() *session {
		r := g.opts().routes[0]
		if _, result, ok := g.enter(r, netip.Prefix{}); !ok {
			t.Fatal(result)
		}
		s := &session{gateway: g, route: r, joined: r.now.Load(), terms: r.now.Load(), id: randomID(), since: time.Now().UnixMilli()}
		g.hub.Join(&s.seat, s.id, s)
		return s
	}
	for _, test := range []struct {
		name  string
		sizes []int // of messages before
		taken bool  // whether the next is
	}{
		{"none waits", nil, true},
		{"one byte less than 64 KiB waits", []int{1, maxEarly - 2}, true},
		{"64 KiB wait", []int{1, maxEarly - 1}, false},
		{"one large message waits", []int{1 << 20}, false},
		{"a thousand small ones wait", slices.Repeat([]int{10}, 1000), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newcomer()
			before := count(g, "ws_fpm_sends_dropped_total", "connecting")
			for _, n := range test.sizes {
				if !g.Send(s.id, websocket.Binary, make([]byte, n)) {
					t.Fatalf("%d bytes were not taken", n)
				}
			}
			if taken := g.Send(s.id, websocket.Text, nil); taken != test.taken {
				t.Errorf("the next was taken: %t", taken)
			}
			if _, found := g.Connection(s.id); !found {
				t.Error("it is not found")
			}
			s.part(websocket.Closing{}, false)
			if g.Send(s.id, websocket.Text, nil) || s.Deliver(g.conns.Prepare(websocket.Text, nil)) {
				t.Error("one who was turned away takes messages")
			}
			want := len(test.sizes) + 1 // and what was delivered to somebody who held on to it
			if n := count(g, "ws_fpm_sends_dropped_total", "connecting") - before; n != want+1 {
				t.Errorf("%d dropped; want %d", n, want+1)
			}
		})
	}
}

// A panic in the delivery to one client costs neither the publisher nor the
// others anything.
func TestPanicInADelivery(t *testing.T) {
	g, _, address := open(t, nil)
	c := join(t, address, "c", 3)
	members, _ := g.hub.Listeners("c", 9)
	broken := members[1].(*session)
	conn := broken.conn
	broken.conn = nil // nobody else uses it at this moment
	if took := g.Publish("c", "", websocket.Text, []byte("x")); took != 2 {
		t.Errorf("%d took it, want 2", took)
	}
	broken.conn = conn
	heard := 0
	for _, c := range c {
		c.SetDeadline(time.Now().Add(time.Second / 2))
		if _, payload, err := c.read(); err == nil && payload == "x" {
			heard++
		}
	}
	if n := count(g, "ws_fpm_panics_total"); heard != 2 || n != 1 {
		t.Errorf("%d heard it, %d panics", heard, n)
	}
	if took := g.Publish("c", "", websocket.Text, []byte("y")); took != 3 {
		t.Errorf("%d took the next", took)
	}
}

// A witness is a listener that knows who brings it messages.
type witness struct {
	seat  hub.Seat[*websocket.Prepared]
	stack chan string
}

func (w *witness) Deliver(*websocket.Prepared) bool {
	w.stack <- string(debug.Stack())
	return true
}

// A publish may be to everybody, which takes time: no loop does it, in which
// other clients would wait for the end of it.
func TestNoLoopPublishes(t *testing.T) {
	g, _, address := open(t, nil)
	w := &witness{stack: make(chan string, 1)}
	g.hub.Join(&w.seat, randomID(), w)
	defer g.hub.Leave(&w.seat)
	if err := g.hub.Subscribe(&w.seat, "c"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, address)
	c.say("header WS-Publish: c; reply")
	c.hear("ok")
	if stack := receive(t, w.stack); strings.Contains(stack, "websocket.(*loop).run") {
		t.Errorf("published by a loop:\n%s", stack)
	}
}
