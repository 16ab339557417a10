package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// startWsFpm is startFPM with four workers, WsFpm.php beside the test scripts,
// and its examples below them.
func startWsFpm(t testing.TB, pool ...string) *phpFPM {
	t.Helper()
	f := startFPM(t, fpmOptions{pool: append([]string{"pm.max_children = 4"}, pool...)})
	if err := os.Mkdir(f.file("examples"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.file("examples"), 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	files, _ := filepath.Glob("../php/examples/*")
	for _, name := range append(files, "../php/WsFpm.php") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f.write(strings.TrimPrefix(name, "../php/"), string(b))
	}
	return f
}

// told is what wsfpm.php says of an event.
type told struct {
	Event       string
	ID          string
	Seq         int
	Opcode      string
	User        string
	Room        string
	Subprotocol string
	Offered     []string
	CloseCode   int
	CloseReason string
	CloseBy     string
	Route, Boot string
	Cookies     any
}

// told reads the next message as one of those.
func (c *client) told(t testing.TB) (e told) {
	t.Helper()
	op, data, err := c.message()
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil || op != opText {
		t.Fatalf("message of opcode %d %.200q: %v", op, data, err)
	}
	return e
}

// kept gives the events that wsfpm.php wrote to a file.
func (f *phpFPM) kept(file string) (events []told) {
	f.t.Helper()
	b, err := os.ReadFile(f.file("var/" + file))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e told
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			f.t.Fatalf("%s: %v in %q", file, err, line)
		}
		events = append(events, e)
	}
	return events
}

// logsOnce fails t unless exactly one line has s, once the line is there.
func (p *process) logsOnce(t testing.TB, from int, s string) {
	t.Helper()
	eventually(t, 5*time.Second, s+" in the log", func() bool { return p.logged(from, s) > 0 })
	if n := p.logged(from, s); n != 1 {
		t.Errorf("%d lines have %q, want 1", n, s)
	}
}

// TestWsFpm: every event that WsFpm.php tells of, and every reply it builds,
// arrives.
func TestWsFpm(t *testing.T) {
	t.Parallel()
	f := startWsFpm(t)
	g := startGateway(t, f.config("", "/ws wsfpm.php\nevents = connect, message, disconnect"))

	// start
	eventually(t, 10*time.Second, "start is told", func() bool { return len(f.kept("start")) > 0 })
	start := f.kept("start")
	if e := start[0]; len(start) != 1 || e.Event != "start" || e.ID != "" || e.Route != "/ws" || e.Boot == "" {
		t.Errorf("start told %+v", start)
	}

	// connect: event, offered, accept with a subprotocol, user, set, json, a cookie
	c := dial(t, g.at("/ws?do=accept", "Sec-WebSocket-Protocol: v9, chat", "Cookie: a=b"))
	if got := c.response.Header; got.Get("Sec-WebSocket-Protocol") != "chat" || !strings.HasPrefix(got.Get("Set-Cookie"), "visitor=v1") || len(got.Values("WS-User")) > 0 {
		t.Errorf("the handshake's answer has %v", got)
	}
	first := c.told(t)
	want := told{Event: "connect", ID: first.ID, Offered: []string{"v9", "chat"}, Route: "/ws", Boot: start[0].Boot}
	if !reflect.DeepEqual(first, want) || len(first.ID) != 32 {
		t.Errorf("connect told %+v, want %+v", first, want)
	}

	// message: what is bound, and the cookie of the connect reply
	c.text(`{"do":"tell"}`)
	want = told{Event: "message", ID: first.ID, Seq: 1, Opcode: "text", User: "42", Room: "r/1 ü", Subprotocol: "chat",
		Offered: []string{}, Route: "/ws", Boot: start[0].Boot, Cookies: map[string]any{"a": "b", "visitor": "v1"}}
	if got := c.told(t); !reflect.DeepEqual(got, want) {
		t.Errorf("message told %+v, want %+v", got, want)
	}

	// send, an empty message too; binary; no message
	c.text(`{"do":"send","text":"grüße\r\n"}`)
	c.wantText(t, "grüße\r\n")
	c.text(`{"do":"send","text":""}`)
	c.wantText(t, "")
	c.binary([]byte("\x00\xff\r\n\x01"))
	c.wantMessage(t, opBinary, []byte("\x01\n\r\xff\x00"))
	c.text(`{"do":"nothing"}`)

	// user and set: other values, then none
	for _, bound := range []struct{ json, user, room string }{
		{`{"do":"bind","user":"43","room":"r2"}`, "43", "r2"},
		{`{"do":"bind","user":null,"room":""}`, "", ""},
	} {
		c.text(bound.json)
		c.text(`{"do":"tell"}`)
		if got := c.told(t); got.User != bound.user || got.Room != bound.room {
			t.Errorf("after %s: user %q, room %q", bound.json, got.User, got.Room)
		}
	}

	// stream
	c.text(`{"do":"stream","items":["a\nb","",{"c":"d\n"},1," e"]}`)
	for _, want := range []string{"a\nb", "", `{"c":"d\n"}`, "1", " e"} {
		c.wantText(t, want)
	}

	// close, then disconnect: who, why, and what was bound
	c.text(`{"do":"bind","user":"44","room":"r3"}`)
	c.text(`{"do":"close"}`)
	c.wantText(t, "bye")
	if reason := c.wantClose(t, 4002); reason != "ünough" {
		t.Errorf("closed for %q", reason)
	}
	eventually(t, 10*time.Second, "disconnect is told", func() bool { return len(f.kept("gone")) > 0 })
	want = told{Event: "disconnect", ID: first.ID, Seq: 13, User: "44", Room: "r3", Subprotocol: "chat", Offered: []string{},
		CloseCode: 4002, CloseReason: "ünough", CloseBy: "server", Route: "/ws", Boot: start[0].Boot}
	if got := f.kept("gone"); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("disconnect told %+v, want %+v", got, want)
	}
	g.logsOnce(t, 0, "printed and not sent: printed, not sent")
}

// TestWsFpmEnds: the ways in which a reply ends a connection.
func TestWsFpmEnds(t *testing.T) {
	t.Parallel()
	f := startWsFpm(t)
	g := startGateway(t, f.config("", "/ws wsfpm.php\nevents = connect, message, disconnect"))
	for _, test := range []struct {
		name, query, message string
		says                 []string
		code                 int
		reason               string
	}{
		{"close at connect, after the first message", "close", "", []string{"first"}, 4401, "sign in"},
		{"expire at connect", "expire", "", nil, 1008, "expired"},
		{"expire at a message", "quiet", `{"do":"expire"}`, nil, 1008, "expired"},
		{"a stream that closes", "quiet", `{"do":"stream","items":["a"],"close":1000}`, []string{"a"}, 1000, "end"},
		{"a stream that throws", "quiet", `{"do":"stream","items":["a"],"throw":1}`, []string{"a"}, 1011, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, g.at("/ws?do="+test.query))
			if test.message != "" {
				c.text(test.message)
			}
			for _, s := range test.says {
				c.wantText(t, s)
			}
			if reason := c.wantClose(t, test.code); reason != test.reason {
				t.Errorf("closed for %q, want %q", reason, test.reason)
			}
		})
	}
	t.Run("an exception is an error frame and one line", func(t *testing.T) {
		c := dial(t, g.at("/ws?do=quiet"))
		from := len(g.log())
		c.text("{")
		var e struct{ Error string }
		if _, data, err := c.message(); err != nil || json.Unmarshal(data, &e) != nil || e.Error != "backend_failed" {
			t.Errorf("got %q, %v", data, err)
		}
		g.logsOnce(t, from, "JsonException: Syntax error in ")
	})
}

// TestWsFpmWrongRoute: a route that does not ask for the events a script
// handles gets nothing done.
func TestWsFpmWrongRoute(t *testing.T) {
	t.Parallel()
	f := startWsFpm(t)
	g := startGateway(t, f.config("", "/ws wsfpm.php\nevents = message"))
	c := dial(t, g.at("/ws"))
	c.text(`{"do":"send","text":"a"}`)
	if _, data, err := c.message(); err != nil || !strings.Contains(string(data), `"backend_failed"`) {
		t.Errorf("got %q, %v", data, err)
	}
	g.logsOnce(t, 0, "which the route /ws does not ask for: add connect or disconnect to its events")
}

// TestTokenExample: who brings a token signed with the secret comes in.
func TestTokenExample(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef0123456789abcdef"
	f := startWsFpm(t, "env[WS_TOKEN_SECRET] = "+secret)
	g := startGateway(t, f.config("", "/ws examples/token.php\nevents = connect, message"))
	far := time.Now().Add(time.Hour)
	for _, test := range []struct{ name, offered string }{
		{"nothing", ""},
		{"no token", "chat"},
		{"no chat", tokenFor(secret, "ada", far)},
		{"another secret", "chat, " + tokenFor("other", "ada", far)},
		{"expired", "chat, " + tokenFor(secret, "ada", time.Now())},
		{"another name", "chat, " + strings.Replace(tokenFor(secret, "ada", far), "616461", "626f62", 1)},
		{"no name", "chat, " + tokenFor(secret, "", far)},
	} {
		var lines []string
		if test.offered != "" {
			lines = append(lines, "Sec-WebSocket-Protocol: "+test.offered)
		}
		if r, body := refused(t, g.at("/ws", lines...)); r.StatusCode != 401 || body != "No valid token.\n" {
			t.Errorf("%s: %d %q", test.name, r.StatusCode, body)
		}
	}
	token := tokenFor(secret, "ada", far)
	c := dial(t, g.at("/ws", "Sec-WebSocket-Protocol: chat, "+token))
	if got := c.response.Header.Get("Sec-WebSocket-Protocol"); got != "chat" {
		t.Errorf("the subprotocol is %q, want chat", got)
	}
	c.text("hello")
	c.wantText(t, `{"user":"ada","text":"hello"}`)
	if slices.ContainsFunc(g.log(), func(line string) bool { return strings.Contains(line, token) }) {
		t.Error("the token is in the log")
	}
	c = dial(t, g.at("/ws", "Sec-WebSocket-Protocol: chat, "+tokenFor(secret, "ada", time.Now().Add(2*time.Second))))
	if reason := c.wantClose(t, 1008); reason != "expired" {
		t.Errorf("closed for %q, want expired", reason)
	}
}
