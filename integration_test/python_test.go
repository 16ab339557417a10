package integration_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestGatewayPython: a client library that others wrote gets along with the
// gateway: messages of many sizes, fragments, a ping, the closing handshake.
func TestGatewayPython(t *testing.T) {
	t.Parallel()
	python := requirePython(t)
	_, g := serving(t, "", "mirror.php")
	out, err := exec.Command(python, "testdata/client.py", "ws://"+g.addresses[0]+"/ws", "200").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "closed 1000" {
		t.Errorf("%v\n%s", err, out)
	}
	g.wantMetrics(series{`ws_fpm_messages_received_total`: 201, `ws_fpm_closes_total{code="1000"}`: 1})
}

// requirePython finds a Python that has the websockets library: the system's,
// for Debian's package is not for any other.
func requirePython(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", requireProgram(t, "python3", "python3")} {
		if exec.Command(path, "-c", "import websockets").Run() == nil {
			return path
		}
	}
	missing(t, "Python's websockets library is not installed: apt-get install python3-websockets")
	return ""
}
