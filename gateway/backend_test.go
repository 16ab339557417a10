package gateway

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/fcgi"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ws-fpm/fastcgi"
	"ws-fpm/metrics"
)

// patience is how long a test waits for what has to come at once.
const patience = 10 * time.Second

// A backend is a FastCGI application in this process, on a real socket. It runs
// what the body of a message says:
//
//	echo TEXT      answers TEXT
//	hold N         waits until the test calls release(N), then answers N
//	status N TEXT  answers TEXT with that status
//	header N: V    answers "ok" with that field; several by |
//	big N          answers N bytes
//	head N         answers with N header fields
//	param NAME     answers that param, or none
type backend struct {
	t      testing.TB
	client *fastcgi.Client

	mu    sync.Mutex // guards what follows
	ran   []string   // bodies, in the order they began
	told  []string   // the events that are no messages, and of which route
	now   int        // at work
	most  int        // at once, ever
	gates map[string]chan struct{}
}

// newBackend starts a backend; change may change the options of its client.
func newBackend(t testing.TB, change func(*fastcgi.Options)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := fastcgi.Options{Network: "tcp", Address: l.Addr().String(), KeepAlive: time.Second}
	if change != nil {
		change(&o)
	}
	client, err := fastcgi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{t: t, client: client, gates: map[string]chan struct{}{}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		fcgi.Serve(l, b)
	}()
	t.Cleanup(func() {
		b.releaseAll()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("closing the client: %v", err)
		}
		l.Close()
		<-served
	})
	return b
}

func (b *backend) gate(name string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gates[name] == nil {
		b.gates[name] = make(chan struct{})
	}
	return b.gates[name]
}

// release lets "hold name" answer, now or when it comes.
func (b *backend) release(name string) { close(b.gate(name)) }

func (b *backend) releaseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.gates {
		select {
		case <-g:
		default:
			close(g)
		}
	}
}

// began waits until a message with body has reached PHP.
func (b *backend) began(body string) {
	b.t.Helper()
	eventually(b.t, "PHP has "+body, func() bool {
		for _, r := range b.runs() {
			if r == body {
				return true
			}
		}
		return false
	})
}

func (b *backend) runs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.ran...)
}

// heard are the events that are no messages, and of which route.
func (b *backend) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.told...)
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	params := fcgi.ProcessEnv(r)
	params["REMOTE_ADDR"], _, _ = net.SplitHostPort(r.RemoteAddr) // which it leaves out
	params["REQUEST_URI"] = r.URL.RequestURI()                    // and this
	b.mu.Lock()
	if event := params["WS_EVENT"]; event != eventMessage {
		b.told = append(b.told, event+" "+params["WS_ROUTE"])
	}
	b.ran = append(b.ran, string(body))
	b.now++
	b.most = max(b.most, b.now)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
	}()
	word, rest, _ := strings.Cut(string(body), " ")
	w.Header().Set("Content-Type", "text/plain")
	switch word {
	case "hold":
		<-b.gate(rest)
		io.WriteString(w, rest)
	case "status":
		code, text, _ := strings.Cut(rest, " ")
		w.WriteHeader(number(code))
		io.WriteString(w, text)
	case "header":
		for field := range strings.SplitSeq(rest, "|") {
			name, value, _ := strings.Cut(field, ": ")
			w.Header().Set(name, value)
		}
		io.WriteString(w, "ok")
	case "big":
		w.Write(bytes.Repeat([]byte("x"), number(rest)))
	case "head":
		for i := range number(rest) {
			w.Header().Set(fmt.Sprintf("X-%d", i), "v")
		}
		io.WriteString(w, "ok")
	case "param":
		io.WriteString(w, cmp.Or(params[rest], "none"))
	default:
		io.WriteString(w, strings.TrimPrefix(string(body), "echo "))
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// newGateway makes a gateway that the end of the test shuts down.
func newGateway(t testing.TB, o Options) *Gateway {
	t.Helper()
	if o.Metrics == nil {
		o.Metrics = new(metrics.Registry)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	g, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // cut whoever is left
		g.Shutdown(ctx)
		g.work.Wait()
	})
	return g
}

// count is the value of a series, such as `ws_fpm_pings_total`, summed over the
// labels that are not given.
func count(g *Gateway, name string, labels ...string) int {
	var text bytes.Buffer
	g.opts().Metrics.WriteText(&text)
	sum := 0.0
lines:
	for line := range strings.Lines(text.String()) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(series, label) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			panic(err)
		}
		sum += v
	}
	return int(sum)
}

// handshakes is how many handshakes ended with a result.
func handshakes(g *Gateway, result string) int {
	return count(g, "ws_fpm_handshakes_total", `result="`+result+`"`)
}

// events is how many messages PHP was given, with a result.
func events(g *Gateway, result string) int {
	return count(g, "ws_fpm_events_total", `event="message"`, `result="`+result)
}

// eventually waits for ok, which has to come true soon.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

// receive gives what comes from ch, which has to be soon.
func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("waited %v for a %T", patience, v)
	}
	return v
}
