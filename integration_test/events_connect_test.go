package integration_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whom PHP does not let in gets PHP's own answer, and no disconnect follows
// unless PHP may believe that it let the client in.
func TestEventsRefused(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", "max_reply = 100k"))
	for _, test := range []struct {
		name   string
		orders []string
		status int
		body   string // "*": any
		header string // Name: value
		owed   int
	}{
		{"a success without WS-Accept", []string{"body db down"}, 403, "db down", "", 0},
		{"nothing at all", []string{""}, 403, "", "", 0},
		{"WS-Accept: no", []string{"header WS-Accept: no", "body x"}, 403, "x", "", 0},
		{"PHP's own status, field and body", []string{"status 401", `header WWW-Authenticate: Basic realm="x"`, "body log in"}, 401, "log in", `WWW-Authenticate: Basic realm="x"`, 0},
		{"WS-Accept with an error status", []string{"accept", "status 402"}, 402, "", "", 0},
		{"a redirect", []string{"header Location: /login"}, 302, "", "Location: /login", 0},
		{"a cookie of a refusal", []string{"status 403", "header Set-Cookie: a=1"}, 403, "", "Set-Cookie: a=1", 0},
		{"an error", []string{"status 500", "body oops"}, 500, "oops", "", 0},
		{"a status that is none", []string{"status 999"}, 502, "*", "", 0},
		{"death", []string{"die so sad"}, 403, "so sad", "", 0},
		{"64 KiB", []string{"status 400", "big 65536"}, 400, strings.Repeat("x", 65536), "", 0},
		{"64 KiB and one", []string{"status 400", "big 65537"}, 502, "*", "", 0},
		{"a stream", []string{"sse", "emit data: a\\n\\n"}, 502, "*", "", 0},
		{"a stream for one let in", []string{"accept", "sse", "emit data: a\\n\\n"}, 502, "*", "", 1},
		{"10,000 fields", []string{"accept", "headers 10000"}, 502, "*", "", 1},
		{"a malformed WS-Close", []string{"accept", "header WS-Close: 1002 no"}, 502, "*", "", 1},
		{"too much bound", []string{"accept", "header WS-User: " + strings.Repeat("u", 900), "header WS-Set-A.B: 1"}, 502, "*", "", 1},
		{"a first message over max_reply", []string{"accept", "big 102401"}, 502, "*", "", 1},
	} {
		before := len(f.begun("disconnect", ""))
		r, body := refused(t, g.at(orders(test.orders...)))
		if r.StatusCode != test.status || test.body != "*" && body != test.body {
			t.Errorf("%s: %d %.60q; want %d %.60q", test.name, r.StatusCode, body, test.status, test.body)
		}
		if name, value, _ := strings.Cut(test.header, ": "); name != "" && r.Header.Get(name) != value {
			t.Errorf("%s: %s is %q; want %q", test.name, name, r.Header.Get(name), value)
		}
		if !r.Close {
			t.Errorf("%s: the connection stays open", test.name)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "Ws-") || strings.HasPrefix(name, "Sec-") {
				t.Errorf("%s: the client sees %s", test.name, name)
			}
		}
		if test.owed > 0 {
			if !waitUntil(5*time.Second, func() bool { return len(f.begun("disconnect", "")) == before+1 }) {
				t.Errorf("%s: no disconnect", test.name)
			} else if d := f.begun("disconnect", "")[before]; farewell(d) != `1006 "" none` || d.Seq != 1 {
				t.Errorf("%s: disconnect %s, seq %d", test.name, farewell(d), d.Seq)
			}
		} else if n := len(f.begun("disconnect", "")); n != before {
			t.Errorf("%s: a disconnect of one that was refused", test.name)
		}
	}
	pause(200 * time.Millisecond)
	if n := len(f.begun("disconnect", "")); n != 5 {
		t.Errorf("%d disconnects in all; want 5", n)
	}
}

// A script that breaks lets nobody in, whether PHP shows errors or not.
func TestEventsBrokenScripts(t *testing.T) {
	t.Parallel()
	scripts := map[string]string{
		"dies":   "<?php die('db down');",
		"empty":  "",
		"parse":  "<?php this is no php(",
		"throws": "<?php if (1) throw new Exception('no'); header('WS-Accept: yes');",
	}
	for _, display := range []string{"on", "off"} {
		if display == "off" { // if it is on, PHP has said 200 and yes before
			scripts["throws after all"] = "<?php header('WS-Accept: yes'); throw new Exception('no');"
		}
		f := startFPM(t, fpmOptions{pool: []string{"php_admin_value[display_errors] = " + display}})
		conf := "listen = 127.0.0.1:0\n[fastcgi]\naddress = " + f.configAddress() + "\n"
		for name, code := range scripts {
			name = strings.ReplaceAll(name, " ", "-")
			conf += "[route /" + name + "]\nscript = " + f.write(name+".php", code) + "\nevents = connect, message\n"
		}
		g := startGateway(t, conf)
		for name := range scripts {
			if r, _ := refused(t, g.at("/"+strings.ReplaceAll(name, " ", "-"))); r.StatusCode < 400 {
				t.Errorf("%s, display_errors %s: %s", name, display, r.Status)
			}
		}
	}
}

// Whom PHP lets in gets its cookies, subprotocol, first message, close.
func TestEventsAccepted(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", "subprotocols = b, c"))
	for _, test := range []struct {
		name     string
		orders   []string
		offer    string
		protocol string
		cookies  int
		first    string // opcode and body; "": none
		close    string
	}{
		{"without more", []string{"accept"}, "", "", 0, "", ""},
		{"204", []string{"accept", "status 204"}, "", "", 0, "", ""},
		{"yes has no case", []string{"header WS-Accept:  YES "}, "", "", 0, "", ""},
		{"cookies", []string{"accept", "header Set-Cookie: a=1; HttpOnly", "header Set-Cookie: b=2"}, "", "", 2, "", ""},
		{"PHP's choice", []string{"accept", "header Sec-WebSocket-Protocol: a"}, "a, b, c", "a", 0, "", ""},
		{"PHP's choice was not offered", []string{"accept", "header Sec-WebSocket-Protocol: x"}, "a, c, b", "b", 0, "", ""},
		{"PHP has no choice", []string{"accept"}, "a, c, b", "b", 0, "", ""},
		{"nothing fits", []string{"accept"}, "a, d", "", 0, "", ""},
		{"nothing was offered", []string{"accept", "header Sec-WebSocket-Protocol: b"}, "", "", 0, "", ""},
		{"a first message", []string{"accept", "body hello"}, "", "", 0, "1 hello", ""},
		{"a binary one", []string{"accept", "header Content-Type: image/png", "body hello"}, "", "", 0, "2 hello", ""},
		{"a text that is none", []string{"accept", `bytes \377`}, "", "", 0, "2 \xff", ""},
		{"an empty one", []string{"accept", "header WS-Opcode: text"}, "", "", 0, "1 ", ""},
		{"none after all", []string{"accept", "header WS-Opcode: none", "body x"}, "", "", 0, "", ""},
		{"a close, the one way to tell a browser why", []string{"accept", "header WS-Close: 4401 log in first"}, "", "", 0, "", "4401 log in first"},
		{"a message and a close", []string{"accept", "body bye", "header WS-Close: 1000"}, "", "", 0, "1 bye", "1000 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			var lines []string
			if test.offer != "" {
				lines = []string{"Sec-WebSocket-Protocol: " + test.offer}
			}
			c := dial(t, g.at(orders(test.orders...), lines...))
			h := c.response.Header
			if got := h.Get("Sec-WebSocket-Protocol"); got != test.protocol {
				t.Errorf("subprotocol %q; want %q", got, test.protocol)
			}
			if got := h.Values("Set-Cookie"); len(got) != test.cookies {
				t.Errorf("cookies %q; want %d", got, test.cookies)
			}
			if h.Get("WS-Accept") != "" || h.Get("X-Powered-By") != "" || h.Get("Content-Type") != "" {
				t.Errorf("101 with %v", h)
			}
			if test.first != "" {
				op, b, err := c.message()
				if got := fmt.Sprintf("%d %s", op, b); err != nil || got != test.first {
					t.Errorf("first message %q, %v; want %q", got, err, test.first)
				}
			}
			if test.close != "" {
				_, _, err := c.message()
				ce, ok := errors.AsType[*closeError](err)
				if !ok || fmt.Sprintf("%d %s", ce.code, ce.reason) != test.close {
					t.Errorf("%v; want close %s", err, test.close)
				}
				return
			}
			if p := c.params(t, "WS_SUBPROTOCOL"); p["WS_SUBPROTOCOL"] != test.protocol {
				t.Errorf("WS_SUBPROTOCOL is %q", p["WS_SUBPROTOCOL"])
			}
		})
	}
}

// What PHP is told at each event, and that no client can tell it.
func TestEventsParams(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", "subprotocols = chat"))
	c := dial(t, g.at("/ws/room?x=1&WS_USER=evil", "Sec-WebSocket-Protocol: token.secret, chat", "Cookie: a=1",
		"WS-Event: disconnect", "WS-User: evil", "WS-Connection-Id: evil", "Ws_User: evil", "WS-Attr-Role: admin",
		"WS-Close-Code: 1000", "WS-Opcode: binary", "WS-Boot: evil", "Http-Ws-User: evil"))
	id := c.id(t)
	c.order(t, "header WS-User: 42", "header WS-Set-Room-Id: 7", "body ok")
	c.wantText(t, "ok")
	if err := c.binary([]byte("x")); err != nil {
		t.Fatal(err)
	}
	c.message()
	c.close(4000, "line\r\nbreak \u2713")
	c.wantClose(t, 4000)
	f.disconnects(t, 5*time.Second, 1)

	boot := f.begun("start", "")[0].Params["WS_BOOT"]
	records := map[string]map[string]string{
		"connect": f.begun("connect", id)[0].Params, "message": f.begun("message", id)[0].Params,
		"later": f.begun("message", id)[2].Params, "disconnect": f.begun("disconnect", id)[0].Params,
	}
	for _, test := range []struct{ event, param, want string }{
		{"connect", "WS_EVENT", "connect"}, {"connect", "WS_EVENT_SEQ", "0"}, {"connect", "REQUEST_METHOD", "GET"},
		{"connect", "WS_SUBPROTOCOLS", "token.secret, chat"}, {"connect", "WS_SUBPROTOCOL", ""}, {"connect", "WS_OPCODE", ""},
		{"connect", "CONTENT_TYPE", ""}, {"connect", "WS_USER", ""},
		{"message", "WS_EVENT", "message"}, {"message", "WS_EVENT_SEQ", "1"}, {"message", "REQUEST_METHOD", "POST"},
		{"message", "WS_SUBPROTOCOLS", ""}, {"message", "WS_OPCODE", "text"}, {"message", "WS_USER", ""},
		{"message", "CONTENT_TYPE", "text/plain; charset=utf-8"}, {"message", "WS_CLOSE_CODE", ""},
		{"later", "WS_EVENT_SEQ", "3"}, {"later", "WS_OPCODE", "binary"}, {"later", "CONTENT_TYPE", "application/octet-stream"},
		{"later", "WS_USER", "42"}, {"later", "WS_ATTR_ROOM_ID", "7"},
		{"disconnect", "WS_EVENT", "disconnect"}, {"disconnect", "WS_EVENT_SEQ", "4"}, {"disconnect", "REQUEST_METHOD", "POST"},
		{"disconnect", "CONTENT_LENGTH", "0"}, {"disconnect", "WS_USER", "42"}, {"disconnect", "WS_ATTR_ROOM_ID", "7"},
		{"disconnect", "WS_CLOSE_CODE", "4000"}, {"disconnect", "WS_CLOSE_REASON", "line  break \u2713"}, {"disconnect", "WS_CLOSE_BY", "client"},
		{"disconnect", "WS_OPCODE", ""},
	} {
		if got := records[test.event][test.param]; got != test.want {
			t.Errorf("%s: %s is %q; want %q", test.event, test.param, got, test.want)
		}
	}
	for event, p := range records {
		for param, want := range map[string]string{
			"WS_EVENTS": "connect,message,disconnect", "WS_ROUTE": "/ws", "WS_BOOT": boot, "WS_CONNECTION_ID": id,
			"QUERY_STRING": "x=1&WS_USER=evil", "HTTP_COOKIE": "a=1", "HTTP_WS_USER": "evil", "HTTP_WS_EVENT": "disconnect",
			"WS_ATTR_ROLE": "", "REMOTE_ADDR": "127.0.0.1", "WS_CONNECTED_AT": records["connect"]["WS_CONNECTED_AT"],
		} {
			if p[param] != want {
				t.Errorf("%s: %s is %q; want %q", event, param, p[param], want)
			}
		}
		if len(boot) != 32 || len(id) != 32 || len(p["WS_CONNECTED_AT"]) != 13 {
			t.Errorf("%s: boot %q, id %q, connected at %q", event, boot, id, p["WS_CONNECTED_AT"])
		}
	}
	if n := g.logged(0, "secret"); n > 0 {
		t.Errorf("a subprotocol was logged %d times", n)
	}
}

// Cookies that connect sets or deletes are there for later events.
func TestEventsCookieJar(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	session := f.write("session.php", `<?php
session_start();
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
if ($_SERVER['WS_EVENT'] === 'connect') { header('WS-Accept: yes'); setcookie('old', '', 1); setcookie('cart[1]', 'a b'); return; }
echo json_encode([session_id(), $_SESSION['n'], $_COOKIE['cart'][1] ?? null, $_COOKIE['old'] ?? null, $_COOKIE['own'] ?? null]);`)
	g := startGateway(t, "listen = 127.0.0.1:0\n[fastcgi]\naddress = "+f.configAddress()+"\n[route /ws]\nscript = "+session+"\nevents = "+allEvents+"\n")
	c := dial(t, g.at("/ws", "Cookie: old=1; own=2"))
	var sid string
	for _, line := range c.response.Header.Values("Set-Cookie") {
		if v, is := strings.CutPrefix(line, "PHPSESSID="); is {
			sid, _, _ = strings.Cut(v, ";")
		}
	}
	for i := range 10 {
		c.text("x")
		c.wantText(t, fmt.Sprintf(`["%s",%d,"a b",null,"2"]`, sid, i+2))
	}
}

// While php-fpm is down a handshake is answered soon, with the time to come
// back; what did not run owes nothing.
func TestEventsConnectWithoutPHP(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "connect_timeout = 300ms", ""))
	dial(t, g.at("/ws")).goodbye(t)
	f.stop(syscall.SIGQUIT)
	begun := time.Now()
	r, _ := refused(t, g.at("/ws"))
	if took := time.Since(begun); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || took > 3*time.Second {
		t.Errorf("php-fpm is down: %s, %v after %v", r.Status, r.Header, took)
	}
	f.start()
	eventually(t, 5*time.Second, "a handshake succeeds again", func() bool {
		c, err := connect(g.at("/ws"))
		if c != nil {
			c.conn.Close()
		}
		return err == nil
	})
	for _, d := range f.begun("disconnect", "") {
		if len(f.begun("connect", d.ID)) != 1 {
			t.Errorf("a disconnect of %s, which never connected", d.ID)
		}
	}
	g.stop() // before php-fpm, which would be waited for
}

// What finds the queue full, or waits too long in it, is told so.
func TestEventsConnectQueue(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "max_conns = 1\nqueue = 1\nqueue_timeout = 400ms", ""))
	c := dial(t, g.at("/ws"))
	eventually(t, 5*time.Second, "the queue is empty", func() bool { return f.endedEvents("start", "") == 1 })
	c.order(t, "sleep 900", "body done")
	eventually(t, 5*time.Second, "PHP is at work", func() bool { return len(f.begun("message", "")) == 1 })
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			begun := time.Now()
			c, err := connect(g.at("/ws"))
			if !errors.Is(err, errRefused) {
				answers <- fmt.Sprint(err)
				return
			}
			defer c.conn.Close()
			when := "at once"
			if time.Since(begun) > 300*time.Millisecond {
				when = "later"
			}
			answers <- fmt.Sprintf("%d %v %s", c.response.StatusCode, c.response.Header.Get("Retry-After") != "", when)
		}()
	}
	got := map[string]bool{<-answers: true, <-answers: true}
	if !got["503 true at once"] || !got["503 true later"] {
		t.Errorf("answers %v; want one 503 at once, one after queue_timeout", got)
	}
	c.wantText(t, "done")
	if n := len(f.begun("connect", "")); n != 1 {
		t.Errorf("%d connects ran; want the first alone", n)
	}
}

// Newcomers get their turn, and at most half of the connections, while
// messages wait.
func TestEventsConnectShare(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	g := startGateway(t, f.eventsConfig("", "max_conns = 4\nqueue_timeout = 2s", ""))
	stop := make(chan struct{})
	busy := make(chan error, 16)
	var clients []*client
	for range cap(busy) {
		clients = append(clients, dial(t, g.at("/ws")))
	}
	for _, c := range clients {
		go func() {
			ahead := 0
			for stopped := false; !stopped || ahead > 0; {
				select {
				case <-stop:
					stopped = true
				default:
				}
				for ; !stopped && ahead < 3; ahead++ { // so that one always waits
					c.text("do sleep 50\nbody ok")
				}
				if ahead > 0 {
					if _, b, err := c.message(); err != nil || string(b) != "ok" {
						busy <- fmt.Errorf("%q, %v", b, err)
						return
					}
					ahead--
				}
			}
			busy <- nil
		}()
	}
	// Until messages wait, connects may have all connections.
	eventually(t, 5*time.Second, "every client's messages run or wait", func() bool { return len(f.begun("message", "")) > cap(busy) })
	joined := make(chan error, 8)
	for range 8 {
		go func() {
			c, err := connect(g.at(orders("sleep 200", "accept")))
			if c != nil {
				c.conn.Close()
			}
			joined <- err
		}()
	}
	for range 8 {
		if err := <-joined; err != nil {
			t.Errorf("a newcomer: %v", err)
		}
	}
	close(stop)
	for range 16 {
		if err := <-busy; err != nil {
			t.Errorf("a busy client: %v", err)
		}
	}
	now, most := 0, 0
	for _, r := range f.events() {
		if r.Event == "connect" {
			if r.What == "begin" {
				now++
			} else {
				now--
			}
			most = max(most, now)
		}
	}
	if most > 2 {
		t.Errorf("%d connects at once; want 2 of 4 at most", most)
	}
}

// A client that leaves while PHP thinks is not upgraded; if PHP has let it in,
// PHP is told, after its connect has ended and with what it bound.
func TestEventsClientLeavesConnect(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	for _, accept := range []string{"accept", "status 403"} {
		nc, err := dialRaw(g.addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		before := len(f.begun("connect", ""))
		h := g.at(orders("sleep 300", accept, "header WS-User: 42", "header Set-Cookie: sid=1"))
		nc.Write(h.bytes("dGhlIHNhbXBsZSBub25jZQ=="))
		eventually(t, 5*time.Second, "PHP thinks", func() bool { return len(f.begun("connect", "")) == before+1 })
		nc.Close()
		eventually(t, 5*time.Second, "PHP has thought", func() bool { return f.endedEvents("connect", "") == before+1 })
	}
	d := f.disconnects(t, 5*time.Second, 1)
	accepted := f.begun("connect", "")[0]
	if r, ok := d[accepted.ID]; !ok || farewell(r) != `1006 "" none` || r.Params["WS_USER"] != "42" || r.Params["HTTP_COOKIE"] != "sid=1" || r.Seq != 1 {
		t.Errorf("disconnects %v; want one of %s", d, accepted.ID)
	}
}

// What PHP does not answer in time is given up. Whether it let the client in is
// not known, so PHP is told that it has gone.
func TestEventsTimeout(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	g := startGateway(t, f.eventsConfig("", "timeout = 1s\nmax_conns = 4", ""))
	c := dial(t, g.at("/ws"))
	c.order(t, "sleep 1800", "body never")
	c.wantWord(t, "backend_timeout")
	if r, _ := refused(t, g.at(orders("sleep 1800", "accept"))); r.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%s; want 504", r.Status)
	}
	for _, d := range f.disconnects(t, 10*time.Second, 1) {
		if farewell(d) != `1006 "" none` || d.Seq != 1 {
			t.Errorf("disconnect %s, seq %d", farewell(d), d.Seq)
		}
	}
}
