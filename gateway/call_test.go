package gateway

import (
	"context"
	"slices"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
)

func TestCall(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{
		{Prefix: "/ws", Script: "/ws.php", Backend: b.client},
		{Prefix: "/all", Script: "/all.php", Backend: b.client, Events: []string{"connect", "message", "disconnect"}},
		{Prefix: "/who", Script: "/who.php", Backend: b.client, Events: []string{"connect"}},
	}})
	for _, test := range []struct {
		name, target, event, body string
		answer                    string
		first                     string // effect
		failed                    bool
		err                       string
	}{
		{name: "a message", target: "/ws", event: "message", body: "hi", answer: "hi", first: "send the body as a text message of 2 bytes"},
		{name: "without a query", target: "/ws", event: "message", body: "param REQUEST_URI", answer: "/ws", first: "send the body"},
		{name: "with a query", target: "/ws?user=7&x=%2f", event: "message", body: "param REQUEST_URI", answer: "/ws?user=7&x=%2f", first: "send the body"},
		{name: "an event that the route does not ask for", target: "/ws", event: "connect", first: "never but by this call: events = message asks for no connect", failed: true},
		{name: "a start that no event brings", target: "/ws", event: "start", first: "never but by this call: events = message asks for no start"},
		{name: "a start that connect brings", target: "/who", event: "start", first: "nothing: nobody is left to hear it"},
		{name: "a message that the route does not ask for", target: "/who", event: "message", body: "hi", answer: "hi", first: "never but by this call: events = connect asks for no message"},
		{name: "an event that the route asks for", target: "/all", event: "connect", first: "refuse the client with 403", failed: true},
		{name: "a status that is an error", target: "/ws", event: "message", body: "status 500 no", answer: "no", first: "backend_failed", failed: true},
		{name: "no such route", target: "/wsx", event: "message", err: `no route "/wsx"; there is /all, /who, /ws`},
		{name: "no such route, with a query", target: "/wsx?a=/ws", event: "message", err: `no route "/wsx"`},
		{name: "no such event", target: "/ws", event: "open", err: `no event "open"; want connect`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := g.Call(context.Background(), test.target, test.event, []byte(test.body))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("Call = %v; want %q in it", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body) != test.answer || r.Failed != test.failed || len(r.Effects) == 0 || !strings.HasPrefix(r.Effects[0], test.first) {
				t.Errorf("Call = %q, %q, failed %v; want %q, %q, %v", r.Body, r.Effects, r.Failed, test.answer, test.first, test.failed)
			}
		})
	}
}

// What is said of a connect is what a client would meet.
func TestCallOfConnect(t *testing.T) {
	yes := fastcgi.Field{Name: "WS-Accept", Value: "yes"}
	for _, test := range []struct {
		name   string
		status int
		header fastcgi.Header
		want   []string
		failed bool
	}{
		{"let in", 200, fastcgi.Header{yes}, []string{"let the client in", "send nothing"}, false},
		{"refused by its status", 401, fastcgi.Header{yes}, []string{"refuse the client with 401 and this body"}, true},
		{"not let in", 200, nil, []string{"refuse the client with 403: the reply has no WS-Accept: yes"}, true},
		{"a reply that breaks its rules", 200, fastcgi.Header{yes, {Name: "WS-Subscribe", Value: "a b"}}, []string{"refuse the client with 502: bad_reply (WS-Subscribe: want names of channels)"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &Report{Status: test.status, Header: test.header}
			got := new(session).effects(eventConnect, r)
			if !slices.Equal(got, test.want) || r.Failed != test.failed {
				t.Errorf("effects = %q, failed %v; want %q, %v", got, r.Failed, test.want, test.failed)
			}
		})
	}
}
