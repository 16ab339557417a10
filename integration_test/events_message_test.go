package integration_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a reply binds is there from the next event on; over the limits the
// reply is an error and nothing has changed.
func TestEventsAttributes(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	// PHP's own replies are cut at 16 KiB of header, so the limit of all
	// attributes is reached in several.
	g := startGateway(t, f.eventsConfig("", "", ""))
	c := dial(t, g.at(orders("accept", "header WS-User: 42", "header WS-Set-Role: admin")))
	get := func(names ...string) string {
		t.Helper()
		b, _ := json.Marshal(c.params(t, names...))
		return string(b)
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("PHP sees %s; want %s", got, want)
		}
	}
	ok := func(lines ...string) {
		t.Helper()
		c.order(t, append(lines, "body ok")...)
		c.wantText(t, "ok")
	}
	bad := func(lines ...string) {
		t.Helper()
		c.order(t, append(lines, "body never")...)
		c.wantWord(t, "bad_reply")
	}
	want(get("WS_USER", "WS_ATTR_ROLE"), `{"WS_ATTR_ROLE":"admin","WS_USER":"42"}`)
	ok("header WS-User: 43", "header WS-Set-Role: ", "header ws-set-room-id: 7")
	want(get("WS_USER", "WS_ATTR_ROLE", "WS_ATTR_ROOM_ID"), `{"WS_ATTR_ROOM_ID":"7","WS_USER":"43"}`)
	bad("header WS-User: 44", "header WS-Set-A_B: 1")
	want(get("WS_USER", "WS_ATTR_ROOM_ID"), `{"WS_ATTR_ROOM_ID":"7","WS_USER":"43"}`)

	// 16 KiB: "43" and "ROOM_ID", "7" are 10 bytes.
	long := func(n int) string { return strings.Repeat("x", n) }
	ok("header WS-Set-A: " + long(15000))
	ok("header WS-Set-B: " + long(16384-10-1-15000-1))
	bad("header WS-User: 444", "header WS-Set-Room-Id: 8")
	want(get("WS_USER", "WS_ATTR_ROOM_ID"), `{"WS_ATTR_ROOM_ID":"7","WS_USER":"43"}`)
	ok("header WS-Set-A: ", "header WS-Set-B: ", "header WS-Set-Room-Id: ")

	// 128 of them.
	some := func(from, to int) (lines []string) {
		for i := from; i < to; i++ {
			lines = append(lines, fmt.Sprintf("header WS-Set-N%d: v", i))
		}
		return lines
	}
	ok(some(0, 64)...)
	ok(some(64, 128)...)
	bad(some(128, 129)...)
	want(get("WS_ATTR_N127", "WS_ATTR_N128", "WS_USER"), `{"WS_ATTR_N127":"v","WS_USER":"43"}`)
}

// What a reply says, row by row.
func TestEventsReplies(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", "max_reply = 100k"))
	for _, test := range []struct {
		name   string
		orders []string
		want   string // opcode and body, a word, or a close
	}{
		{"a body", []string{"body x"}, "1 x"},
		{"JSON", []string{"header Content-Type: application/json", "body {}"}, "1 {}"},
		{"another type", []string{"header Content-Type: application/octet-stream", "body x"}, "2 x"},
		{"text that is not UTF-8", []string{`bytes \300`}, "2 \xc0"},
		{"forced", []string{"header WS-Opcode: binary", "body x"}, "2 x"},
		{"empty, forced", []string{"header WS-Opcode: text"}, "1 "},
		{"a client error is a message", []string{"status 422", "body no"}, "1 no"},
		{"as much as may be", []string{"big 102400"}, "1 " + strings.Repeat("x", 102400)},
		{"too much", []string{"big 102401"}, "reply_too_big"},
		{"a redirect", []string{"header Location: /x"}, "bad_reply"},
		{"an error", []string{"status 503", "body secret"}, "backend_failed"},
		{"10,000 fields", []string{"headers 10000"}, "bad_reply"},
		{"100 fields of ours and PHP's own three", []string{"headers 90", "body x"}, "1 x"},
		{"a control character in a reason does not stop a close", []string{`header WS-Close: 4000 a\001b`}, `close 4000 "a\x01b"`},
		{"DEL in a user", []string{`header WS-User: a\177`, "body x"}, "bad_reply"},
		{"WS-Close", []string{"header WS-Close: 3999 so long"}, `close 3999 "so long"`},
		{"WS-Close without a reason", []string{"header WS-Close: 1000"}, `close 1000 ""`},
		{"WS-Close with a long reason is cut between characters", []string{"header WS-Close: 4000 " + strings.Repeat("\u00e9", 70)}, fmt.Sprintf("close 4000 %q", strings.Repeat("\u00e9", 61))},
		{"WS-Close with a code of the protocol's", []string{"header WS-Close: 1002 x", "body x"}, "bad_reply"},
		{"WS-Close with words", []string{"header WS-Close: bye", "body x"}, "bad_reply"},
		{"WS-Close of five digits", []string{"header WS-Close: 04000", "body x"}, "bad_reply"},
		{"WS-Close, empty", []string{"header WS-Close: x", "header WS-Close: 4000", "body x"}, "bad_reply"},
		{"WS-Opcode of another kind", []string{"header WS-Opcode: ping", "body x"}, "bad_reply"},
		{"WS-Expire of nothing", []string{"header WS-Expire: 0", "body x"}, "bad_reply"},
		{"WS-Expire in the past", []string{"header WS-Expire: -5", "body x"}, "bad_reply"},
		{"WS-Expire", []string{"header WS-Expire: 1"}, `close 1008 "expired"`},
		{"unknown fields mean nothing", []string{"header WS-Shout: loud", "header WS-Accept: yes", "body x"}, "1 x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.at("/ws"))
			c.order(t, test.orders...)
			op, b, err := c.message()
			got := fmt.Sprintf("%d %s", op, b)
			if ce, is := err.(*closeError); is {
				got = fmt.Sprintf("close %d %q", ce.code, ce.reason)
			} else if err != nil {
				got = err.Error()
			}
			var e struct{ Error string }
			if !strings.Contains(test.want, " ") && json.Unmarshal(b, &e) == nil {
				got = e.Error
			}
			if got != test.want {
				t.Errorf("got %.200s; want %.200s", got, test.want)
			}
			if err == nil { // and it goes on
				c.echo(t, "still here")
			}
		})
	}
	// A sibling waits until the parallel ones are done.
	t.Cleanup(func() {
		if n := g.logged(0, "field=WS-Shout"); n != 1 {
			t.Errorf("the unknown field was logged %d times; want once", n)
		}
		if n := g.logged(0, "secret"); n != 0 {
			t.Errorf("a body was logged %d times", n)
		}
	})
}

// An unknown field is logged once, however often it comes.
func TestEventsUnknownField(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	for range 3 {
		c := dial(t, g.at(orders("accept", "header WS-Whisper: x")))
		c.order(t, "header WS-Shout: loud", "header ws-shout: loud", "body x")
		c.wantText(t, "x")
	}
	if shouts, whispers := g.logged(0, "field=WS-Shout"), g.logged(0, "field=WS-Whisper"); shouts != 1 || whispers != 1 {
		t.Errorf("logged %d and %d times; want once each", shouts, whispers)
	}
}

// PHP's stderr is logged once a request, with the connection and the sequence,
// and no client sees it.
func TestEventsStderr(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"php_admin_flag[log_errors] = on"}})
	g := startGateway(t, f.eventsConfig("", "", ""))
	c := dial(t, g.at("/ws"))
	id := c.id(t)
	c.order(t, "error_log out of luck", "body fine")
	c.wantText(t, "fine")
	eventually(t, 5*time.Second, "it is logged", func() bool { return g.logged(0, "out of luck") == 1 })
	for _, line := range g.log() {
		if strings.Contains(line, "out of luck") && (!strings.Contains(line, "connection="+id) || !strings.Contains(line, "seq=2")) {
			t.Errorf("logged as %s", line)
		}
	}
}

// Each route has the pool it names: one that is busy does not slow the other.
func TestEventsSeveralPools(t *testing.T) {
	t.Parallel()
	slow, fast := startFPM(t, fpmOptions{}), startFPM(t, fpmOptions{})
	route := func(name, pool string, f *phpFPM) string {
		return "[route /" + name + "]\nscript = " + f.file("events.php") + "\nfastcgi = " + pool + "\nevents = " + allEvents + "\n"
	}
	g := startGateway(t, "listen = 127.0.0.1:0\n[fastcgi]\naddress = "+slow.configAddress()+"\nmax_conns = 1\n[fastcgi second]\naddress = "+fast.configAddress()+
		"\n"+route("slow", "default", slow)+route("fast", "second", fast))
	a, b := dial(t, g.at("/slow")), dial(t, g.at("/fast"))
	a.order(t, "wait enough", "body late")
	eventually(t, 5*time.Second, "the one pool is busy", func() bool { return len(slow.begun("message", "")) == 1 })
	for range 20 {
		b.echo(t, "x")
	}
	if slow.endedEvents("message", "") > 0 {
		t.Error("the one pool is no more busy when the other has answered")
	}
	slow.release("enough")
	a.wantText(t, "late")
	// It may have had no worker for that until now.
	eventually(t, 5*time.Second, "start ran", func() bool { return len(slow.begun("start", "")) > 0 && len(fast.begun("start", "")) > 0 })
	if n, m := len(slow.begun("start", "")), len(fast.begun("start", "")); n != 1 || m != 1 {
		t.Errorf("start ran %d and %d times; want once in each pool", n, m)
	}
}
