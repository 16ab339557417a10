package gateway

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
)

// What visitors have alike is in memory once, whoever they are and whatever they
// send besides. Whoever sends something else there shares nothing.
func TestConnectionsShareParams(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{{Prefix: "/ws", Script: "/p/ws.php", Backend: b.client}}})
	address := serve(t, g)
	join := func(extra ...string) *session {
		t.Helper()
		before := g.sessions()
		c := connect(t, address, lines("/ws", append([]string{"+Accept-Language: de", "+User-Agent: Browser 1"}, extra...)...))
		if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("answered %s", r.Status)
		}
		eventually(t, "it has a session", func() bool { return len(g.sessions()) > len(before) })
		for _, s := range g.sessions() {
			if !slices.Contains(before, s) {
				if s.remote != "127.0.0.1" || g.sessionOf(s.id) != s || len(s.id) != 32 {
					t.Errorf("it is %q from %q", s.id, s.remote)
				}
				return s
			}
		}
		return nil
	}
	first := join("+Cookie: PHPSESSID=1")
	for _, test := range []struct {
		name   string
		extra  []string
		shares bool
	}{
		{"the same", []string{"+Cookie: PHPSESSID=1"}, true},
		{"another cookie", []string{"+Cookie: PHPSESSID=2"}, true},
		{"a field of its own", []string{"+Authorization: Bearer t", "+X-Token: t"}, true},
		{"through net/http", []string{"+X-A: 1", "+X-A: 2"}, true},
		{"another language", []string{"Accept-Language: en"}, false},
		{"one field more that many have", []string{"+Pragma: no-cache", "+Cache-Control: no-cache"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := join(test.extra...)
			if shares := s.common == first.common; shares != test.shares {
				t.Errorf("shares: %t, want %t: %q and %q", shares, test.shares, s.common.Value(), first.common.Value())
			}
		})
	}
}

// Nothing that tells one visitor from another, and no secret, is among what
// others hold as well.
func TestSharedParamsHoldNoSecrets(t *testing.T) {
	const secret = "s3cret"
	for _, test := range []struct {
		name string
		req  request
	}{
		{"a cookie", request{header: http.Header{"Cookie": {secret}}}},
		{"credentials", request{header: http.Header{"Authorization": {secret}}}},
		{"a field that nobody knows", request{header: http.Header{"X-Api-Key": {secret}}}},
		{"the query", request{uri: "/ws?t=" + secret, query: "t=" + secret}},
		{"the path", request{uri: "/ws/" + secret}},
		{"the page that it comes from", request{header: http.Header{"Referer": {secret}}}},
		{"the client's address", request{peer: peer{addr: secret, port: secret}}},
		{"the client's address as proxies say it", request{peer: peer{trusted: true}, header: http.Header{
			"X-Forwarded-For": {secret}, "Forwarded": {secret}, "X-Real-Ip": {secret}, "X-Forwarded-Client-Cert": {secret}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b blocks
			if err := b.gather(&test.req); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b.common.params), secret) {
				t.Errorf("it is shared: %q", b.common.params)
			}
			if !strings.Contains(string(b.own.params), secret) {
				t.Errorf("it is lost: %q", b.own.params)
			}
		})
	}
}

// The params written out for well-known headers are those that their names make.
func TestCommonParams(t *testing.T) {
	for _, name := range []string{"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Origin", "Pragma", "Sec-Fetch-Dest",
		"Sec-Fetch-Mode", "Sec-Fetch-Site", "User-Agent", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"} {
		if got, want := commonParam(name), headerParam(name); got != want {
			t.Errorf("commonParam(%s) = %q, want %q", name, got, want)
		}
		if name != http.CanonicalHeaderKey(name) {
			t.Errorf("%s is never seen: net/http spells it %s", name, http.CanonicalHeaderKey(name))
		}
	}
}

// Memory that is used again holds nothing of who had it before.
func TestBlocksAreUsedAgain(t *testing.T) {
	var b blocks
	one := request{uri: "/ws/long?q", query: "q", host: "long.example", header: http.Header{"Cookie": {"a=b"}, "Origin": {"http://long.example"}}}
	other := request{uri: "/", host: "h"}
	bad := request{uri: "/", host: "h", header: http.Header{"X-A": {"\r"}}}
	gathered := func(r *request) fastcgi.Params {
		if err := b.gather(r); err != nil {
			t.Fatal(err)
		}
		return slices.Concat(b.common.params, b.own.params)
	}
	fresh := gathered(&other)
	gathered(&one)
	if again := gathered(&other); !slices.Equal(again, fresh) {
		t.Errorf("%q, at first %q", again, fresh)
	}
	if err := b.gather(&bad); err == nil {
		t.Error("a value with CR is taken")
	}
	if again := gathered(&other); !slices.Equal(again, fresh) {
		t.Errorf("after an error %q, at first %q", again, fresh)
	}
}

// An idle connection is mostly a session, and its like on the side of package
// websocket: a word more would be 32 bytes, for that is how Go allocates.
func TestSessionIsSmall(t *testing.T) {
	if size := reflect.TypeFor[session]().Size(); size > 288 {
		t.Errorf("a session takes %d bytes, want 288 at most", size)
	}
}
