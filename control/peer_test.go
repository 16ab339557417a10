package control

import (
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// callerSocket names, in its environment, the socket that the test binary is to
// call as another user; see TestMain.
const callerSocket = "WS_FPM_TEST_CALLER"

// beCaller sends a request and prints the answer.
func beCaller() (code int) {
	nc, err := net.Dial("unix", os.Getenv(callerSocket))
	if err != nil {
		os.Stdout.WriteString(err.Error())
		return 0
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(nc, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	io.Copy(os.Stdout, nc)
	return 0
}

// callAs calls the API on socket from a process of another user.
func callAs(t *testing.T, binary, socket string, who syscall.Credential) string {
	t.Helper()
	cmd := exec.Command(binary, "-test.run=^$")
	cmd.Env = []string{callerSocket + "=" + socket, "GORACE=atexit_sleep_ms=0"} // else it stays a second
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &who}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as %+v: %v: %s", who, err, out)
	}
	return string(out)
}

// publicBinary copies the test binary to where any user can run it.
func publicBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := shortDir(t) + "/caller"
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Processes of other users, on a socket that its mode leaves open to all.
func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("want root, to be other users")
	}
	if !peersKnown {
		t.Skip("this system does not say who uses a unix socket")
	}
	binary := publicBinary(t)
	const let, refused = "HTTP/1.1 200 ", "HTTP/1.1 403 "
	tests := []struct {
		name  string
		allow Allow
		mode  os.FileMode
		who   syscall.Credential
		want  string
	}{
		{"without lists the mode lets in", Allow{}, 0o666, syscall.Credential{Uid: 65534, Gid: 65534}, let},
		{"without lists the mode keeps out", Allow{}, 0o660, syscall.Credential{Uid: 65534, Gid: 65534}, "dial unix"},
		{"without lists the socket's group decides", Allow{}, 0o660, syscall.Credential{Uid: 65534, Gid: 0}, let},
		{"a user of the list", Allow{Users: []uint32{4321}}, 0o666, syscall.Credential{Uid: 4321, Gid: 65534}, let},
		{"one below it", Allow{Users: []uint32{4321}}, 0o666, syscall.Credential{Uid: 4320, Gid: 65534}, refused},
		{"one above it", Allow{Users: []uint32{4321}}, 0o666, syscall.Credential{Uid: 4322, Gid: 65534}, refused},
		{"a group of the list", Allow{Groups: []uint32{4321}}, 0o666, syscall.Credential{Uid: 65534, Gid: 4321}, let},
		{"another group", Allow{Groups: []uint32{4321}}, 0o666, syscall.Credential{Uid: 65534, Gid: 4322}, refused},
		{"a user with the number of the group", Allow{Groups: []uint32{4321}}, 0o666, syscall.Credential{Uid: 4321, Gid: 65534}, refused},
		{"root", Allow{Users: []uint32{4321}}, 0o600, syscall.Credential{}, let},
		{"root's group", Allow{Users: []uint32{4321}}, 0o666, syscall.Credential{Uid: 65534, Gid: 0}, refused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, c := on(t, "unix", func(o *Options) { o.Access.Allow = test.allow })
			if err := os.Chmod(c.addr.String(), test.mode); err != nil {
				t.Fatal(err)
			}
			got := callAs(t, binary, c.addr.String(), test.who)
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("answer %q; want %q", got, test.want)
			}
			want := map[cause]int{}
			if test.want == refused {
				want[causePeer] = 1
				if line := "uid " + itoa(int(test.who.Uid)); !strings.Contains(f.log.String(), line) {
					t.Errorf("no %s in the log %s", line, f.log)
				}
			}
			f.wantRefused(t, want)
		})
	}
}

// Users who may not come take no place of those who may.
func TestStrangersTakeNoPlaces(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture, p *pipes) {
		// A pipe says nothing of its user, so everybody is a stranger now.
		f.SetAccess(Access{Allow: Allow{Users: []uint32{4321}}})
		var open []net.Conn
		for range 16 {
			open = append(open, p.dial())
		}
		synctest.Wait()
		if n := f.count.open.Value(); n != 16 {
			t.Errorf("%d connections; want %d", n, 16)
		}
		f.wantRefused(t, nil)
		if text, _ := readUntilClosed(p.dial()); text != "" {
			t.Errorf("one above the limit got %q; want nothing", text)
		}
		f.wantRefused(t, map[cause]int{causeConnections: 1})

		f.SetAccess(Access{})
		nc := p.dial()
		io.WriteString(nc, "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if text, _ := readUntilClosed(nc); !strings.HasPrefix(text, "HTTP/1.1 200 ") {
			t.Errorf("beside strangers: %q; want 200", text)
		}
		for range 256 {
			open = append(open, p.dial())
		}
		synctest.Wait()
		if n := f.count.open.Value(); n != 16+256 {
			t.Errorf("%d connections; want %d", n, 16+256)
		}
		f.wantRefused(t, map[cause]int{causeConnections: 1})
		for _, nc := range open[1:] {
			nc.Close()
		}
		io.WriteString(open[0], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
		if text, _ := readUntilClosed(open[0]); !strings.HasPrefix(text, "HTTP/1.1 403 ") {
			t.Errorf("a stranger: %q; want 403, though lists have changed", text)
		}
	})
}

func TestGroupsOf(t *testing.T) {
	if got := groupsOf(0); !slices.Contains(got, 0) {
		t.Errorf("groupsOf(0) = %v; want root's group among them", got)
	}
	if got := groupsOf(4294967294); got != nil {
		t.Errorf("groupsOf of nobody at all = %v; want none", got)
	}
}
