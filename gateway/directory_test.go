package gateway

import (
	"testing"
	"time"

	"ws-fpm/websocket"
)

// A session is found from the end of its handshake until its socket is gone,
// with what PHP has bound to it.
func TestDirectory(t *testing.T) {
	g := &Gateway{}
	g.directory.sessions = map[string]*session{}
	since := time.UnixMilli(1234)
	s := &session{gateway: g, route: &route{prefix: "/ws"}, id: "a", since: since, remote: "192.0.2.1"}
	s.attributes = attributes{user: "42", list: []attribute{{"WS_ATTR_ROOM_ID", "r1"}}}

	if _, ok := g.Connection("a"); ok {
		t.Error("found before its handshake has ended")
	}
	g.directory.add(s)
	got, ok := g.Connection("a")
	if !ok || got.Since != since || got.Route != "/ws" || got.User != "42" || got.RemoteAddress != "192.0.2.1" ||
		len(got.Attributes) != 1 || got.Attributes["ROOM_ID"] != "r1" {
		t.Errorf("Connection = %+v, %t", got, ok)
	}
	if g.Disconnect("a", websocket.StatusProtocolError, "") {
		t.Error("closed with a code that is not for programs")
	}
	if g.Disconnect("b", websocket.StatusNormal, "") {
		t.Error("closed an unknown connection")
	}
	g.directory.remove(s)
	if _, ok := g.Connection("a"); ok {
		t.Error("found after its socket was gone")
	}
}
