package integration_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecrets: what a client says in confidence is in no log, even at debug, in
// no metric, and in neither the arguments nor the environment of the program:
// cookies, the query, the subprotocols it offers, Authorization, payloads. That
// goes for clients that are served and for those that are refused or fail. Nor
// is what is pushed there, the control API's token, a wrong one, or what is in
// files that a reload cannot use.
func TestSecrets(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	const marker = "SeCrEt"
	token, api := marker+strings.Repeat("token", 8), freeAddress(t)
	if err := os.WriteFile(f.file("token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, f.dir)
	key := strings.Split(readFile(t, f.file("key.pem")), "\n")[1]
	conf := f.write("ws-fpm.conf", f.eventsConfig("log_level = debug", "", "")+"[listen tls]\naddress = 127.0.0.1:0\ntls_cert = "+f.file("cert.pem")+
		"\ntls_key = "+f.file("key.pem")+"\n[control]\nlisten = "+api+"\ntoken_file = "+f.file("token")+"\n")
	g := attachGateway(t, exec.Command(buildBinary(t), "serve", "-config", conf), 2)
	t.Cleanup(g.wantCleanLog)
	secrets := []string{marker, key}
	tells := func(where, text string) {
		t.Helper()
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("%s tells a secret: %.300s", where, text)
			}
		}
	}
	confident := func(path string, lines ...string) handshake {
		return g.at(path, append(lines, "Cookie: session="+marker+"cookie", "Authorization: Bearer "+marker+"auth",
			"Sec-WebSocket-Protocol: "+marker+"subprotocol")...)
	}
	allowed := "/ws?token=" + marker + "query&" + strings.TrimPrefix(orders("accept"), "/ws?")

	c := dial(t, confident(allowed))
	c.order(t, "body "+marker+"answer")
	c.wantText(t, marker+"answer")
	c.order(t, "status 500", "body "+marker+"failed")
	c.wantWord(t, "backend_failed")
	c.order(t, "header WS-Close: nonsense", "body "+marker+"bad")
	c.wantWord(t, "bad_reply")
	if err := c.send(frame{fin: true, op: opText, payload: []byte(marker + "\xff")}); err != nil {
		t.Fatal(err)
	}
	c.wantClose(t, 1007)

	refused(t, confident("/ws?token="+marker+"&"+strings.TrimPrefix(orders("status 401", "body "+marker), "/ws?")))
	refused(t, confident("/nowhere?token="+marker))
	refused(t, confident("/ws?token="+marker, "Origin: https://elsewhere.example"))
	refused(t, confident("/ws?token="+marker, "Sec-WebSocket-Version: 8"))
	f.disconnects(t, 5*time.Second, 1)

	// Bytes that are no request, in the clear and where TLS is spoken.
	for _, address := range g.addresses {
		conn, err := dialRaw(address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /%s BAD\r\n%s: %s\r\n\r\n", marker, marker, marker)
		conn.SetReadDeadline(time.Now().Add(clientTimeout))
		io.Copy(io.Discard, conn)
		conn.Close()
	}

	listener := dial(t, confident("/ws?"+strings.TrimPrefix(orders("accept", "header WS-Subscribe: room"), "/ws?")))
	id := listener.params(t, "WS_CONNECTION_ID")["WS_CONNECTION_ID"]
	for _, value := range listener.params(t, "WS_API") {
		tells("WS_API", value)
	}
	call := func(method, path, body, authorization string) (status int, answer string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+api+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", authorization)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	bearer := "Bearer " + token
	for _, path := range []string{"/channels/room", "/connections/" + id} {
		if status, answer := call("POST", path, marker+" pushed", bearer); status/100 != 2 {
			t.Errorf("a push to %s: %d %s", path, status, answer)
		}
		listener.wantText(t, marker+" pushed")
	}
	call("POST", "/connections/"+id, marker, "Bearer "+marker+strings.Repeat("wrong", 8))
	call("GET", "/metrics?token="+token, "", "")
	call("POST", "/channels/room?exclude="+marker, marker, bearer)
	_, metrics := call("GET", "/metrics", "", bearer)
	if !strings.Contains(metrics, "ws_fpm_connections ") {
		t.Errorf("no metrics: %.300s", metrics)
	}
	tells("/metrics", metrics)
	_, shown := call("GET", "/connections/"+id, "", bearer)
	tells("/connections", shown)

	// Reloads: a good one, and two of files that hold something else.
	g.signal(syscall.SIGHUP)
	eventually(t, 5*time.Second, "a reload", func() bool { return g.logged(0, "msg=reloaded") == 1 })
	for n, spoil := range []string{"key.pem", "token"} {
		if err := os.WriteFile(f.file(spoil), []byte(marker+" is too short"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.signal(syscall.SIGHUP)
		eventually(t, 5*time.Second, "a reload that is refused for "+spoil, func() bool { return g.logged(0, "reload refused") > n })
	}

	proc := fmt.Sprintf("/proc/%d/", g.cmd.Process.Pid)
	for _, file := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(filepath.Join(proc, file))
		if err != nil {
			t.Fatal(err)
		}
		tells(file, string(b))
	}
	listener.conn.Close()
	g.signal(syscall.SIGUSR1)
	g.stop()
	log := g.log()
	if len(log) < 50 {
		t.Errorf("%d lines of log, the metrics among them: too few to prove anything", len(log))
	}
	for _, line := range log {
		tells("the log", line)
	}
}
