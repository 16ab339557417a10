package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A controlAPI is the control API of a gateway, on a unix socket.
type controlAPI struct {
	t         testing.TB
	socket    string
	transport *http.Transport
}

// control gives the API at that socket until the test ends.
func controlAt(t testing.TB, socket string) *controlAPI {
	a := &controlAPI{t: t, socket: socket, transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(a.transport.CloseIdleConnections)
	return a
}

// call makes a request; the header fields are names and values in turn.
func (a *controlAPI) call(method, path, body string, header ...string) (status int, answer string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://control"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := a.transport.RoundTrip(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSuffix(string(b), "\n")
}

// want fails the test unless the answer is that.
func (a *controlAPI) want(method, path, body string, status int, answer string, header ...string) {
	a.t.Helper()
	if got, text := a.call(method, path, body, header...); got != status || text != answer {
		a.t.Errorf("%s %.200s = %d %.300s; want %d %s", method, path, got, text, status, answer)
	}
}

// startPushing starts a gateway with all events and a control API.
func startPushing(t testing.TB, global, pool, route string) (*phpFPM, *gateway, *controlAPI) {
	t.Helper()
	f := startFPM(t, fpmOptions{})
	socket := filepath.Join(f.dir, "control")
	g := startGateway(t, f.eventsConfig(global, pool, route)+"[control]\nlisten = "+socket+"\n")
	return f, g, controlAt(t, socket)
}

// What PHP says in its replies: subscribe, unsubscribe, publish, in the order of
// the interface; at disconnect to those who stay.
func TestPushFromReplies(t *testing.T) {
	t.Parallel()
	f, g, _ := startPushing(t, "", "", "")
	a := dial(t, g.at(orders("accept", "header WS-Subscribe: room:1, news", "body hello a")))
	a.wantText(t, "hello a")
	b := dial(t, g.at(orders("accept", "header WS-Subscribe: room:1", "header WS-Publish: room:1; exclude=self", "body b is here")+
		"&bye="+url.QueryEscape("header WS-Publish: room:1\nbody b has left")))
	a.wantText(t, "b is here") // b hears nothing of its own

	a.order(t, "header WS-Publish: room:1", "body to all")
	a.wantText(t, "to all")
	b.wantText(t, "to all")
	b.order(t, "header WS-Publish: room:1; exclude=self; reply", "body and back")
	a.wantText(t, "and back")
	b.wantText(t, "and back")
	b.order(t, "header WS-Publish: room:1, nobody", "header Content-Type: application/octet-stream", "bytes \\x00\\xff")
	a.wantMessage(t, opBinary, []byte("\x00\xff"))
	b.wantMessage(t, opBinary, []byte("\x00\xff"))

	if got := a.params(t, "WS_CHANNELS")["WS_CHANNELS"]; got != "room:1,news" {
		t.Errorf("WS_CHANNELS = %q", got)
	}
	a.order(t, "header WS-Unsubscribe: *", "header WS-Subscribe: room:2", "params WS_CHANNELS")
	a.wantText(t, `{"WS_CHANNELS":"room:1,news"}`) // of the event, not of its reply
	if got := a.params(t, "WS_CHANNELS")["WS_CHANNELS"]; got != "room:2" {
		t.Errorf("WS_CHANNELS = %q", got)
	}
	a.order(t, "header WS-Subscribe: room:1", "header WS-Publish: room:1", "body it listens before that goes out")
	a.wantText(t, "it listens before that goes out")
	b.wantText(t, "it listens before that goes out")
	a.order(t, "header WS-Unsubscribe: room:1", "header WS-Publish: room:1; reply", "body and leaves before that")
	a.wantText(t, "and leaves before that") // once, as the answer
	b.wantText(t, "and leaves before that")

	for _, bad := range []string{"WS-Subscribe: a b", "WS-Subscribe: *", "WS-Publish: a; to=b", "WS-Unsubscribe: ../x", "WS-Subscribe: " + strings.Repeat("x", 201)} {
		b.order(t, "header "+bad, "body not sent")
		b.wantWord(t, "bad_reply")
	}
	many := make([]string, 129)
	for i := range many {
		many[i] = "c" + strings.Repeat("i", i)
	}
	b.order(t, "header WS-Subscribe: "+strings.Join(many[:127], ","), "body as many as it may")
	b.wantText(t, "as many as it may")
	b.order(t, "header WS-Subscribe: "+strings.Join(many[:128], ","), "header WS-User: u", "body one too many")
	b.wantWord(t, "bad_reply")
	if got := b.params(t, "WS_USER"); len(got) != 0 {
		t.Errorf("a reply with one channel too many left %v behind", got)
	}

	a.order(t, "header WS-Subscribe: room:1", "body ready")
	a.wantText(t, "ready")
	b.close(1000, "")
	b.wantClose(t, 1000)
	a.wantText(t, "b has left")
	for _, told := range f.disconnects(t, 5*time.Second, 1) {
		if got := told.Params["WS_CHANNELS"]; !strings.HasPrefix(got, "room:1,c,") || len(got) > 4096 {
			t.Errorf("at disconnect WS_CHANNELS = %.80q of %d bytes", got, len(got))
		}
	}
}

// What other programs say over the control API.
func TestPushFromTheAPI(t *testing.T) {
	t.Parallel()
	f, g, api := startPushing(t, "", "", "")
	a := dial(t, g.at(orders("accept", "header WS-User: 42", "header WS-Subscribe: news, room/1")))
	b := dial(t, g.at(orders("accept", "header WS-User: 42", "header WS-Subscribe: news")))
	idA, idB := a.id(t), b.id(t)
	if got := a.params(t, "WS_API")["WS_API"]; got != "unix:"+api.socket {
		t.Errorf("WS_API = %q", got)
	}

	api.want("POST", "/connections/"+idA, "one", 204, "")
	a.wantText(t, "one")
	api.want("POST", "/connections/"+idA, "two", 204, "", "Content-Type", "application/x-www-form-urlencoded")
	a.wantText(t, "two")
	api.want("POST", "/connections/"+idA, "\x00\xff", 204, "", "Content-Type", "application/octet-stream")
	a.wantMessage(t, opBinary, []byte("\x00\xff"))
	api.want("POST", "/channels/news", "three", 200, `{"delivered":2}`)
	api.want("POST", "/channels/news?exclude="+idA, "four", 200, `{"delivered":1}`)
	api.want("POST", "/channels/room/1", "five", 200, `{"delivered":1}`)
	api.want("POST", "/channels/room%2f1", "six", 200, `{"delivered":1}`)
	api.want("POST", "/channels/nobody", "", 200, `{"delivered":0}`)
	api.want("POST", "/users/42", "seven", 200, `{"delivered":2}`)
	api.want("POST", "/users/4%2f2", "", 200, `{"delivered":0}`)
	for _, text := range []string{"three", "five", "six", "seven"} {
		a.wantText(t, text)
	}
	for _, text := range []string{"three", "four", "seven"} {
		b.wantText(t, text)
	}
	api.want("POST", "/batch", `{"operations":[{"channel":"news","text":"eight"},{"connection":"`+idB+`","binary":"AP8="},{"user":"42","text":"nine"},
		{"connection":"`+strings.Repeat("0", 32)+`","text":"x"},{"connection":"`+idB+`","close":{"code":4000,"reason":"out"}}]}`, 200,
		`{"results":[{"delivered":2},{"delivered":1},{"delivered":2},{"delivered":0,"error":"connection: this connection is gone"},{"closed":1}]}`)
	a.wantText(t, "eight")
	a.wantText(t, "nine")
	b.wantText(t, "eight")
	b.wantMessage(t, opBinary, []byte("\x00\xff"))
	b.wantText(t, "nine")
	if reason := b.wantClose(t, 4000); reason != "out" {
		t.Errorf("closed with %q", reason)
	}
	f.disconnects(t, 5*time.Second, 1)

	api.want("GET", "/channels?prefix=room", "", 200, `{"channels":[{"name":"room/1","connections":1}],"total":1}`)
	api.want("GET", "/channels?limit=1", "", 200, `{"channels":[{"name":"news","connections":1}],"total":2}`)
	api.want("GET", "/channels/news", "", 200, `{"name":"news","connections":["`+idA+`"],"total":1}`)
	var list struct {
		Connections []struct {
			ID, User string
			Channels []string
		}
		Total int
	}
	for query, want := range map[string]int{"": 1, "?user=42": 1, "?user=43": 0, "?channel=news&user=42": 1, "?channel=none": 0, "?channel=news": 1} {
		list.Connections = nil
		_, text := api.call("GET", "/connections"+query, "")
		if err := json.Unmarshal([]byte(text), &list); err != nil || list.Total != want || len(list.Connections) != want ||
			want == 1 && (list.Connections[0].ID != idA || list.Connections[0].User != "42" || !slices.Equal(list.Connections[0].Channels, []string{"news", "room/1"})) {
			t.Errorf("GET /connections%s = %s; want %d", query, text, want)
		}
	}
	api.want("DELETE", "/users/42?code=4003&reason=logout", "", 200, `{"closed":1}`)
	a.wantClose(t, 4003)
	f.disconnects(t, 5*time.Second, 2)
	api.want("POST", "/connections/"+idA, "late", 410, `{"error":"id: this connection is gone"}`)
	api.want("POST", "/channels/news", "late", 200, `{"delivered":0}`)
	api.want("GET", "/channels", "", 200, `{"channels":[],"total":0}`)
	api.want("GET", "/connections", "", 200, `{"connections":[],"total":0}`)
}

// A client that is still in its connect event can be sent to, by id and by
// channel; it gets that behind the handshake's answer and PHP's first message.
func TestPushToAClientThatIsConnecting(t *testing.T) {
	t.Parallel()
	f, g, api := startPushing(t, "", "", "")
	listening := dial(t, g.at(orders("accept", "header WS-Subscribe: all")))
	done := make(chan *client, 1)
	go func() {
		c, err := connect(g.at(orders("accept", "header WS-User: 7", "header WS-Subscribe: all", "body hello", "sleep 700")))
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	var id string
	eventually(t, 5*time.Second, "PHP is asked", func() bool {
		for _, r := range f.begun("connect", "") {
			if strings.Contains(r.Params["QUERY_STRING"], "sleep") {
				id = r.ID
			}
		}
		return id != ""
	})
	for _, text := range []string{"one", "two"} {
		api.want("POST", "/connections/"+id, text, 204, "")
	}
	// More than 64 KiB waits after this one, so that the next is refused.
	api.want("POST", "/connections/"+id, strings.Repeat("x", 64<<10), 204, "")
	api.want("POST", "/connections/"+id, "too much", 410, `{"error":"id: this connection is gone"}`)
	c := <-done
	if c == nil {
		return
	}
	defer c.conn.Close()
	for _, text := range []string{"hello", "one", "two", strings.Repeat("x", 64<<10)} {
		c.wantText(t, text)
	}
	api.want("POST", "/channels/all", "three", 200, `{"delivered":2}`)
	c.wantText(t, "three")
	listening.wantText(t, "three")

	// One that is closed meanwhile is closed when it is in.
	go func() {
		c, err := connect(g.at(orders("accept", "body hello", "sleep 500", "header X: second")))
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	id = ""
	eventually(t, 5*time.Second, "PHP is asked", func() bool {
		for _, r := range f.begun("connect", "") {
			if strings.Contains(r.Params["QUERY_STRING"], "second") {
				id = r.ID
			}
		}
		return id != ""
	})
	api.want("POST", "/connections/"+id, "before", 204, "")
	api.want("DELETE", "/connections/"+id+"?code=4005", "", 204, "")
	if c = <-done; c == nil {
		return
	}
	defer c.conn.Close()
	c.wantText(t, "hello")
	c.wantText(t, "before")
	c.wantClose(t, 4005)
	if _, text := api.call("GET", "/metrics", ""); !strings.Contains(text, "ws_fpm_sends_dropped_total{cause=\"connecting\"} 1\n") {
		t.Error("the refused message is not counted")
	}
}

// The shell's way: echo hi | ws-fpm push -channel news, where WS_API tells where.
func TestPushCommand(t *testing.T) {
	t.Parallel()
	_, g, api := startPushing(t, "", "", "")
	c := dial(t, g.at(orders("accept", "header WS-Subscribe: news", "header WS-User: 42")))
	for _, test := range []struct{ command, says, gets string }{
		{"echo hi | $PROGRAM push -channel news", "delivered to 1 connection\n", "hi"},
		{"$PROGRAM push -q -user 42 'hello you'", "", "hello you"},
		{"$PROGRAM push -channel nobody x", "delivered to 0 connections\n", ""},
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", test.command)
		cmd.Env = append(os.Environ(), "PROGRAM="+buildBinary(t), "WS_API=unix:"+api.socket)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != test.says {
			t.Errorf("%s: %q, %v; want %q", test.command, out, err, test.says)
		}
		if test.gets != "" {
			c.wantText(t, test.gets)
		}
	}
}

// Many listen: each gets it once, of one encoding and without a goroutine for
// anybody; names of channels and users make no new series in the metrics; what
// is posted twice is sent twice.
func TestPushToMany(t *testing.T) {
	t.Parallel()
	_, g, api := startPushing(t, "connections_per_address = 1000", "", "")
	clients := make([]*client, scaled(100, 1000))
	for i := range clients {
		clients[i] = dial(t, g.at(orders("accept", fmt.Sprintf("header WS-Subscribe: all, own:%d", i), fmt.Sprintf("header WS-User: u%d", i))))
	}
	_, before := api.call("GET", "/metrics", "")
	body := strings.Repeat("x", 1024)
	for range 2 { // no request is taken for a repetition of another
		api.want("POST", "/channels/all", body, 200, fmt.Sprintf(`{"delivered":%d}`, len(clients)))
	}
	for i, c := range clients {
		api.want("POST", fmt.Sprintf("/channels/own:%d", i), fmt.Sprint(i), 200, `{"delivered":1}`)
		c.wantText(t, body)
		c.wantText(t, body)
		c.wantText(t, fmt.Sprint(i))
	}
	_, after := api.call("GET", "/metrics", "")
	if a, b := strings.Count(before, "\n"), strings.Count(after, "\n"); a != b {
		t.Errorf("%d lines of metrics, then %d", a, b)
	}
	for _, want := range []string{
		fmt.Sprintf("ws_fpm_channels %d\n", len(clients)+1), fmt.Sprintf("ws_fpm_subscriptions %d\n", 2*len(clients)), fmt.Sprintf("ws_fpm_users %d\n", len(clients)),
		fmt.Sprintf("ws_fpm_publish_encodings_total %d\n", len(clients)+2), "ws_fpm_drains_total 0\n",
		fmt.Sprintf("ws_fpm_messages_for_clients_total{kind=\"push\"} %d\n", 3*len(clients)),
	} {
		if !strings.Contains(after+"\n", want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

// During a shutdown whoever is still served can be sent to; who has its close
// frame is not counted.
func TestPushWhileDraining(t *testing.T) {
	t.Parallel()
	_, g, api := startPushing(t, "drain = 5s", "", "")
	idle := dial(t, g.at(orders("accept", "header WS-Subscribe: c")))
	busy := dial(t, g.at(orders("accept", "header WS-Subscribe: c", "body hello")))
	busy.wantText(t, "hello")
	busy.order(t, "sleep 1500", "body done")
	pause(300 * time.Millisecond)
	g.cmd.Process.Signal(syscall.SIGTERM)
	idle.wantClose(t, 1001)
	api.want("POST", "/channels/c", "still here", 200, `{"delivered":1}`)
	busy.wantText(t, "still here")
	busy.wantText(t, "done")
	busy.wantClose(t, 1001)
}
