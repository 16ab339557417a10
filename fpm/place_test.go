package fpm

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenAddress(t *testing.T) {
	long := "/" + strings.Repeat("x", maxSocketPath()-1)
	for _, test := range []struct{ name, listen, network, address, want string }{
		{"nothing said", "", "unix", "/dir/fpm.sock", ""},
		{"a socket", "/run/x.sock", "unix", "/run/x.sock", ""},
		{"the longest socket", long, "unix", long, ""},
		{"a socket too long", long + "x", "", "", "at most"},
		{"an IPv4 address", "127.0.0.1:9000", "tcp", "127.0.0.1:9000", ""},
		{"an IPv6 address", "[::1]:9000", "tcp", "[::1]:9000", ""},
		{"a relative path", "fpm.sock", "", "", "want an absolute path"},
		{"a port alone", ":9000", "", "", "want an absolute path"},
		{"a name", "localhost:9000", "", "", "want an absolute path"},
	} {
		network, address, err := listenAddress(test.listen, "/dir")
		if network != test.network || address != test.address || (err == nil) != (test.want == "") || !strings.Contains(errorText(err), test.want) {
			t.Errorf("%s: listenAddress(%q) = %q, %q, %v", test.name, test.listen, network, address, err)
		}
	}
	network, address, err := listenAddress("127.0.0.1:0", "/dir")
	if _, port, _ := net.SplitHostPort(address); network != "tcp" || err != nil || port == "0" {
		t.Errorf("listenAddress(127.0.0.1:0) = %q, %q, %v; want a port", network, address, err)
	}
}

func TestParentDirLeavesRoomForASocket(t *testing.T) {
	for _, test := range []struct {
		name string
		len  int
		want bool // that the system's place is used
	}{
		{"a short path", 20, true},
		{"the longest that fits", maxSocketPath() - len("/ws-fpm-0123456789/fpm.sock"), true},
		{"one byte more", maxSocketPath() - len("/ws-fpm-0123456789/fpm.sock") + 1, false},
	} {
		tmp := "/" + strings.Repeat("x", test.len-1)
		t.Setenv("TMPDIR", tmp)
		if got := parentDir(); (got == tmp) != test.want || got != tmp && got != "/tmp" {
			t.Errorf("%s: parentDir() = %s", test.name, got)
		}
	}
}

func TestWorkers(t *testing.T) {
	if as, err := workers(1000, ""); as != (account{}) || err != nil {
		t.Errorf("workers of an ordinary user = %v, %v; want none named", as, err)
	}
	if _, err := workers(1000, "nobody"); err == nil {
		t.Error("workers lets an ordinary user run PHP as somebody else")
	}
	if as, err := workers(0, ""); err != nil || as.uid == 0 || as.name == "" {
		t.Errorf("workers of root = %v, %v", as, err)
	}
	for _, name := range []string{"root", "no such user"} {
		if as, err := workers(0, name); err == nil {
			t.Errorf("workers(0, %q) = %v, want an error", name, as)
		}
	}
}

func TestMakeDir(t *testing.T) {
	parent := t.TempDir()
	dir, err := makeDir(parent, account{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, tmpDir)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want mode 0700", path, info, err)
		}
	}
	if os.Geteuid() == 0 {
		dir, err := makeDir(parent, account{"x", 12345, 12345})
		info, errStat := os.Stat(dir)
		if err != nil || errStat != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("makeDir for another user = %v, %v, %v; want mode 0711", info, err, errStat)
		}
	}
	if dir, err := makeDir(filepath.Join(parent, "none"), account{}); err == nil || dir != "" {
		t.Errorf("makeDir in a directory that is not there = %q, %v", dir, err)
	}
}

func TestEnvironmentHoldsNoSecret(t *testing.T) {
	t.Setenv("WS_FPM_TOKEN", "secret")
	t.Setenv("LANG", "C.UTF-8")
	t.Setenv("HOME", "") // puts it back afterwards
	os.Unsetenv("HOME")
	t.Setenv("PATH", "/bin")
	got := strings.Join(environment("/t"), " ")
	if want := "TMPDIR=/t PATH=/bin LANG=C.UTF-8"; got != want {
		t.Errorf("environment = %q, want %q", got, want)
	}
}
