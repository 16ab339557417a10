package integration_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// An away is a network of its own, behind a cable that can be pulled.
type away struct {
	t                 testing.TB
	name              string
	home, there       string // addresses of the two ends
	here, back        string // devices
	namespace, origin *os.File
}

// newAway makes one, or says why that is not possible: it takes root, and the
// program ip.
func newAway(t testing.TB) (*away, error) {
	t.Helper()
	var b [2]byte
	rand.Read(b[:])
	id := fmt.Sprintf("wsf%02x%02x", b[0], b[1])
	net := fmt.Sprintf("198.18.%d.", b[0])
	w := &away{t: t, name: id, here: id + "a", back: id + "b", home: net + "1", there: net + "2"}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", id).Run() })
	for _, args := range [][]string{
		{"netns", "add", id},
		{"link", "add", w.here, "type", "veth", "peer", "name", w.back, "netns", id},
		{"addr", "add", w.home + "/24", "dev", w.here},
		{"link", "set", w.here, "up"},
		{"-n", id, "addr", "add", w.there + "/24", "dev", w.back},
		{"-n", id, "link", "set", w.back, "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	var err error
	if w.namespace, err = os.Open("/run/netns/" + id); err != nil {
		return nil, err
	}
	t.Cleanup(func() { w.namespace.Close() })
	if w.origin, err = os.Open("/proc/self/ns/net"); err != nil {
		return nil, err
	}
	t.Cleanup(func() { w.origin.Close() })
	return w, nil
}

// setnsCall is the number of setns(2), which package syscall does not have.
var setnsCall = map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]

// dial connects from there to an address at home.
func (w *away) dial(address string) (net.Conn, error) {
	runtime.LockOSThread() // a namespace is a thread's
	if err := enter(w.namespace); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	conn, err := net.Dial("tcp", address)
	if back := enter(w.origin); back != nil {
		return nil, back // and the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return conn, err
}

func enter(namespace *os.File) error {
	if setnsCall == 0 {
		return fmt.Errorf("setns is not known for %s", runtime.GOARCH)
	}
	if _, _, e := syscall.Syscall(setnsCall, namespace.Fd(), syscall.CLONE_NEWNET, 0); e != 0 {
		return fmt.Errorf("setns: %w", e)
	}
	return nil
}

// pull pulls the cable: packets are lost, and nobody is told.
func (w *away) pull() {
	w.t.Helper()
	if out, err := exec.Command("ip", "-n", w.name, "link", "set", w.back, "down").CombinedOutput(); err != nil {
		w.t.Fatalf("ip link set down: %v: %s", err, out)
	}
}
