package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ws-fpm/websocket"
)

// What is accepted without net/http is what net/http would have made of it.
func TestPlainRequest(t *testing.T) {
	var p plain // one for all: nothing is left of those before
	for _, test := range []struct {
		name, wire string
		plain      bool
	}{
		{"a handshake", lines("/ws"), true},
		{"a query, escapes", lines("/ws/a%20b?c=%2f&d"), true},
		{"a browser's fields", lines("/ws", "+Origin: http://ws.example", "+cookie: a=b; c=d", "+Pragma: no-cache", "+Cache-Control: no-cache"), true},
		{"a query that is empty", lines("/ws?"), true},
		{"a query with all kinds of signs", lines("/ws?a=??#/%zz&"), true},
		{"signs that need no escape", lines("/A-z/0.9_~"), true},
		{"two slashes", lines("//ws.example/ws"), true},
		{"a fragment, which is part of the path then", lines("/ws#a"), true},
		{"signs that others would escape", lines("/ws/!$&'()*+,;=:@|^"), true},
		{"an empty value", lines("/ws", "+X: "), true},
		{"names in small letters", strings.Replace(lines("/ws"), "Upgrade:", "upgrade:", 1), true},
		{"a host of IPv6 with a port", lines("/ws", "Host: [::1]:8080"), true},

		{"no host", lines("/ws", "-Host"), false},
		{"an empty host", lines("/ws", "Host: "), false},
		{"two hosts", lines("/ws", "+Host: ws.example"), false},
		{"a host with a user", lines("/ws", "Host: a@b"), false},
		{"a host with a slash", lines("/ws", "Host: a/b"), false},
		{"a field twice", lines("/ws", "+X: 1", "+x: 2"), false},
		{"a body", lines("/ws", "+Content-Length: 0"), false},
		{"a body in chunks", lines("/ws", "+Transfer-Encoding: chunked"), false},
		{"a trailer", lines("/ws", "+Trailer: X"), false},
		{"an expectation", lines("/ws", "+Expect: 100-continue"), false},
		{"Pragma alone, of which net/http makes more", lines("/ws", "+Pragma: no-cache"), false},
		{"a target that is no URL", lines("/ws%zz"), false},
		{"more fields than are usual", lines("/ws", manyFields(maxPlain+1)...), true},
		{"a handshake again", lines("/ws"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			head, n := websocket.ParseRequest([]byte(test.wire), p.fields)
			if n == 0 {
				t.Fatal("not even a head in its plainest form")
			}
			got, ok := p.read(head)
			if ok != test.plain {
				t.Fatalf("plain: %v, want %v", ok, test.plain)
			}
			if ok {
				wantPlain(t, got, test.wire)
			}
			if p = p.emptied(); len(p.fields)+len(p.header)+len(p.values) != 0 || cap(p.fields) > maxPlain {
				t.Errorf("%d fields, %d of a header and %d values are left; room for %d", len(p.fields), len(p.header), len(p.values), cap(p.fields))
			}
		})
	}
}

func manyFields(n int) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf("+X-%d: %d", i, i))
	}
	return fields
}

// wantPlain compares a request with what net/http makes of it.
func wantPlain(t *testing.T, got *http.Request, wire string) {
	t.Helper()
	want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Method, Host, URI, Path, Query, Proto string
		Major, Minor                          int
		Length                                int64
		Header                                http.Header
	}
	see := func(r *http.Request) seen {
		return seen{r.Method, r.Host, r.RequestURI, r.URL.Path, r.URL.RawQuery, r.Proto, r.ProtoMajor, r.ProtoMinor, r.ContentLength, r.Header}
	}
	if a, b := fmt.Sprintf("%+v", see(got)), fmt.Sprintf("%+v", see(want)); a != b {
		t.Errorf("read as %s,\nby net/http as %s", a, b)
	}
}

// FuzzPlain: what is accepted without net/http is what net/http makes of it,
// whatever was read before it in the same memory.
func FuzzPlain(f *testing.F) {
	f.Add([]byte(chromium), []byte(lines("/ws/a%20b?c=%2f&d")))
	f.Add([]byte(lines("/ws", "+X: 1", "+x: 2")), []byte(lines("//a?b#c", "+Cookie: a=b")))
	f.Add([]byte(lines("/ws", "+Pragma: no-cache")), []byte(lines("/ws", "Host: [::1]:8080")))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var p plain
		for _, wire := range [][]byte{first, second} {
			head, n := websocket.ParseRequest(wire, p.fields)
			if n == 0 {
				continue
			}
			if r, ok := p.read(head); ok {
				wantPlain(t, r, string(wire[:n]))
			}
			p = p.emptied()
		}
	})
}

// However a handshake comes, it is accepted, and what came behind it is a message.
func TestHandshakeInPieces(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	wire := lines("/ws") + "\x81\x87\x00\x00\x00\x00echo hi"
	folded := strings.Replace(wire, "Upgrade: websocket", "Upgrade:\r\n websocket", 1)
	long := lines("/ws", "+X: "+strings.Repeat("x", 9000)) + "\x81\x87\x00\x00\x00\x00echo hi"
	accepted := 0
	for _, test := range []struct {
		name  string
		parts []string
	}{
		{"whole", []string{wire}},
		{"in two parts", []string{wire[:30], wire[30:]}},
		{"cut before its end", []string{wire[:len(lines("/ws"))-1], wire[len(lines("/ws"))-1:]}},
		{"the message apart", []string{lines("/ws"), wire[len(lines("/ws")):]}},
		{"in another form", []string{folded}},
		{"longer than the buffer of net/http", []string{long}},
		{"longer than the buffer of net/http, in parts", []string{long[:3], long[3:8000], long[8000:]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := connect(t, address, "")
			for _, part := range test.parts {
				c.write([]byte(part))
			}
			if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("answered %s", r.Status)
			}
			c.hear("hi")
			accepted++
		})
	}
	eventually(t, "nobody is in a handshake", func() bool { return g.handshakes.Load() == 0 })
	// By net/http one is counted when its first messages have been read.
	eventually(t, "all accepted are counted", func() bool { return handshakes(g, "accepted") >= accepted })
	if n := handshakes(g, "accepted"); n != accepted {
		t.Errorf("%v accepted are counted, want %d", n, accepted)
	}
}

// The time of a handshake begins with its connection, not with its first byte.
func TestHandshakeTimeBeginsWithTheConnection(t *testing.T) {
	deadlines := new(deadlineConn)
	c := &replayed{Conn: deadlines, until: time.Now().Add(time.Second)}
	far := time.Now().Add(time.Hour)
	c.SetReadDeadline(far)
	if got := deadlines.last; !got.Before(far.Add(-time.Minute)) {
		t.Errorf("the first deadline is %v from now, want a second", time.Until(got))
	}
	c.SetReadDeadline(far)
	if deadlines.last != far {
		t.Errorf("the second deadline is %v from now, want an hour", time.Until(deadlines.last))
	}
}

type deadlineConn struct {
	net.Conn
	last time.Time
}

func (c *deadlineConn) SetReadDeadline(t time.Time) error { c.last = t; return nil }

// TestHandshakeReset: a client that is gone before net/http has its connection
// has no address any more.
func TestHandshakeReset(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	for range 300 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("POST / HTTP/1.1\r\n"))
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	eventually(t, "all are counted", func() bool { return handshakes(g, "broken")+handshakes(g, "unread") >= 300 })
	dial(t, address).say("still here")
}

// Who waits for net/http when that takes nobody any more is refused, and not
// left to wait for the end of the process.
func TestNobodyIsLeftBetweenFrontAndServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		after bool // it is handed on after the close
	}{{"handed on before the close", false}, {"handed on just then", true}} {
		t.Run(test.name, func(t *testing.T) {
			b := newBackend(t, nil)
			g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			f, is := g.newFront(l).(*front)
			if !is {
				l.Close()
				t.Skip("no poller")
			}
			ours, theirs := net.Pipe()
			g.arrive(netip.Prefix{}, false) // as it has been counted since it came
			if !test.after {
				f.give(&replayed{Conn: theirs})
			}
			answer := make(chan string)
			go func() {
				b, _ := io.ReadAll(ours)
				answer <- string(b)
			}()
			f.Close()
			if test.after {
				f.give(&replayed{Conn: theirs})
			}
			if got := receive(t, answer); got != drainAnswer {
				t.Errorf("answered %q", got)
			}
			if n := handshakes(g, string(refusedDrain)); n != 1 {
				t.Errorf("%d are counted as refused", n)
			}
			if n := g.handshakes.Load(); n != 0 {
				t.Errorf("%d are still counted as in their handshake", n)
			}
		})
	}
}
