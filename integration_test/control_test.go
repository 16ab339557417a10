package integration_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestControl: the control API shows a connection with what PHP has bound to
// it, closes it as PHP would, and tells how php-fpm is.
func TestControl(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	socket := filepath.Join(f.dir, "control")
	g := startGateway(t, f.eventsConfig("", "", "")+"[control]\nlisten = "+socket+"\n")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	call := func(method, path string, wantStatus int, wantBody string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://control"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != wantStatus || !strings.Contains(string(body), wantBody) {
			t.Errorf("%s %s = %d %.300s, %v; want %d with %q", method, path, res.StatusCode, body, err, wantStatus, wantBody)
		}
	}
	c := dial(t, g.at(orders("accept", "header WS-User: 42", "header WS-Set-Room-Id: r1")))
	id := c.id(t)

	call("GET", "/connections/"+id, 200, `"user":"42","attributes":{"ROOM_ID":"r1"}`)
	call("GET", "/metrics", 200, "ws_fpm_connections 1\n")
	call("GET", "/readyz", 200, "")
	call("DELETE", "/connections/"+id+"?code=1002", 400, "code")
	call("DELETE", "/connections/"+id+"?code=4009&reason=kicked", 204, "")
	if reason := c.wantClose(t, 4009); reason != "kicked" {
		t.Errorf("closed with reason %q", reason)
	}
	told := f.disconnects(t, 5*time.Second, 1)[id]
	if told.Params["WS_CLOSE_CODE"] != "4009" || told.Params["WS_CLOSE_BY"] != "server" {
		t.Errorf("PHP was told %v", told.Params)
	}
	call("DELETE", "/connections/"+id, 410, "error")
	call("GET", "/metrics", 200, "ws_fpm_connections 0\n")

	f.stop(syscall.SIGTERM)
	if res, _ := refused(t, g.at("/ws")); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a client while php-fpm is down: %d, %v", res.StatusCode, res.Header)
	}
	call("GET", "/readyz", 503, "pool default")
	call("GET", "/healthz", 200, "")
}
