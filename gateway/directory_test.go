package gateway

import (
	"slices"
	"testing"
	"time"

	"ws-fpm/hub"
	"ws-fpm/websocket"
)

// A session is found from the time it has its place until its socket is gone,
// with what PHP has bound to it.
func TestDirectory(t *testing.T) {
	g := &Gateway{}
	var err error
	if g.hub, err = hub.New[*websocket.Prepared](hub.Options{}); err != nil {
		t.Fatal(err)
	}
	since := time.UnixMilli(1234)
	s := &session{gateway: g, route: &route{prefix: "/ws"}, id: "a", since: 1234, remote: "192.0.2.1"}
	s.bound = &attributes{user: "42", list: []attribute{{"WS_ATTR_ROOM_ID", "r1"}}, channels: []string{"news"}}

	if _, ok := g.Connection("a"); ok {
		t.Error("found before it has its place")
	}
	g.hub.Join(&s.seat, s.id, s)
	got, ok := g.Connection("a")
	if !ok || got.Since != since || got.Route != "/ws" || got.User != "42" || got.RemoteAddress != "192.0.2.1" ||
		len(got.Attributes) != 1 || got.Attributes["ROOM_ID"] != "r1" || got.ID != "a" || !slices.Equal(got.Channels, []string{"news"}) {
		t.Errorf("Connection = %+v, %t", got, ok)
	}
	if g.Disconnect("a", websocket.StatusProtocolError, "") {
		t.Error("closed with a code that is not for programs")
	}
	if g.Disconnect("b", websocket.StatusNormal, "") {
		t.Error("closed an unknown connection")
	}
	g.hub.Leave(&s.seat)
	if _, ok := g.Connection("a"); ok {
		t.Error("found after its socket was gone")
	}
}
