package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a stream says, as the real php-fpm brings it.
func TestEventsStream(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 8"}})
	g := startGateway(t, f.eventsConfig("", "max_conns = 8\nmax_streams = 8", "max_reply = 1k"))
	long := strings.Repeat("x", 1024)
	for _, test := range []struct {
		name   string
		orders []string
		want   []string // messages, a word, or a close
	}{
		{"events", []string{"sse", `emit data: a\n\n`, `emit data: b\ndata: c\n\n`}, []string{"1 a", "1 b\nc"}},
		{"with CR", []string{"sse", `emit data: a\r\r`, `emit data: b\r\r`}, []string{"1 a", "1 b"}},
		{"with CRLF, cut between CR and LF", []string{"sse", `emit data: a\r`, "sleep 20", `emit \n\r`, "sleep 20", `emit \ndata: b\r\n\r\n`}, []string{"1 a", "1 b"}},
		{"with a byte order mark", []string{"sse", `emit \357\273\277data: a\n\n`}, []string{"1 a"}},
		{"without an empty line at the end", []string{"sse", `emit data: a\n\ndata: b`}, []string{"1 a", "1 b"}},
		{"other fields", []string{"sse", `emit id: 1\nevent: x\nretry: 5\n: comment\ndata: a\n\n: ping\n\n`}, []string{"1 a"}},
		{"an empty event", []string{"sse", `emit data:\n\n`}, []string{"1 "}},
		{"an event that is not UTF-8", []string{"sse", `emit data: \300\n\ndata: b\n\n`}, []string{"2 \xc0", "1 b"}},
		{"binary events", []string{"sse", "header WS-Opcode: binary", `emit data: a\n\n`}, []string{"2 a"}},
		{"lines", []string{"ndjson", `emit {}\n[1]\n`, `emit 7\n`}, []string{"1 {}", "1 [1]", "1 7"}},
		{"lines without an end", []string{"ndjson", `emit {}\r\n\n[1]`}, []string{"1 {}", "1 [1]"}},
		{"a line in parts", []string{"ndjson", `emit {"a":`, "sleep 20", `emit 1}\n`}, []string{`1 {"a":1}`}},
		{"as long as may be", []string{"sse", `emit data: ` + long + `\n\n`}, []string{"1 " + long}},
		{"too long", []string{"sse", `emit data: ok\n\ndata: ` + long + `x\n\n`}, []string{"1 ok", "reply_too_big"}},
		{"a line too long", []string{"ndjson", `emit ` + long + `x\n`}, []string{"reply_too_big"}},
		{"a field after the first flush counts no more", []string{"sse", `emit data: a\n\n`, "header WS-Close: 4000"}, []string{"1 a"}},
		{"WS-Close is for the end", []string{"sse", "header WS-Close: 4000 over", `emit data: a\n\n`, "sleep 20", `emit data: b\n\n`}, []string{"1 a", "1 b", "close 4000 over"}},
		{"ws-close", []string{"sse", `emit data: a\n\nevent: ws-close\ndata: 4001 go\n\ndata: never\n\n`}, []string{"1 a", "close 4001 go"}},
		{"a malformed ws-close", []string{"sse", `emit event: ws-close\ndata: 1001\n\n`}, []string{"bad_reply"}},
		{"a malformed field", []string{"sse", "header WS-Close: x", `emit data: a\n\n`}, []string{"bad_reply"}},
		{"an error status is no stream", []string{"sse", "status 500", `emit data: a\n\n`}, []string{"backend_failed"}},
		{"a client's error is no stream either", []string{"sse", "status 404", `emit data: a\n\n`}, []string{"1 data: a\n\n"}},
		{"nothing", []string{"sse"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.at("/ws"))
			c.order(t, test.orders...)
			for _, want := range test.want {
				if !strings.Contains(want, " ") {
					c.wantWord(t, want)
					continue
				}
				op, b, err := c.message()
				got := fmt.Sprintf("%d %s", op, b)
				if ce, is := errors.AsType[*closeError](err); is {
					got = fmt.Sprintf("close %d %s", ce.code, ce.reason)
				} else if err != nil {
					got = err.Error()
				}
				if got != want {
					t.Fatalf("got %.100q; want %.100q", got, want)
				}
				if strings.HasPrefix(want, "close") {
					return
				}
			}
			c.echo(t, "still here")
		})
	}
}

// Each event is sent when PHP flushes it, and what the stream's header bound
// holds.
func TestEventsStreamAsFlushed(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	c := dial(t, g.at("/ws"))
	orders := []string{"sse", "header WS-User: 42"}
	for i := range 10 {
		orders = append(orders, fmt.Sprintf(`emit data: tick %d\n\n`, i), fmt.Sprintf("wait heard%d", i))
	}
	c.order(t, orders...)
	for i := range 10 {
		c.wantText(t, fmt.Sprintf("tick %d", i))
		if f.endedEvents("message", "") > 0 {
			t.Fatalf("PHP has ended when tick %d arrives", i)
		}
		f.release(fmt.Sprintf("heard%d", i))
	}
	if p := c.params(t, "WS_USER"); p["WS_USER"] != "42" {
		t.Errorf("WS_USER is %q", p["WS_USER"])
	}
}

// A stream takes its share of the pool only, for its time only.
func TestEventsStreamLimits(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	g := startGateway(t, f.eventsConfig("", "max_conns = 4\nmax_streams = 2\nstream_timeout = 600ms\nmax_stream = 1500ms\ntimeout = 1s", ""))
	a, b, c := dial(t, g.at("/ws")), dial(t, g.at("/ws")), dial(t, g.at("/ws"))
	begun := time.Now()
	a.order(t, "sse", "ticks 1000 100")
	a.wantText(t, "tick 0")
	b.order(t, "sse", `emit data: one\n\n`, "sleep 5000")
	b.wantText(t, "one")
	c.order(t, "sse", "ticks 3 10")
	c.wantWord(t, "backend_busy") // max_streams
	c.echo(t, "a plain reply has room")
	b.wantWord(t, "backend_timeout") // stream_timeout
	if took := time.Since(begun); took < 600*time.Millisecond || took > 1400*time.Millisecond {
		t.Errorf("stream_timeout of 600ms ended the silent one after %v", took)
	}
	for i := 1; ; i++ {
		_, m, err := a.message()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(m), "backend_timeout") { // max_stream
			break
		}
		if string(m) != fmt.Sprintf("tick %d", i) {
			t.Fatalf("got %q; want tick %d", m, i)
		}
	}
	if took := time.Since(begun); took < 1500*time.Millisecond || took > 2500*time.Millisecond {
		t.Errorf("max_stream of 1.5s ended the other after %v", took)
	}
	c.order(t, "sse", "ticks 1 1")
	c.wantText(t, "tick 0")
}

// With WS-Interrupt the client's next message ends the stream, ends PHP at its
// next write, and is answered. Without it, it waits for the stream's end.
func TestEventsStreamInterrupt(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	c := dial(t, g.at("/ws"))
	c.order(t, "sse", "ticks 3 50")
	c.text("after")
	for i := range 3 {
		c.wantText(t, fmt.Sprintf("tick %d", i))
	}
	c.wantText(t, "after")

	// A WS-Close was for the end of the stream, which does not come.
	c.order(t, "sse", "header WS-Interrupt: yes", "header WS-Close: 4000", "ticks 1000 20")
	c.wantText(t, "tick 0")
	ended := f.endedEvents("message", "")
	c.text("stop")
	for i := 1; ; i++ {
		_, b, err := c.message()
		if err != nil {
			t.Fatal(err)
		}
		if string(b) == "stop" {
			break
		}
		if string(b) != fmt.Sprintf("tick %d", i) || i > 50 {
			t.Fatalf("got %q", b)
		}
	}
	eventually(t, 5*time.Second, "the stream's PHP has ended", func() bool { return f.endedEvents("message", "") == ended+2 })

	// One that came before the stream ends it, too.
	c.order(t, "sleep 100", "sse", "header WS-Interrupt: yes", "ticks 1000 20")
	c.text("earlier")
	c.wantText(t, "earlier")
	c.echo(t, "done")
	eventually(t, 5*time.Second, "that stream's PHP has ended", func() bool { return f.endedEvents("message", "") == ended+5 })
}

// A client that leaves ends the stream's PHP, and the disconnect follows once.
func TestEventsStreamClientLeaves(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	for i, leave := range []func(*client){
		func(c *client) { c.reset() },
		func(c *client) { c.close(1000, ""); io.Copy(io.Discard, c.conn); c.conn.Close() },
		func(c *client) {
			c.send(frame{fin: true, op: 3, key: testKey})
			io.Copy(io.Discard, c.conn)
			c.conn.Close()
		},
	} {
		c := dial(t, g.at("/ws"))
		c.order(t, "sse", "ticks 1000 20")
		c.order(t, "sse", "ticks 1000 20") // nobody is left for this one
		c.wantText(t, "tick 0")
		leave(c)
		begun := time.Now()
		eventually(t, 5*time.Second, "PHP has ended", func() bool { return f.endedEvents("message", "") == 2*(i+1) })
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("way %d: PHP ended after %v", i, took)
		}
		f.disconnects(t, 5*time.Second, i+1)
	}
}

// While a client does not read, it is PHP that waits, in its write; when it
// reads again, nothing is missing. One that stays away is cut, and PHP with it.
func TestEventsStreamBackpressure(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	const events = 12000 // 12 MB, more than sockets hold
	filled := func() (n int) {
		b, _ := os.ReadFile(f.file("var/filled"))
		fmt.Sscan(string(b), &n)
		return n
	}
	stuck := func() int {
		t.Helper()
		last, since := -1, time.Now()
		eventually(t, 10*time.Second, "PHP is stuck in its write", func() bool {
			if n := filled(); n != last {
				last, since = n, time.Now()
			}
			return last > 0 && time.Since(since) > 500*time.Millisecond
		})
		return last
	}
	c := dial(t, g.at("/ws"))
	c.conn.(*net.TCPConn).SetReadBuffer(64 << 10) // or it grows while we read
	c.order(t, "sse", fmt.Sprintf("fill %d", events), `emit data: end\n\n`)
	if n := stuck(); n >= events {
		t.Fatalf("PHP has written all %d events, and nobody has read one", n)
	} else {
		t.Logf("PHP waits after %d kB", n)
	}
	for range events {
		c.wantText(t, strings.Repeat("x", 992))
	}
	c.wantText(t, "end")

	c.order(t, "sse", fmt.Sprintf("fill %d", events))
	begun := time.Now()
	stuck()
	eventually(t, 20*time.Second, "PHP has ended", func() bool { return f.endedEvents("message", "") == 2 })
	if took := time.Since(begun); took < 9*time.Second {
		t.Errorf("a client that reads nothing was cut after %v", took)
	}
	for _, d := range f.disconnects(t, 5*time.Second, 1) {
		if farewell(d) != `1013 "reading too slowly" server` {
			t.Errorf("disconnect %s", farewell(d))
		}
	}
}

// A stream is cut in time for its client to get a close frame, and PHP the
// disconnect, before the drain is over.
func TestEventsStreamAtDrain(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("drain = 5s", "", ""))
	c := dial(t, g.at("/ws"))
	c.order(t, "sse", "ticks 1000 50")
	c.wantText(t, "tick 0")
	begun := time.Now()
	g.signal(syscall.SIGTERM)
	for {
		_, _, err := c.message()
		if ce, is := errors.AsType[*closeError](err); is && ce.code == 1001 {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took < 3*time.Second || took > 5*time.Second {
		t.Errorf("1001 after %v of a drain of 5s", took)
	}
	c.wantEnd(t)
	c.conn.Close()
	if code := g.wait(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	f.disconnects(t, 0, 1)
}
