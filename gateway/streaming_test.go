package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"sync"
	"testing"

	"ws-fpm/fastcgi"
)

// A stage is a FastCGI application whose streams the test writes: a message
// "stream NAME FIELD|FIELD" is answered with what is sent to the NAME's channel
// until that is closed, any other with itself.
type stage struct {
	mu      sync.Mutex // guards what follows
	streams map[string]chan string
	gone    map[string]chan struct{} // closed when the gateway hung up on it
}

func (a *stage) stream(name string) (say chan string, gone chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams[name] == nil {
		a.streams[name], a.gone[name] = make(chan string), make(chan struct{})
	}
	return a.streams[name], a.gone[name]
}

func (a *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	order, is := strings.CutPrefix(string(body), "stream ")
	if !is {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
		return
	}
	name, more, _ := strings.Cut(order, " ")
	w.Header().Set("Content-Type", "text/event-stream")
	for field := range strings.SplitSeq(more, "|") {
		if name, value, found := strings.Cut(field, ": "); found {
			w.Header().Set(name, value)
		}
	}
	w.Write(nil) // the fields
	w.(http.Flusher).Flush()
	say, gone := a.stream(name)
	for s := range say {
		_, err := fmt.Fprintf(w, "data: %s\n\n", s)
		if err == nil {
			w.(http.Flusher).Flush()
			_, err = w.Write(nil)
		}
		if err != nil {
			close(gone)
			return
		}
	}
}

// newStage serves a gateway whose only route, /ws, is a stage.
func newStage(t *testing.T) (*stage, *Gateway, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := fastcgi.New(fastcgi.Options{Network: "tcp", Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	a := &stage{streams: map[string]chan string{}, gone: map[string]chan struct{}{}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		fcgi.Serve(l, a)
	}()
	t.Cleanup(func() {
		if err := client.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		l.Close()
		<-served
	})
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: client}}})
	return a, g, serve(t, g)
}

// Each event goes out as it comes; a message waits for the end of the stream.
func TestStream(t *testing.T) {
	a, g, address := newStage(t)
	c := dial(t, address)
	c.say("stream a", "after")
	say, _ := a.stream("a")
	for _, s := range []string{"one", "two"} {
		say <- s
		c.hear(s)
	}
	close(say)
	c.hear("after")
	eventually(t, "both events are answered, once each", func() bool { return events(g, "answered") == 2 })
}

// A message interrupts the stream that asked for it, at once, and no other.
func TestStreamInterrupt(t *testing.T) {
	a, _, address := newStage(t)
	c := dial(t, address)
	c.say("stream a WS-Interrupt: yes|WS-Close: 4000 done")
	say, gone := a.stream("a")
	say <- "one"
	c.hear("one")
	c.say("stream b")
	b, _ := a.stream("b")
	b <- "two" // which has begun, though the first is silent
	c.hear("two")
	c.say("waits")
	c.write(frame(ping, "read")) // the gateway has the message by the answer
	c.want(pong, "read")
	b <- "three"
	c.hear("three")
	close(b)
	c.hear("waits") // and no close: that was for the end of the first
	eventually(t, "the first has ended", func() bool {
		select {
		case say <- "nobody hears":
			return false
		case <-gone:
			return true
		}
	})
}

// A message that came before the stream began interrupts it as well, and what
// was to follow its end does not happen.
func TestStreamInterruptedBefore(t *testing.T) {
	a, _, address := newStage(t)
	c := dial(t, address)
	c.say("stream a WS-Interrupt: yes|WS-Close: 4000 done", "earlier")
	say, gone := a.stream("a")
	c.hear("earlier")
	eventually(t, "the stream has ended", func() bool {
		select {
		case say <- "nobody hears":
			return false
		case <-gone:
			return true
		}
	})
	c.say("later")
	c.hear("later")
}

// The close that ends a stream holds, even if it is interrupted in its last
// moment; one of an interrupted stream's header does not.
func TestStreamClose(t *testing.T) {
	a, _, address := newStage(t)
	c := dial(t, address)
	c.say("stream a WS-Close: 4000 done")
	say, _ := a.stream("a")
	say <- "one"
	close(say)
	c.hear("one")
	c.wantClose(4000, "done")

	c = dial(t, address)
	c.say("stream b WS-Interrupt: yes")
	say, _ = a.stream("b")
	say <- "x\n\nevent: ws-close\ndata: 4001 go"
	c.hear("x")
	c.Write(frame(text, "too late"))
	c.wantClose(4001, "go")
	close(say)
}

// A client that goes while PHP is silent ends the stream, and a later stream
// of it begins in vain.
func TestStreamClientLeaves(t *testing.T) {
	a, g, address := newStage(t)
	c := dial(t, address)
	c.say("stream a", "stream b", "last")
	say, gone := a.stream("a")
	say <- "one"
	c.hear("one")
	c.reset()
	// PHP's silence keeps none of them.
	eventually(t, "all three are over", func() bool { return events(g, "") == 3 })
	b, goneB := a.stream("b")
	for _, s := range []struct {
		say  chan string
		gone chan struct{}
	}{{say, gone}, {b, goneB}} {
		eventually(t, "a stream has ended", func() bool {
			select {
			case s.say <- "nobody hears":
				return false
			case <-s.gone:
				return true
			}
		})
	}
}
