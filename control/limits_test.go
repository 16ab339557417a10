package control

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestHeaderLimits(t *testing.T) {
	f, c := on(t, "unix", nil)
	// Host is no field of a Request's Header.
	request := func(fields string) string {
		return "GET /healthz HTTP/1.1\r\nHost: a\r\n" + fields + "Connection: close\r\n\r\n"
	}
	var many strings.Builder
	for i := range 98 {
		fmt.Fprintf(&many, "X-%d: y\r\n", i%7) // repeated ones count each
	}
	pad := func(size int) string { // to a header of size bytes
		return request("X: " + strings.Repeat("y", size-len(request("X: \r\n"))) + "\r\n")
	}
	tests := []struct{ name, wire, want string }{
		{"fields below the limit", request(many.String()), "200"},
		{"fields at the limit", request(many.String() + "Y: y\r\n"), "200"},
		{"fields above the limit", request(many.String() + "Y: y\r\nY: y\r\n"), "431"},
		{"bytes below the limit", pad(16<<10 - 1), "200"},
		{"bytes at the limit", pad(16 << 10), "200"},
		{"bytes above the limit", pad(16<<10 + 1), "431"},
		{"a long target", "GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := c.raw(t, test.wire); !strings.HasPrefix(got, "HTTP/1.1 "+test.want+" ") {
				t.Errorf("answer %.100q; want %s", got, test.want)
			}
		})
	}
	waitFor(t, "refusals", func() bool { return f.refused(causeUnread) == 2 })
	f.wantRefused(t, map[cause]int{causeFields: 1, causeUnread: 2})
}

// unsized hides its length, so that it goes in chunks.
type unsized struct{ io.Reader }

func TestBodyLimit(t *testing.T) {
	f, c := on(t, "unix", nil)
	for _, test := range []struct {
		name         string
		size, status int
	}{{"below", 1<<20 - 1, 204}, {"at", 1 << 20, 204}, {"above", 1<<20 + 1, 413}, {"empty", 0, 204}} {
		body := strings.Repeat("x", test.size)
		for _, chunked := range []bool{false, true} {
			var r io.Reader = strings.NewReader(body)
			if chunked {
				r = unsized{r}
			}
			before := f.refused(causeBody)
			got := c.call(t, "DELETE", "/connections/"+someID, r)
			if got.status != test.status {
				t.Errorf("%s the limit, chunked %v: %d %s; want %d", test.name, chunked, got.status, got.body, test.status)
			}
			if n := f.refused(causeBody) - before; n != test.status/413 {
				t.Errorf("%s the limit, chunked %v: %d refusals", test.name, chunked, n)
			}
		}
	}
}

// A caller that asks first whether it may send too much is told without
// sending; one that may not call at all is told before its body too.
func TestRefusedBeforeTheBody(t *testing.T) {
	f, c := on(t, "tcp", withToken)
	const head = "DELETE /connections/" + someID + " HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
	for want, wire := range map[string]string{
		"413": head + "Authorization: " + good + "\r\nContent-Length: 1048577\r\n\r\n",
		"401": head + "Content-Length: 1048576\r\n\r\n",
	} {
		if got := c.raw(t, wire); !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") {
			t.Errorf("answer %q; want %s", got, want)
		}
	}
	if len(f.conns.closed) != 0 {
		t.Errorf("closed %q", f.conns.closed)
	}
}

func TestConnectionLimit(t *testing.T) {
	f, c := on(t, "unix", nil)
	var open []net.Conn
	defer func() {
		for _, nc := range open {
			nc.Close()
		}
	}()
	dial := func() net.Conn {
		nc, err := net.Dial("unix", c.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, nc)
		return nc
	}
	for range 256 {
		dial()
	}
	waitFor(t, "connections", func() bool { return f.count.open.Value() == 256 })
	f.wantRefused(t, nil)

	nc := dial() // one too many
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("one above the limit: read %d bytes, %v; want to be closed", n, err)
	}
	f.wantRefused(t, map[cause]int{causeConnections: 1})
	if n := f.count.open.Value(); n != 256 {
		t.Errorf("%d connections; want %d", n, 256)
	}

	io.WriteString(open[0], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") // those that are in are served
	open[0].SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(open[0], b); err != nil || string(b) != "HTTP/1.1 200" {
		t.Errorf("at the limit: %q, %v; want 200", b, err)
	}
	open[0].Close() // and one that goes makes room for one
	waitFor(t, "room", func() bool { return f.count.open.Value() == 256-1 })
	if got := c.call(t, "GET", "/healthz", nil); got.status != http.StatusOK {
		t.Errorf("with room again: %d", got.status)
	}
}

func TestClosingTwiceGivesOnePlaceBack(t *testing.T) {
	l := new(listener)
	l.open.Store(2)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &conn{Conn: ours, listener: l}
	c.Close()
	c.Close()
	if n := l.open.Load(); n != 1 {
		t.Errorf("%d places taken; want 1", n)
	}
}

// A caller still sending its body gets the answer whole, for our end is said
// before the connection is cut.
func TestCloseWriteLeavesReadingOpen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	caller, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: nc, listener: new(listener)}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	caller.SetDeadline(time.Now().Add(10 * time.Second))
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := caller.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the caller reads %d bytes, %v; want the end", n, err)
	}
	io.WriteString(caller, "x")
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("we read %d bytes, %v; want one", n, err)
	}
}

func TestMetricsAreWrittenForOneAtATime(t *testing.T) {
	var now, most atomic.Int32
	f, c := on(t, "unix", nil)
	f.registry.GaugeFunc("g", "G.", func() float64 {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-time.After(5 * time.Millisecond)
		now.Add(-1)
		return 1
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := c.raw(t, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "\ng 1\n") {
				t.Errorf("answer %q; want the gauge", got)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at a time; want 1", most.Load())
	}
}

// Callers that ask and go leave no refusal behind.
func TestAnsweredCallersAreNotCountedAsUnread(t *testing.T) {
	f, c := on(t, "unix", nil)
	for _, end := range []string{"Connection: close\r\n\r\n", "\r\nnoise\r\n\r\n"} {
		if got := c.raw(t, "GET /healthz HTTP/1.1\r\nHost: a\r\n"+end); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("answer %q; want 200", got)
		}
	}
	waitFor(t, "the end", func() bool { return f.count.open.Value() == 0 })
	f.wantRefused(t, nil)
}

// waitFor waits until what another goroutine does is done.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
