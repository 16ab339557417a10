package main

import (
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ws-fpm/config"
)

// value finds the first value of a key in the file of a php-fpm pool, nginx or
// compose, by a pattern with one group.
func value(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s in\n%s", pattern, text)
	}
	return found[1]
}

// loadShipped reads a configuration of deploy/.
func loadShipped(t *testing.T, file string) *config.Config {
	t.Helper()
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantPool checks that the shipped pool is the one that a configuration names,
// with a child more than ws-fpm has connections.
func wantPool(t *testing.T, c *config.Config) {
	t.Helper()
	pool := readFile(t, "deploy/php-fpm-ws.conf")
	if got := value(t, pool, `^listen = (.*)$`); got != c.Pools[0].Address {
		t.Errorf("php-fpm listens on %s, ws-fpm connects to %s", got, c.Pools[0].Address)
	}
	children, err := strconv.Atoi(value(t, pool, `^pm.max_children = (\d+)$`))
	if err != nil || children <= c.Pools[0].MaxConns {
		t.Errorf("%d children, %v, for %d connections; want more", children, err, c.Pools[0].MaxConns)
	}
}

// wantLocation checks that nginx hands a configuration's route to its listener,
// and waits for longer than the pings are apart.
func wantLocation(t *testing.T, location, host string, c *config.Config) {
	t.Helper()
	_, port, err := net.SplitHostPort(c.Listeners[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := value(t, location, `proxy_pass http://(.*);`), net.JoinHostPort(host, port); got != want {
		t.Errorf("nginx passes on to %s, want %s", got, want)
	}
	if got, want := value(t, location, `location (.*) \{`), c.Routes[0].Prefix; got != want {
		t.Errorf("nginx has the location %s, ws-fpm the route %s", got, want)
	}
	for _, name := range []string{"proxy_read_timeout", "proxy_send_timeout"} {
		wait, err := time.ParseDuration(value(t, location, name+` (.*);`))
		if err != nil || wait < 2*(c.Ping+c.Pong) {
			t.Errorf("%s %v, %v; want twice what a ping and its pong may take, %v", name, wait, err, c.Ping+c.Pong)
		}
	}
}

// TestShippedFilesAgree: what is in deploy/ for one server fits together.
func TestShippedFilesAgree(t *testing.T) {
	c := loadShipped(t, "deploy/ws-fpm.conf")
	wantPool(t, c)
	wantLocation(t, readFile(t, "deploy/nginx.conf"), "127.0.0.1", c)
	if !slices.ContainsFunc(c.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr("127.0.0.1")) }) {
		t.Error("nginx on this machine is not trusted")
	}
	service := settings(t, "deploy/ws-fpm.service")
	if !strings.HasSuffix(service["ExecStart"], "-config /etc/ws-fpm/ws-fpm.conf") {
		t.Errorf("ExecStart=%s", service["ExecStart"])
	}
	if got, want := service["Group"], value(t, readFile(t, "deploy/php-fpm-ws.conf"), `^listen.group = (.*)$`); got != want {
		t.Errorf("the unit's group is %s, the socket's %s", got, want)
	}
}

// composeService is the part of compose.yaml that belongs to a service.
func composeService(t *testing.T, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(readFile(t, "compose.yaml"), "\n  "+name+":\n")
	if !found {
		t.Fatalf("compose.yaml has no service %s", name)
	}
	var b strings.Builder
	for line := range strings.Lines(rest) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "    ") {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// mounts maps a service's paths to the files and volumes that are there.
func mounts(t *testing.T, service string) map[string]string {
	t.Helper()
	at := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^      - ([^:\n]+):(/[^:\n]+)(:ro)?$`).FindAllStringSubmatch(composeService(t, service), -1) {
		at[m[2]] = m[1]
		if strings.HasPrefix(m[1], "./") {
			if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil {
				t.Errorf("%s: %v", service, err)
			}
			if m[3] != ":ro" {
				t.Errorf("%s may write to %s", service, m[1])
			}
		}
	}
	return at
}

// TestDockerAgrees: image, compose.yaml and what it mounts fit together.
func TestDockerAgrees(t *testing.T) {
	const conf = "/etc/ws-fpm/ws-fpm.conf"
	c := loadShipped(t, "deploy/docker/ws-fpm.conf")
	wantPool(t, c)

	docker := readFile(t, "Dockerfile")
	image := docker[strings.LastIndex(docker, "\nFROM "):]
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"/ws-fpm\"]\n",
		"\nCMD [\"serve\", \"-config\", \"" + conf + "\"]\n", " CMD [\"/ws-fpm\", \"health\", \"-config\", \"" + conf + "\"]\n"} {
		if !strings.Contains(image, want) {
			t.Errorf("the image lacks %q", want)
		}
	}
	patience, err := time.ParseDuration(value(t, image, `^HEALTHCHECK .*--timeout=(\S+)`))
	if err != nil || patience <= healthTimeout {
		t.Errorf("the check may take %v, %v; ws-fpm health itself takes %v", patience, err, healthTimeout)
	}

	ours, php, front := mounts(t, "ws-fpm"), mounts(t, "php"), mounts(t, "nginx")
	if ours[conf] != "./deploy/docker/ws-fpm.conf" {
		t.Errorf("%s is %q", conf, ours[conf])
	}
	if dir := path.Dir(c.Pools[0].Address); ours[dir] == "" || ours[dir] != php[dir] {
		t.Errorf("%s is %q for ws-fpm and %q for php-fpm", dir, ours[dir], php[dir])
	}
	if script := c.Routes[0].Script; php[path.Dir(script)] == "" {
		t.Errorf("%s is not there for php-fpm", script)
	} else if _, err := os.Stat(filepath.Join(php[path.Dir(script)], path.Base(script))); err != nil {
		t.Error(err)
	}
	service := composeService(t, "ws-fpm")
	if stop, err := time.ParseDuration(value(t, service, `stop_grace_period: (.*)$`)); err != nil || stop < c.Drain+5*time.Second {
		t.Errorf("stop_grace_period is %v, %v; want at least drain, %v, and 5s", stop, err, c.Drain)
	}
	if limit, err := strconv.Atoi(value(t, service, `nofile: (\d+)$`)); err != nil || limit < c.MaxConnections+reserve {
		t.Errorf("nofile is %d, %v; want at least %d", limit, err, c.MaxConnections+reserve)
	}
	// Debian's and the image's www-data, to which the pool gives its socket.
	if got := value(t, service, `user: "(.*)"$`); got != "65532:33" {
		t.Errorf("ws-fpm runs as %s", got)
	}
	if strings.Contains(service, "ports:") || strings.Contains(composeService(t, "php"), "ports:") {
		t.Error("only nginx is to be reached from outside")
	}

	nginx := readFile(t, "deploy/docker/nginx.conf")
	if front["/etc/nginx/conf.d/default.conf"] != "./deploy/docker/nginx.conf" || front[value(t, nginx, `root (.*);`)] != "./deploy/docker/site" {
		t.Errorf("nginx has %v", front)
	}
	wantLocation(t, nginx, "ws-fpm", c)
	shipped := readFile(t, "deploy/nginx.conf")
	shipped = strings.ReplaceAll(shipped[strings.Index(shipped, "location "):], "127.0.0.1:8080", "ws-fpm:8080")
	for line := range strings.Lines(shipped) {
		if !strings.Contains(nginx, "    "+line) {
			t.Errorf("deploy/docker/nginx.conf lacks %s", line)
		}
	}
	subnet, err := netip.ParsePrefix(value(t, readFile(t, "compose.yaml"), `subnet: (.*)$`))
	if err != nil || !slices.Equal(c.TrustedProxies, []netip.Prefix{subnet}) {
		t.Errorf("trusted_proxies are %v; the network is %v, %v", c.TrustedProxies, subnet, err)
	}
}
