package integration_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// block is the first one of a language behind a heading of the README.
func block(t testing.TB, heading, language string) string {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), heading+"\n")
	_, rest, begun := strings.Cut(rest, "\n```"+language+"\n")
	text, _, ended := strings.Cut(rest, "\n```\n")
	if !found || !begun || !ended {
		t.Fatalf("README.md has no block of %s behind %q", language, heading)
	}
	return text
}

// TestReadmeDeploys: the README's five commands, in a system whose directories
// are ours, lead from a fresh clone to the answer of the README's own script
// through nginx.
func TestReadmeDeploys(t *testing.T) {
	t.Parallel()
	requirePHPFPM(t)
	if u, err := user.Lookup("www-data"); os.Getuid() != 0 || err != nil {
		missing(t, "the pool wants to be started by root, and to become www-data: %v, %v", u, err)
	}
	dir, address := publicDir(t), freeAddress(t)
	here := strings.NewReplacer("/etc/", dir+"/etc/", "/usr/local/", dir+"/usr/local/", "/run/php/", dir+"/run/php/",
		"/var/www/", dir+"/var/www/", "127.0.0.1:8080", address, "trusted_proxies = 127.0.0.1, ::1", "trusted_proxies = "+nginxAddress)
	for _, made := range []string{"bin", "src/deploy", "run/php", "var/www/app", "usr/local/bin", "etc/php/8.2/fpm/pool.d", "etc/systemd/system", "etc/nginx/snippets"} {
		if err := os.MkdirAll(filepath.Join(dir, made), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shipped, _ := filepath.Glob("../deploy/*.*")
	for _, file := range shipped {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "src/deploy", filepath.Base(file)), here.Replace(string(b)))
	}
	writeFile(t, filepath.Join(dir, "var/www/app/ws.php"), block(t, "## Ten lines", "php"))
	program := func(name, text string) {
		writeFile(t, filepath.Join(dir, name), "#!/bin/sh\n"+text+"\n")
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program("src/dev", `[ "$*" = build ] && exec cp `+buildBinary(t)+` ws-fpm`)
	program("bin/sudo", `if [ "$1" = -u ]; then user=$2; shift 2; exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"; fi; exec "$@"`)
	program("bin/systemctl", `echo "$*" >`+filepath.Join(dir, "asked"))
	program("bin/nginx", "exit 0") // what it would read is not here: see below

	commands := strings.Split(block(t, "## Deploying", "sh"), "\n")
	if len(commands) != 5 {
		t.Errorf("%d commands; want five", len(commands))
	}
	var asked []string
	var front *nginx
	for _, command := range commands {
		os.Remove(filepath.Join(dir, "asked"))
		cmd := exec.Command("sh", "-c", here.Replace(command))
		cmd.Dir = filepath.Join(dir, "src")
		cmd.Env = append(os.Environ(), "PATH="+dir+"/bin:"+dir+"/usr/local/bin:"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "asked"))
		ask := strings.TrimSpace(string(b))
		asked = append(asked, ask)
		switch ask { // what systemd would do
		case "reload php8.2-fpm":
			startInstalledFPM(t, dir)
		case "enable --now ws-fpm":
			startInstalledUnit(t, dir)
		case "reload nginx":
			front = startNginx(t, "include "+dir+"/etc/nginx/snippets/ws-fpm.conf;", "")
		}
		if strings.Contains(command, "-call") && !strings.Contains(string(out), `"you said":"hello"`) {
			t.Errorf("%s\nprints %s", command, out)
		}
	}
	if want := []string{"", "reload php8.2-fpm", "", "enable --now ws-fpm", "reload nginx"}; !slices.Equal(asked, want) {
		t.Fatalf("systemctl was asked for %q, want %q", asked, want)
	}
	if got := dial(t, handshake{address: front.plain}).ask(t, `{"text":"hello"}`); !strings.HasPrefix(got, `{"you said":"hello","at":"`) {
		t.Errorf("the answer is %s", got)
	}
}

// TestComposeServes: what compose.yaml mounts, each at its place in one system
// instead of three, leads to the answer of its script through nginx.
func TestComposeServes(t *testing.T) {
	t.Parallel()
	requirePHPFPM(t)
	if u, err := user.Lookup("www-data"); os.Getuid() != 0 || err != nil {
		missing(t, "the pool wants to be started by root, and to become www-data: %v, %v", u, err)
	}
	dir, address, front := publicDir(t), freeAddress(t), freeAddress(t)
	here := strings.NewReplacer("/run/php/", dir+"/run/php/", "/var/www/", dir+"/", "listen 80;", "listen "+front+";", "listen = :8080", "listen = "+address, "ws-fpm:8080", address,
		"172.30.80.0/24", nginxAddress)
	for _, made := range []string{"app", "run/php", "etc/php/8.2/fpm/pool.d"} {
		if err := os.MkdirAll(filepath.Join(dir, made), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"php-fpm-ws.conf": "etc/php/8.2/fpm/pool.d/ws.conf", "docker/app/ws.php": "app/ws.php", "docker/ws-fpm.conf": "ws-fpm.conf"} {
		writeFile(t, filepath.Join(dir, to), here.Replace(readFile(t, filepath.Join("../deploy", from))))
	}
	startInstalledFPM(t, dir)
	g := attachGateway(t, exec.Command(buildBinary(t), "serve", "-config", filepath.Join(dir, "ws-fpm.conf")), 1)
	t.Cleanup(func() { g.stop(); g.wantCleanLog() })
	startNginx(t, "", here.Replace(readFile(t, "../deploy/docker/nginx.conf")))
	c := dial(t, handshake{address: front, host: "localhost:8080", lines: []string{"Origin: http://localhost:8080"}})
	if got := c.ask(t, `{"text":"hello"}`); !strings.HasPrefix(got, `{"you said":"hello","at":"`) {
		t.Errorf("the answer is %s", got)
	}
}

// startInstalledFPM starts a php-fpm with the pool that was installed, as
// Debian's configuration includes it.
func startInstalledFPM(t testing.TB, dir string) {
	t.Helper()
	conf := filepath.Join(dir, "etc/php/8.2/fpm/php-fpm.conf")
	writeFile(t, conf, "[global]\nerror_log = /dev/stderr\ndaemonize = no\ninclude="+dir+"/etc/php/8.2/fpm/pool.d/*.conf\n")
	if out, err := exec.Command(requirePHPFPM(t), "-t", "-y", conf).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Fatalf("php-fpm -t: %v\n%s", err, out)
	}
	f := &phpFPM{t: t, binary: requirePHPFPM(t), dir: dir, conf: conf}
	f.start()
}

// startInstalledUnit runs the command of the unit that was installed, as a user
// of no name in its group.
func startInstalledUnit(t testing.TB, dir string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "etc/systemd/system/ws-fpm.service"))
	if err != nil {
		t.Fatal(err)
	}
	var command, group string
	for line := range strings.Lines(string(b)) {
		if c, is := strings.CutPrefix(line, "ExecStart="); is {
			command = strings.TrimSpace(c)
		}
		if g, is := strings.CutPrefix(line, "Group="); is {
			group = strings.TrimSpace(g)
		}
	}
	args := append([]string{"--reuid=64321", "--regid=" + group, "--clear-groups"}, strings.Fields(command)...)
	g := attachGateway(t, exec.Command(requireProgram(t, "util-linux", "setpriv"), args...), 1)
	t.Cleanup(func() {
		g.stop()
		g.wantCleanLog()
	})
}
