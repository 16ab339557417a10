package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecrets: what a client says in confidence is in no log, even at debug, in
// no metric, and in neither the arguments nor the environment of the program:
// cookies, the query, the subprotocols it offers, Authorization, payloads. That
// goes for clients that are served and for those that are refused or fail.
func TestSecrets(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("log_level = debug", "", ""))
	const marker = "SeCrEt"
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

	proc := fmt.Sprintf("/proc/%d/", g.cmd.Process.Pid)
	for _, file := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(filepath.Join(proc, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), marker) {
			t.Errorf("%s has a secret", file)
		}
	}
	g.signal(syscall.SIGUSR1)
	g.stop()
	log := g.log()
	if len(log) < 50 {
		t.Errorf("%d lines of log, the metrics among them: too few to prove anything", len(log))
	}
	for _, line := range log {
		if strings.Contains(strings.ToLower(line), strings.ToLower(marker)) {
			t.Errorf("the log tells a secret: %s", line)
		}
	}
}
