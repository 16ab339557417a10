package integration_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckCall: what is asked for on the command line is what a script sees of
// a client, and what comes of its answer is said.
func TestCheckCall(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	f.write("call.php", `<?php
if ($_SERVER['WS_EVENT'] === 'connect' && isset($_GET['user'])) {
	header('WS-Accept: yes');
	header('WS-User: ' . $_GET['user']);
}
echo $_SERVER['REQUEST_URI'], ' ', file_get_contents('php://input');
`)
	conf := filepath.Join(t.TempDir(), "ws-fpm.conf")
	writeFile(t, conf, f.config("", "/ws call.php\nevents = connect, message"))
	for _, test := range []struct {
		name string
		call []string
		ok   bool
		want []string
	}{
		{"a message", []string{"/ws", "message", "hi"}, true, []string{"\n/ws hi\n", "=> send the body as a text message of 6 bytes"}},
		{"a connect with a query", []string{"/ws?user=7&b=%20", "connect"}, true, []string{"\n/ws?user=7&b=%20 \n", "=> let the client in\n=> bind the user \"7\"\n"}},
		{"a connect without", []string{"/ws", "connect"}, false, []string{"=> refuse the client with 403", "ws-fpm: route /ws would not let this client in"}},
		{"an event of another route", []string{"/ws", "disconnect"}, true, []string{"=> never but by this call: events = connect, message asks for no disconnect"}},
		{"a route that is not there", []string{"/chat", "message"}, false, []string{`ws-fpm: gateway: no route "/chat"; there is /ws`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := exec.Command(buildBinary(t), append([]string{"check", "-config", conf, "-call"}, test.call...)...).CombinedOutput()
			if (err == nil) != test.ok {
				t.Errorf("check: %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("check says\n%s\nwant %q in it", out, want)
				}
			}
		})
	}
}
