package integration_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGatewayManyClients: 64 clients at once each get the answers to their own
// messages and nobody else's, and the books balance.
func TestGatewayManyClients(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "mirror.php")
	const clients, messages = 64, 40
	results := make(chan error, clients)
	for i := range clients {
		go func() { results <- converse(g, i, messages) }()
	}
	for range clients {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	all := float64(clients * messages)
	g.wantMetrics(series{
		`ws_fpm_connections`:                                              0,
		`ws_fpm_buffered_bytes`:                                           0,
		`ws_fpm_handshakes_total{result="accepted"}`:                      clients,
		`ws_fpm_closes_total{code="1000"}`:                                clients,
		`ws_fpm_messages_received_total`:                                  all,
		`ws_fpm_events_total{event="message",result="answered"}`:          all,
		`ws_fpm_pool_requests_total{pool="default",result="completed"}`:   all,
		`ws_fpm_event_seconds_count`:                                      all,
		`ws_fpm_messages_sent_total`:                                      all,
		`ws_fpm_pool_connections{pool="default",state="in_use"}`:          0,
		`ws_fpm_pool_events_total{event="protocol_error",pool="default"}`: 0,
	})
	s := g.metrics()
	for _, name := range []string{"ws_fpm_messages_dropped_total", "ws_fpm_sends_dropped_total", "ws_fpm_cut_total", "ws_fpm_panics_total"} {
		if n := s.sum(name); n != 0 {
			t.Errorf("%s = %v, want 0", name, n)
		}
	}
	for name, want := range map[string]float64{"ws_fpm_closes_total": clients, "ws_fpm_events_total": all, "ws_fpm_pool_requests_total": all} {
		if n := s.sum(name); n != want {
			t.Errorf("%s: all series together are %v, want %v", name, n, want)
		}
	}
}

// converse is one client of TestGatewayManyClients. It sends two messages
// before it reads an answer.
func converse(g *gateway, id, messages int) error {
	c, err := connect(g.at("/ws"))
	if err != nil {
		return err
	}
	defer c.conn.Close()
	text := func(n int) string { return fmt.Sprintf("%d:%d:%s", id, n, strings.Repeat("x", id*n)) }
	c.text(text(0))
	for n := range messages {
		if n+1 < messages {
			if err := c.text(text(n + 1)); err != nil {
				return err
			}
		}
		if _, got, err := c.message(); err != nil || string(got) != text(n) {
			return fmt.Errorf("client %d: the answer to message %d is %.60q, %v", id, n, got, err)
		}
	}
	c.silent = true
	c.close(1000, "")
	if _, _, err := c.message(); err == nil || !strings.Contains(err.Error(), "1000") {
		return fmt.Errorf("client %d: after Close: %v", id, err)
	}
	return nil
}

// TestGatewayDrain: at SIGTERM nobody new is let in, each client gets the
// answers to what it has sent, then 1001; the program ends with 0.
func TestGatewayDrain(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			f, g := serving(t, "", "slow.php")
			busy, idle := dial(t, g.at("/ws")), dial(t, g.at("/ws"))
			idle.echo(t, "0")
			for _, message := range []string{"400000 a", "0 b", "0 c"} {
				busy.text(message)
			}
			eventually(t, 5*time.Second, "the first script runs", func() bool { return f.executions()["a"] == 1 })
			busy.ping("here") // the messages before it have been read when it is answered
			busy.wantPong(t, "here")
			g.signal(s)
			idle.wantClose(t, 1001)
			if conn, err := dialRaw(g.addresses[0]); err == nil {
				conn.Close()
				t.Error("a client could still connect")
			}
			for _, message := range []string{"400000 a", "0 b", "0 c"} {
				busy.wantText(t, message)
			}
			busy.wantClose(t, 1001)
			if code := g.wait(5 * time.Second); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}

// TestGatewayDrainEnds: neither a script that goes on nor a client that does
// not answer keeps the program from ending: a second signal does at once, and
// else drain.
func TestGatewayDrainEnds(t *testing.T) {
	for _, test := range []struct {
		name, drain string
		again       bool
		least, most time.Duration
	}{
		{"second signal", "25s", true, 0, 2 * time.Second},
		{"drain is over", "1s", false, 900 * time.Millisecond, 4 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, g := serving(t, "drain = "+test.drain, "slow.php")
			c := dial(t, g.at("/ws"))
			c.text("20000000 long")
			eventually(t, 5*time.Second, "the script runs", func() bool { return f.executions()["long"] == 1 })
			begun := time.Now()
			g.signal(syscall.SIGTERM)
			eventually(t, 5*time.Second, "it says that it stops", func() bool { return g.logged(0, "msg=stopping") == 1 })
			if test.again {
				g.signal(syscall.SIGTERM)
			}
			if code := g.wait(10 * time.Second); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if took := time.Since(begun); took < test.least || took > test.most {
				t.Errorf("it ended after %v, want %v to %v", took, test.least, test.most)
			}
		})
	}
}

// TestGatewayUnixSocket: clients can come through a unix socket, which has the
// mode that was asked for and is gone after the program; one that a killed
// program left is taken over, a file of another kind is not.
func TestGatewayUnixSocket(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	path := f.file("listen")
	conf := strings.Replace(f.config("", "/ws echo.php"), "listen = 127.0.0.1:0", "[listen web]\naddress = unix:"+path+"\nmode = 0666", 1)
	g := startGateway(t, conf)
	dial(t, g.at("/ws")).echo(t, "by a socket")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, %v; want mode 0666", info.Mode(), err)
	}
	g.kill()
	g = startGateway(t, conf)
	c := dial(t, g.at("/ws"))
	c.echo(t, "again")
	c.goodbye(t)
	g.stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestGatewaySlowClient: a client that does not read what it asks for is cut
// when its outbox is full: whole messages, then 1013. Others notice nothing.
func TestGatewaySlowClient(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "output.php\noutbox = 64k")
	slow, other := dial(t, g.at("/ws")), dial(t, g.at("/ws"))
	const size = 1 << 20
	for range 40 {
		slow.text(itoa(size))
	}
	cut := func() bool { return g.metrics()[`ws_fpm_cut_total{cause="outbox"}`] == 1 }
	for range 100 {
		if other.text("1000"); cut() {
			break
		}
		if _, got, err := other.message(); err != nil || len(got) != 1000 {
			t.Fatalf("another client: %d bytes, %v", len(got), err)
		}
	}
	messages := 0
	for {
		_, data, err := slow.message()
		if err != nil {
			var ce *closeError
			if !errors.As(err, &ce) || ce.code != 1013 {
				t.Errorf("after %d messages: %v; want Close 1013", messages, err)
			}
			break
		}
		if messages++; len(data) != size {
			t.Errorf("a message of %d bytes, want %d", len(data), size)
		}
	}
	slow.conn.Close()
	g.wantMetrics(series{`ws_fpm_cut_total{cause="outbox"}`: 1, `ws_fpm_buffered_bytes`: 0, `ws_fpm_closes_total{code="1013"}`: 1})
	s := g.metrics()
	if answered, ends := s[`ws_fpm_events_total{event="message",result="answered"}`], s["ws_fpm_messages_sent_total"]+s.sum("ws_fpm_sends_dropped_total"); answered != ends {
		t.Errorf("%v answers, but %v were sent or dropped", answered, ends)
	}
}

// TestGatewayStoppedReader: a client whose socket has taken no byte for 10 s is
// cut, though its outbox has room.
func TestGatewayStoppedReader(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "output.php\noutbox = 64M\nmax_reply = 64M")
	c := dial(t, g.at("/ws"))
	c.conn.(*net.TCPConn).SetReadBuffer(4096)
	c.text(itoa(30 << 20))
	begun := time.Now()
	for g.metrics()[`ws_fpm_cut_total{cause="write_timeout"}`] == 0 {
		if time.Since(begun) > 45*time.Second { // a kernel may take some bytes late, and the 10 s begin anew
			t.Fatal("it is still there after 45s")
		}
		pause(200 * time.Millisecond)
	}
	if took := time.Since(begun); took < 10*time.Second {
		t.Errorf("cut after %v, want 10s", took)
	}
	g.wantMetrics(series{`ws_fpm_connections`: 0, `ws_fpm_buffered_bytes`: 0, `ws_fpm_sends_dropped_total{cause="closed"}`: 1})
}

// TestGatewayClientGone: what a client has sent before it went still runs,
// once; its answers are dropped and counted.
func TestGatewayClientGone(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *client){
		"close":    func(t *testing.T, c *client) { c.goodbye(t) },
		"end":      func(t *testing.T, c *client) { c.conn.Close() },
		"half end": func(t *testing.T, c *client) { c.closeWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, g := serving(t, "", "slow.php")
			c := dial(t, g.at("/ws"))
			for _, message := range []string{"300000 a", "0 b", "0 c"} {
				c.text(message)
			}
			eventually(t, 5*time.Second, "the first script runs", func() bool { return f.executions()["a"] == 1 })
			c.ping("")
			c.wantPong(t, "")
			leave(t, c)
			eventually(t, 5*time.Second, "the last script runs", func() bool { return f.executions()["c"] == 1 })
			dial(t, g.at("/ws")).echo(t, "0 d")
			wantOnce(t, f.executions(), []string{"a", "b", "c", "d"}, nil)
			g.wantMetrics(series{`ws_fpm_events_total{event="message",result="answered"}`: 4, `ws_fpm_connections`: 1})
			s := g.metrics()
			if n := s["ws_fpm_messages_sent_total"] + s.sum("ws_fpm_sends_dropped_total"); n != 4 {
				t.Errorf("%v answers sent or dropped, want 4", n)
			}
		})
	}
}

// TestGatewayReset: a reset of the connection while PHP works costs nobody
// else anything.
func TestGatewayReset(t *testing.T) {
	t.Parallel()
	f, g := serving(t, "", "slow.php")
	for i := range 20 {
		c := dial(t, g.at("/ws"))
		c.text("100000 " + itoa(i))
		if i%2 == 0 {
			eventually(t, 5*time.Second, "the script runs", func() bool { return f.executions()[itoa(i)] == 1 })
		}
		c.reset()
	}
	dial(t, g.at("/ws")).echo(t, "0 after")
	for id, n := range f.executions() {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	g.wantMetrics(series{`ws_fpm_closes_total{code="1006"}`: 20, `ws_fpm_connections`: 1, `ws_fpm_buffered_bytes`: 0})
}
