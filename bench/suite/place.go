//go:build linux

package suite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A place is where one gateway and its php-fpm, or the stub in its stead, run:
// each gateway has its own, so that connections that one of them keeps are not
// in another's way.
type place struct {
	dir     string
	listen  string // host:port of the gateway
	php     string // php-fpm's unix socket
	script  string
	conns   int    // connections to php-fpm, and its children
	control string // unix socket of the control API
	tools
}

// tools are the programs that the suite needs; what was not found is empty.
type tools struct {
	self  string // this program
	root  string // of the repository
	wsfpm string
	golang,
	node,
	nginx,
	fpm string
}

// A running gateway.
type running struct {
	place
	target       Target
	gateway, php *child
}

func (r *running) stop() {
	if r.gateway != nil {
		r.gateway.stop()
	}
	if r.php != nil {
		r.php.stop()
	}
	os.RemoveAll(r.dir)
}

// open starts a target against a backend, stub or php-fpm.
func (n *nursery) open(ctx context.Context, t Target, backend string, tools tools, conns int) (*running, error) {
	dir, err := os.MkdirTemp(n.dir, t.Key+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers are another user
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &running{target: t, place: place{dir: dir, listen: "127.0.0.1:" + strconv.Itoa(port), conns: conns, tools: tools,
		php: filepath.Join(dir, "php.sock"), script: filepath.Join(dir, "ws.php"), control: filepath.Join(dir, "control.sock")}}
	if err = r.startPHP(ctx, n, t, backend); err == nil {
		err = r.startGateway(ctx, n, t, backend)
	}
	if err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *running) startPHP(ctx context.Context, n *nursery, t Target, backend string) error {
	argv := []string{r.self, "stub", "-listen", "unix:" + r.place.php}
	for _, line := range t.lines {
		argv = append(argv, "-line", line)
	}
	if backend == "php-fpm" {
		if r.fpm == "" {
			return errors.New("there is no php-fpm")
		}
		if err := os.WriteFile(r.script, []byte("<?php echo file_get_contents('php://input');\n"), 0o644); err != nil {
			return err
		}
		conf := filepath.Join(r.dir, "fpm.conf")
		text := fmt.Sprintf("[global]\nerror_log = /dev/stderr\ndaemonize = no\n[www]\nlisten = %s\nlisten.mode = 0666\npm = static\npm.max_children = %d\n", r.place.php, r.conns)
		argv = []string{r.fpm, "-F", "-y", conf}
		if os.Getuid() == 0 {
			text += "user = nobody\ngroup = " + groupOfNobody() + "\n"
		}
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			return err
		}
	}
	var err error
	if r.php, err = n.run(backend+" for "+t.Key, argv...); err != nil {
		return err
	}
	return r.php.ready(ctx, func() bool {
		return connects("unix", r.place.php) && os.Chmod(r.place.php, 0o666) == nil
	})
}

func (r *running) startGateway(ctx context.Context, n *nursery, t Target, backend string) error {
	argv, err := t.command(r.place)
	if err != nil {
		return err
	}
	if r.gateway, err = n.run(t.Key+" on "+backend, argv...); err != nil {
		return err
	}
	if err := r.gateway.ready(ctx, func() bool { return connects("tcp", r.listen) }); err != nil {
		return err
	}
	select { // nchan's processes do not know one another at once
	case <-ctx.Done():
	case <-time.After(t.settle):
	}
	return context.Cause(ctx)
}

func connects(network, address string) bool {
	c, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func groupOfNobody() string {
	b, _ := os.ReadFile("/etc/group")
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "nogroup:") {
			return "nogroup"
		}
	}
	return "nobody"
}
