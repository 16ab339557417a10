package fpm

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
)

// The files in a server's directory.
const (
	configFile = "fpm.conf"
	socketFile = "fpm.sock"
	tmpDir     = "tmp"
)

// accounts are those that PHP runs as when the caller is root, in the order
// of preference.
var accounts = [...]string{"www-data", "www", "_www", "apache", "nginx", "http", "nobody"}

// account is whom the workers run as; it is empty unless we are root.
type account struct {
	name     string
	uid, gid int
}

// workers gives the account of the workers for a caller with that uid.
func workers(uid int, name string) (account, error) {
	if uid != 0 {
		if name != "" {
			return account{}, fmt.Errorf("fpm: User is %q, and only root can run PHP as another user", name)
		}
		return account{}, nil
	}
	names := accounts[:]
	if name != "" {
		names = []string{name}
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil && uid != 0 {
			return account{u.Username, uid, gid}, nil
		}
	}
	return account{}, fmt.Errorf("fpm: none of the users %q exists to run PHP as, other than root", names)
}

// makeDir makes the server's directory in parent. Root's can be crossed by the
// workers, who run as somebody else and have their temporary files in it; the
// socket's own mode keeps others out of that.
func makeDir(parent string, as account) (dir string, err error) {
	dir, err = os.MkdirTemp(parent, "ws-fpm-")
	if err != nil {
		return "", fmt.Errorf("fpm: making a directory: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
			dir, err = "", fmt.Errorf("fpm: making a directory: %w", err)
		}
	}()
	if dir, err = filepath.Abs(dir); err != nil {
		return dir, err
	}
	tmp := filepath.Join(dir, tmpDir)
	if err := os.Mkdir(tmp, 0o700); err != nil || as.name == "" {
		return dir, err
	}
	return dir, errors.Join(os.Chmod(dir, 0o711), os.Chown(tmp, as.uid, as.gid))
}

// parentDir is where the server's directory is made by default: the system's
// place, unless a socket's path would not fit there (as under macOS at times).
func parentDir() string {
	const name = "/ws-fpm-0123456789/" + socketFile
	if tmp := os.TempDir(); len(tmp)+len(name) <= maxSocketPath() {
		return tmp
	}
	return "/tmp"
}

// maxSocketPath is the longest path of a unix socket, in bytes. php-fpm cuts
// a longer one silently.
func maxSocketPath() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// listenAddress reads Options.Listen for a server with that directory.
func listenAddress(listen, dir string) (network, address string, err error) {
	if listen == "" {
		listen = filepath.Join(dir, socketFile)
	}
	if filepath.IsAbs(listen) {
		if limit := maxSocketPath(); len(listen) > limit {
			return "", "", fmt.Errorf("fpm: the socket's path has %d bytes, at most %d are possible: %s", len(listen), limit, listen)
		}
		return "unix", listen, nil
	}
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return "", "", fmt.Errorf("fpm: Listen is %q, want an absolute path or an IP address and port", listen)
	}
	if addr.Port() != 0 {
		return "tcp", addr.String(), nil
	}
	// php-fpm can't say which port the system picked, so we pick one. Should
	// somebody else take it before php-fpm does, php-fpm says so and ends.
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return "", "", fmt.Errorf("fpm: picking a port: %w", err)
	}
	defer l.Close()
	return "tcp", l.Addr().String(), nil
}
