package integration_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// update renews what the decoder's tests know of real clients:
//
//	go test ./integration_test -run TestInterop -update
var update = flag.Bool("update", false, "record what real clients send in websocket/testdata")

// interopSizes are around the borders of the three forms of a length.
var interopSizes = []string{"0", "125", "126", "65535", "65536", "1048576"}

// Four implementations that others wrote get along with the gateway: each sends
// text and binary of every size and compares what comes back; pings, and
// answers the server's pings; sends a message in fragments where it can; closes
// with a code of its own, is closed with one, and closes as usual.
func TestInterop(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		run     func(t *testing.T, address string, sizes []string) []string
		without []string // what its interface has no means for
	}{
		{"python", interopPython, nil},
		{"node", interopNode, nil},
		{"libwebsockets", interopC, nil},
		{"chromium", interopChromium, []string{"fragments", "ping"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, g := serving(t, "ping = 500ms", "interop.php\nmax_message = 2M\norigins = *")
			address, sizes := g.addresses[0], interopSizes
			if *update {
				sizes = []string{"0", "125", "126", "65536"}
				var save func(name string)
				address, save = record(t, address)
				defer save("../websocket/testdata/client_" + test.name + ".hex")
			}
			var want []string
			for _, size := range sizes {
				want = append(want, "text "+size, "binary "+size)
			}
			want = append(want, "fragments", "ping", "pong", "close 4001", "closed 4002", "close 1000")
			want = slices.DeleteFunc(want, func(s string) bool { return slices.Contains(test.without, s) })
			said := test.run(t, address, sizes)
			if len(said) == 0 || !slices.Equal(said[1:], want) {
				t.Errorf("it exercised %q, want a version and %q", said, want)
			}
			t.Logf("%s: %s", said[0], strings.Join(said[1:], ", "))
		})
	}
}

// interopRun runs a client that says what it exercised.
func interopRun(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil || errors.Len() > 0 {
		t.Fatalf("%v: %v\n%s\n%s", cmd, err, out, errors.Bytes())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func interopPython(t *testing.T, address string, sizes []string) []string {
	return runPython(t, address, sizes, "plain")
}

func runPython(t *testing.T, address string, sizes []string, how string) []string {
	return interopRun(t, exec.Command(requirePython(t), "testdata/interop.py", "ws://"+address+"/ws", strings.Join(sizes, ","), how))
}

func interopNode(t *testing.T, address string, sizes []string) []string {
	return runNode(t, address, sizes, "plain")
}

// Node finds ws where Debian's package puts it, or wherever NODE_PATH says.
func runNode(t *testing.T, address string, sizes []string, how string) []string {
	node := requireProgram(t, "nodejs node-ws", "node", "nodejs")
	env := append(os.Environ(), "NODE_PATH="+os.Getenv("NODE_PATH")+":/usr/share/nodejs")
	probe := exec.Command(node, "-e", "require('ws')")
	probe.Env = env
	if probe.Run() != nil {
		missing(t, "Node's ws is not installed: apt-get install node-ws")
	}
	cmd := exec.Command(node, "testdata/interop.js", "ws://"+address+"/ws", strings.Join(sizes, ","), how)
	cmd.Env = env
	return interopRun(t, cmd)
}

func interopC(t *testing.T, address string, sizes []string) []string {
	cc := requireProgram(t, "gcc libc6-dev", "cc", "gcc", "clang")
	program := filepath.Join(t.TempDir(), "interop")
	if exec.Command(cc, "-include", "libwebsockets.h", "-E", "-o", os.DevNull, "-x", "c", os.DevNull).Run() != nil {
		missing(t, "libwebsockets is not installed: apt-get install libwebsockets-dev")
	}
	out, err := exec.Command(cc, "-Wall", "-o", program, "testdata/interop.c", "-lwebsockets").CombinedOutput()
	if err != nil {
		t.Fatalf("compiling interop.c: %v\n%s", err, out)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return interopRun(t, exec.Command(program, host, port, "/ws", strings.Join(sizes, ",")))
}

func interopChromium(t *testing.T, address string, sizes []string) []string {
	b := startBrowser(t)
	script, err := os.ReadFile("testdata/interop.html.js")
	if err != nil {
		t.Fatal(err)
	}
	var version struct{ Product string }
	b.call("Browser.getVersion", nil, &version)
	var said []string
	b.eval(fmt.Sprintf("(%s)(%s, [%s])", script, quote("ws://"+address+"/ws"), strings.Join(sizes, ",")), &said)
	return append([]string{"version " + version.Product}, said...)
}

// record stands before a server and keeps what the first client to come says
// behind its handshake. save writes that to a file.
func record(t *testing.T, server string) (address string, save func(name string)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var kept bytes.Buffer
	var all sync.WaitGroup
	first := true
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			var into io.Writer = io.Discard
			if first {
				into, first = &kept, false
			}
			all.Go(func() { relay(client, server, into, io.Discard) })
		}
	})
	return l.Addr().String(), func(name string) {
		l.Close()
		all.Wait()
		_, said, _ := bytes.Cut(kept.Bytes(), []byte("\r\n\r\n"))
		if err := os.WriteFile(name, hexLines(said), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// relay carries bytes both ways until both ways have ended, those of the client
// into a copy too, and those of the server into another.
func relay(client net.Conn, server string, into, from io.Writer) {
	defer client.Close()
	back, err := dialRaw(server)
	if err != nil {
		return
	}
	defer back.Close()
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(io.MultiWriter(back, into), client)
		back.(*net.TCPConn).CloseWrite()
	})
	io.Copy(io.MultiWriter(client, from), back)
	client.(*net.TCPConn).CloseWrite()
	up.Wait()
}

// hexLines writes b as 16 bytes in hex to a line, where *n behind a line says
// that there are n of it.
func hexLines(b []byte) []byte {
	var out bytes.Buffer
	out.WriteString("# what a client sent after its handshake\n")
	for len(b) > 0 {
		line := b[:min(16, len(b))]
		n := 0
		for bytes.HasPrefix(b, line) {
			b = b[len(line):]
			n++
		}
		out.WriteString(hex.EncodeToString(line))
		if n > 1 {
			fmt.Fprintf(&out, " *%d", n)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}
