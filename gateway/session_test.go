package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// open gives a gateway with one route, on a backend of its own, and its
// address.
func open(t testing.TB, change func(*Route, *Options)) (g *Gateway, b *backend, address string) {
	t.Helper()
	b = newBackend(t, nil)
	r, o := Route{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}, Options{}
	if change != nil {
		change(&r, &o)
	}
	o.Routes = []Route{r}
	g = newGateway(t, o)
	return g, b, serve(t, g)
}

// books checks that every message a client sent is accounted for, once, and
// that every message meant for a client was sent or dropped for a reason that
// is counted.
func books(t *testing.T, g *Gateway, b *backend) {
	t.Helper()
	eventually(t, "all are gone", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.open == 0
	})
	if open, held := count(g, "ws_fpm_connections"), count(g, "ws_fpm_buffered_bytes"); open != 0 || held != 0 {
		t.Errorf("without a session %d connections are open, %d bytes are held", open, held)
	}
	in, out := count(g, "ws_fpm_messages_received_total"), events(g, "")
	dropped := count(g, "ws_fpm_messages_dropped_total")
	if in != out+dropped {
		t.Errorf("%d messages came in; %d went to PHP, %d were dropped", in, out, dropped)
	}
	// On a machine with too much to do, a message may wait too long for its turn.
	if ran, not := len(b.runs()), int(b.client.Stats().NotExecuted); ran != out-not {
		t.Errorf("%d messages went to PHP, which ran %d; %d provably did not run", out, ran, not)
	}
}

// Answers come in the order of messages, and PHP never has two of one client.
func TestSessionOrder(t *testing.T) {
	g, b, address := open(t, nil)
	c, other := dial(t, address), dial(t, address)
	c.say("hold 0", "echo 1", "hold 2", "echo 3")
	b.began("hold 0")
	other.say("echo free")
	other.hear("free")
	b.release("2")
	b.release("0")
	c.hear("0", "1", "2", "3")
	c.say(numbered("echo %d", 0, 200)...)
	c.hear(numbered("%d", 0, 200)...)
	if want := append([]string{"hold 0", "echo free", "echo 1", "hold 2", "echo 3"}, numbered("echo %d", 0, 200)...); !slices.Equal(b.runs(), want) {
		t.Errorf("PHP ran %q", b.runs())
	}
	c.Close()
	other.Close()
	books(t, g, b)
	if b.most > 2 {
		t.Errorf("PHP had %d messages of two clients at once", b.most)
	}
}

// An opcode goes to PHP and comes back as PHP says.
func TestSessionOpcodes(t *testing.T) {
	_, _, address := open(t, nil)
	c := dial(t, address)
	c.write(joined(frame(binry, "echo a"), frame(text, "header WS-Opcode: binary"), frame(text, "echo "), frame(text, "header WS-Opcode: none"),
		frame(text, ""), frame(text, "header Content-Type: image/png"), frame(text, "echo \xc3\xa9")))
	c.want(text, "a")
	c.want(binry, "ok")
	c.want(binry, "ok")
	c.want(text, "é")
}

// Pings are answered while PHP works, and do not disturb the order.
func TestSessionPingWhilePHPWorks(t *testing.T) {
	_, b, address := open(t, nil)
	c := dial(t, address)
	c.say("hold 0", "echo 1")
	b.began("hold 0")
	began := time.Now()
	c.write(frame(ping, "x"))
	c.want(pong, "x")
	if took := time.Since(began); took > time.Second {
		t.Errorf("the pong took %v", took)
	}
	b.release("0")
	c.hear("0", "1")
}

// Waiting is the number of messages behind the one in PHP; the next is not
// read. Nothing is lost of it.
func TestSessionWaiting(t *testing.T) {
	tests := []struct {
		name   string
		behind []string // the one in PHP
		pauses int
	}{
		{"one less than may wait", numbered("echo %d", 1, 64), 0},
		{"as many as may wait", numbered("echo %d", 1, 65), 1},
		{"one more", numbered("echo %d", 1, 66), 1},
		{"many more", numbered("echo %d", 1, 1000), 1},
		{"1 MiB less a byte", []string{sized(1, 1<<20-1)}, 0},
		{"1 MiB", []string{sized(1, 1<<20)}, 1},
		{"two that make 1 MiB less a byte", []string{sized(1, 1<<19), sized(2, 1<<19-1)}, 0},
		{"two that make 1 MiB", []string{sized(1, 1<<19), sized(2, 1<<19)}, 1},
		{"the one that passes it", []string{sized(1, 1<<20-1), sized(2, 1<<20)}, 1},
		{"more behind it", []string{sized(1, 1<<20), sized(2, 1<<20), sized(3, 1<<20)}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, b, address := open(t, func(r *Route, _ *Options) { r.Fragment, r.Outbox = 2<<20, 8<<20 })
			c := dial(t, address)
			c.say("hold 0")
			b.began("hold 0")
			wrote := make(chan struct{})
			go func() { // it may have to wait
				defer close(wrote)
				for _, s := range test.behind {
					c.Write(frame(text, s))
				}
			}()
			first := 1 // in PHP
			if test.pauses == 0 {
				eventually(t, "all came in", func() bool {
					return count(g, "ws_fpm_messages_received_total") == first+len(test.behind)
				})
			}
			eventually(t, "reading pauses if it has to", func() bool { return count(g, "ws_fpm_reading_paused_total") == test.pauses })
			if in := count(g, "ws_fpm_messages_received_total"); in > first+64 {
				t.Errorf("%d messages were read, want 65 at most", in)
			}
			if held := count(g, "ws_fpm_buffered_bytes"); held > 3<<20+64<<10 {
				t.Errorf("%d bytes are held for one client", held)
			}
			b.release("0")
			c.hear("0")
			for _, s := range test.behind {
				c.hear(strings.TrimPrefix(s, "echo "))
			}
			<-wrote
			c.Close()
			books(t, g, b)
		})
	}
}

// sized is a message of n bytes that is echoed.
func sized(digit, n int) string {
	const echo = "echo "
	return echo + strings.Repeat(string(rune('0'+digit)), n-len(echo))
}

// A route may let fewer wait.
func TestSessionWaitingOfARoute(t *testing.T) {
	g, b, address := open(t, func(r *Route, _ *Options) { r.Waiting = 1 })
	c := dial(t, address)
	c.say("hold 0")
	b.began("hold 0")
	c.say(numbered("echo %d", 1, 10)...)
	eventually(t, "reading pauses", func() bool { return count(g, "ws_fpm_reading_paused_total") == 1 })
	if in := count(g, "ws_fpm_messages_received_total"); in != 2 {
		t.Errorf("%d messages were read, want 2", in)
	}
	b.release("0")
	c.hear(numbered("%d", 0, 10)...)
	c.Close()
	books(t, g, b)
}

// A client that breaks the protocol still gets the answers that it is owed.
func TestSessionProtocolErrorWaitsItsTurn(t *testing.T) {
	g, b, address := open(t, nil)
	c := dial(t, address)
	c.write(joined(frame(text, "hold 0"), frame(text, "hold 1"), []byte{0xff, 0xff}, frame(text, "echo 2")))
	b.began("hold 0")
	b.release("0")
	c.hear("0")
	b.began("hold 1")
	b.release("1")
	c.hear("1")
	c.wantClose(1002, "")
	books(t, g, b)
	if ran := b.runs(); len(ran) != 2 {
		t.Errorf("PHP ran %q, want two messages", ran)
	}
	if n := count(g, "ws_fpm_closes_total", `code="1002"`); n != 1 {
		t.Errorf("1002 is counted %d times, want once", n)
	}
}

// A message over the limit is 1009, one at the limit is answered.
func TestSessionMaxMessage(t *testing.T) {
	for _, test := range []struct {
		name string
		size int
		ok   bool
	}{{"below", 99, true}, {"at", 100, true}, {"above", 101, false}} {
		g, b, address := open(t, func(r *Route, _ *Options) { r.MaxMessage = 100 })
		c := dial(t, address)
		message := sized(1, test.size)
		c.say("echo first", message)
		c.hear("first")
		if test.ok {
			c.hear(strings.TrimPrefix(message, "echo "))
			c.Close()
		} else {
			c.wantClose(1009, "")
		}
		books(t, g, b)
	}
}

// What a client sent before it closes or is lost is run; the answers have
// nobody to go to and are counted.
func TestSessionGone(t *testing.T) {
	tests := []struct {
		name  string
		leave func(c *client)
		code  string
	}{
		{"a client that closes", func(c *client) {
			c.write(frame(closed, "\x03\xe8bye"))
			c.want(closed, "\x03\xe8")
			c.wantEOF()
			c.Close()
		}, "1000"},
		{"a client that closes without a code", func(c *client) {
			c.write(frame(closed, ""))
			c.want(closed, "")
			c.wantEOF()
			c.Close()
		}, "1005"},
		{"a client with a code of its own", func(c *client) {
			c.write(frame(closed, "\x0f\xa0"))
			c.want(closed, "\x0f\xa0")
			c.wantEOF()
			c.Close()
		}, "4xxx"},
		{"a client that ends its stream", func(c *client) { c.Close() }, "1006"},
		{"a client that is lost", func(c *client) { c.reset() }, "1006"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, b, address := open(t, nil)
			c := dial(t, address)
			c.say("hold 0", "echo 1", "echo 2")
			b.began("hold 0")
			eventually(t, "all came in", func() bool { return count(g, "ws_fpm_messages_received_total") == 3 })
			test.leave(c)
			eventually(t, "the socket is gone", func() bool { return count(g, "ws_fpm_connections") == 0 })
			b.release("0")
			eventually(t, "all three have run", func() bool { return events(g, "answered") == 3 })
			books(t, g, b)
			eventually(t, "their answers are counted as dropped", func() bool {
				return count(g, "ws_fpm_sends_dropped_total", `cause="refused"`)+count(g, "ws_fpm_sends_dropped_total", `cause="closed"`) == 3
			})
			if n := count(g, "ws_fpm_closes_total", `code="`+test.code+`"`); n != 1 || count(g, "ws_fpm_closes_total") != 1 {
				t.Errorf("%s is counted %d times, want once", test.code, n)
			}
		})
	}
}

// WS-Close sends the body first, and drops what waits.
func TestSessionClosedByPHP(t *testing.T) {
	g, b, address := open(t, nil)
	c := dial(t, address)
	c.say("hold 0", "header WS-Close: 4001 bye", "echo 2", "echo 3")
	b.began("hold 0")
	eventually(t, "all came in", func() bool { return count(g, "ws_fpm_messages_received_total") == 4 })
	b.release("0")
	c.hear("0", "ok")
	c.write(frame(text, "echo 4")) // after PHP closed: dropped, or not even counted as come
	c.wantClose(4001, "bye")
	books(t, g, b)
	if ran, dropped := b.runs(), count(g, "ws_fpm_messages_dropped_total"); len(ran) != 2 || dropped < 2 {
		t.Errorf("PHP ran %q, %d were dropped; want two, and two or three", ran, dropped)
	}
}

// WS-Close of a client that is not read, for too much of it waits, closes it
// all the same.
func TestSessionClosedByPHPWhilePaused(t *testing.T) {
	g, b, address := open(t, nil)
	c := dial(t, address)
	c.say("hold 0", "header WS-Close: 4001")
	b.began("hold 0")
	c.say(numbered("echo %d", 0, 500)...)
	eventually(t, "reading pauses", func() bool { return count(g, "ws_fpm_reading_paused_total") == 1 })
	b.release("0")
	c.hear("0", "ok")
	c.wantClose(4001, "")
	books(t, g, b)
	if ran := b.runs(); len(ran) != 2 {
		t.Errorf("PHP ran %d messages, want 2", len(ran))
	}
}

// A message goes out in frames of the route's size.
func TestSessionFragments(t *testing.T) {
	_, _, address := open(t, func(r *Route, _ *Options) { r.Fragment = 4 })
	c := dial(t, address)
	c.say("echo 123456789", "echo 1234")
	c.want(0x01, "1234")
	c.want(0x00, "5678")
	c.want(0x80, "9")
	c.want(text, "1234")
}

// One backend for two routes; each has its own limits.
func TestSessionRoutes(t *testing.T) {
	b := newBackend(t, func(o *fastcgi.Options) { o.MaxConns = 1 })
	g := newGateway(t, Options{Routes: []Route{
		{Prefix: "/ws", Script: "/p/a.php", Backend: b.client},
		{Prefix: "/ws/small", Script: "/p/b.php", Backend: b.client, MaxMessage: 10},
	}})
	address := serve(t, g)
	c := connect(t, address, lines("/ws/small/x")+string(frame(text, "echo 123456")))
	c.response()
	c.wantClose(1009, "")
	c = connect(t, address, lines("/ws/smaller")+string(frame(text, "echo 123456")))
	c.response()
	c.hear("123456")
}
