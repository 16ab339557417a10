package gateway

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// A trouble makes a message fail in one way.
type trouble struct {
	name    string
	word    string
	client  func(*fastcgi.Options)
	prepare func(t *testing.T, b *backend, address string) // before the message is sent
	message string
}

func troubles() []trouble {
	brief := func(o *fastcgi.Options) {
		o.Timeout, o.ConnectTimeout, o.QueueTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	}
	// hog has another client occupy the only connection.
	hog := func(t *testing.T, b *backend, address string) {
		dial(t, address).say("hold hog")
		b.began("hold hog")
	}
	return []trouble{
		{"PHP failed", "backend_failed", nil, nil, "status 500 secret of a fatal error"},
		{"PHP is in service", "backend_failed", nil, nil, "status 503 x"},
		{"php-fpm is down", "backend_failed", func(o *fastcgi.Options) {
			brief(o)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			o.Address = l.Addr().String()
			l.Close()
		}, nil, "echo x"},
		{"PHP takes too long", "backend_timeout", brief, nil, "hold late"},
		{"no connection came free", "backend_busy", func(o *fastcgi.Options) {
			o.MaxConns, o.QueueTimeout = 1, 100*time.Millisecond
		}, hog, "echo x"},
		{"too many wait", "backend_busy", func(o *fastcgi.Options) { o.MaxConns, o.Queue = 1, 1 },
			func(t *testing.T, b *backend, address string) {
				hog(t, b, address)
				dial(t, address).say("echo queued")
				eventually(t, "one waits", func() bool { return b.client.Stats().Waiting == 1 })
			}, "echo x"},
		{"an answer too long", "reply_too_big", nil, nil, "big 1001"},
		{"a redirection", "bad_reply", nil, nil, "status 302 x"},
		{"an interim answer", "bad_reply", nil, nil, "status 103 x"},
		{"an opcode there is not", "bad_reply", nil, nil, "header WS-Opcode: ping"},
		{"a code PHP must not use", "bad_reply", nil, nil, "header WS-Close: 1002 secret"},
		{"a header without end", "bad_reply", nil, nil, "head 200"},
	}
}

// Each failure has its word, is counted under it, and does to the client what
// the route says.
func TestFailure(t *testing.T) {
	for _, trouble := range troubles() {
		for _, onError := range []string{"", OnErrorMessage, OnErrorClose, OnErrorIgnore} {
			t.Run(trouble.name+"/"+onError, func(t *testing.T) {
				t.Parallel()
				b := newBackend(t, trouble.client)
				g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client, OnError: onError, MaxReply: 1000}}})
				address := serve(t, g)
				if trouble.prepare != nil {
					trouble.prepare(t, b, address)
				}
				c := dial(t, address)
				c.write(joined(frame(text, trouble.message), frame(text, "echo after")))
				switch onError {
				case OnErrorClose:
					c.wantClose(1011, trouble.word)
				case OnErrorIgnore:
					eventually(t, "it is counted", func() bool { return events(g, trouble.word) >= 1 })
				default:
					if seq := c.wantError(trouble.word); seq != 1 {
						t.Errorf("seq is %d, want 1", seq)
					}
				}
				if n := events(g, trouble.word); n < 1 {
					t.Errorf("%s is counted %d times", trouble.word, n)
				}
				b.releaseAll()
				switch {
				case onError == OnErrorClose:
				case trouble.name == "php-fpm is down" && onError == OnErrorIgnore:
					eventually(t, "the next failed too", func() bool { return events(g, trouble.word) == 2 })
				case trouble.name == "php-fpm is down":
					if seq := c.wantError(trouble.word); seq != 2 {
						t.Errorf("seq of the next is %d, want 2", seq)
					}
				case strings.HasPrefix(trouble.word, "backend_"):
					// What comes behind may meet the same trouble.
				default:
					c.hear("after")
				}
			})
		}
	}
}

// Who sends much to a pool that is full is told so at a pace, in order, and is
// served when there is room.
func TestRefusedMessagesRest(t *testing.T) {
	for _, test := range []struct {
		name   string
		atOnce bool
	}{{"all at once", true}, {"each when the one before was refused", false}} {
		t.Run(test.name, func(t *testing.T) { refusedMessagesRest(t, test.atOnce) })
	}
}

func refusedMessagesRest(t *testing.T, atOnce bool) {
	b := newBackend(t, func(o *fastcgi.Options) { o.MaxConns, o.Queue = 1, 1 })
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	dial(t, address).say("hold hog")
	b.began("hold hog")
	dial(t, address).say("echo queued")
	eventually(t, "one waits", func() bool { return b.client.Stats().Waiting == 1 })
	c := dial(t, address)
	begun := time.Now()
	const n = 4
	if atOnce {
		c.say(numbered("echo %d", 1, n+1)...)
	}
	for i := range n {
		if !atOnce {
			c.say("echo x")
		}
		if seq := c.wantError("backend_busy"); seq != i+1 {
			t.Errorf("seq is %d, want %d", seq, i+1)
		}
	}
	if took := time.Since(begun); took < (n-1)*busyRest {
		t.Errorf("%d messages were refused in %v, want %v at least", n, took, (n-1)*busyRest)
	}
	b.releaseAll()
	eventually(t, "there is room", func() bool { return b.client.Stats().Waiting == 0 })
	c.say("echo room")
	c.hear("room")
}

// After a failure that is PHP's alone, the connection goes on.
func TestFailureGoesOn(t *testing.T) {
	_, _, address := open(t, nil)
	c := dial(t, address)
	c.say("echo 1", "status 500 x", "echo 3", "status 302 x", "echo 5", "status 404 not here", "status 400 no")
	c.hear("1")
	second := c.wantError("backend_failed")
	c.hear("3")
	fourth := c.wantError("bad_reply")
	c.hear("5", "not here", "no")
	if second != 2 || fourth != 4 {
		t.Errorf("seq are %d and %d; want 2 and 4", second, fourth)
	}
}

// MaxReply is the longest body that is sent.
func TestFailureReplyTooBig(t *testing.T) {
	_, _, address := open(t, func(r *Route, _ *Options) { r.MaxReply = 1000 })
	c := dial(t, address)
	c.say("big 999", "big 1000", "big 1001", "big 100000", "echo x")
	c.hear(strings.Repeat("x", 999), strings.Repeat("x", 1000))
	c.wantError("reply_too_big")
	c.wantError("reply_too_big")
	c.hear("x")
}

// Stderr reaches a client only where the gateway is told so, and the body of a
// failure never does.
func TestFailureSaysNoMore(t *testing.T) {
	s := &session{gateway: &Gateway{}, id: strings.Repeat("0", 32), seq: 7}
	s.gateway.inForce.Store(&setup{})
	const bare = `{"error":"backend_failed","connection":"00000000000000000000000000000000","seq":7}`
	if got := string(s.failureMessage(backendFailed, "PHP Fatal error")); got != bare {
		t.Errorf("got %s; want %s", got, bare)
	}
	s.gateway.inForce.Store(&setup{Options: Options{ShowErrors: true}})
	want := strings.TrimSuffix(bare, "}") + `,"stderr":"PHP Fatal error \ufffd"}`
	if got := string(s.failureMessage(backendFailed, "PHP Fatal error \xff")); got != want && got != strings.ReplaceAll(want, `\ufffd`, "\uFFFD") {
		t.Errorf("got %s; want %s", got, want)
	}
	if got := string(s.failureMessage(backendFailed, "")); got != bare {
		t.Errorf("got %s; want %s", got, bare)
	}
}

// A close by failure drops what waits, which is counted.
func TestFailureCloseDrops(t *testing.T) {
	g, b, address := open(t, func(r *Route, _ *Options) { r.OnError = OnErrorClose })
	c := dial(t, address)
	c.say("hold 0", "status 500 x", "echo 2", "echo 3")
	b.began("hold 0")
	eventually(t, "all came in", func() bool { return count(g, "ws_fpm_messages_received_total") == 4 })
	b.release("0")
	c.hear("0")
	c.wantClose(1011, "backend_failed")
	books(t, g, b)
	if n := count(g, "ws_fpm_messages_dropped_total"); n != 2 {
		t.Errorf("%d messages were dropped, want 2", n)
	}
}

// PHP's words that a close frame cannot hold are cut to what it can.
func TestFailureReasonOfPHP(t *testing.T) {
	_, _, address := open(t, nil)
	c := dial(t, address)
	c.say("header WS-Close: 4000 " + strings.Repeat("é", 100))
	c.hear("ok")
	c.want(closed, string(binary.BigEndian.AppendUint16(nil, 4000))+strings.Repeat("é", 61))
}
