package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	const rest = "[fastcgi]\naddress = /nobody/here.sock\n[route /a b]\nscript = /nowhere/ws.php\n"
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, 1)
	plain := strings.Replace(rest, "/a b", "/ws/é", 1)
	for name, text := range map[string]string{
		"a Unix socket": "listen = " + filepath.Join(dir, "1") + "\n" + plain,
		"TLS":           "[listen tls]\naddress = " + filepath.Join(dir, "2") + "\ntls_cert = " + cert + "\ntls_key = " + key + "\n" + plain,
	} {
		t.Run(name, func(t *testing.T) {
			file := writeConfig(t, text)
			_, stop := startServe(t, file)
			var stdout, stderr output
			if status := run(context.Background(), []string{"health", "-config", file}, &stdout, &stderr); status != 0 || stdout.String() != "ok\n" {
				t.Errorf("health of a server that serves: %d, %q, %q", status, &stdout, &stderr)
			}
			stop()
			if status := run(context.Background(), []string{"health", "-config", file}, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "no answer from") {
				t.Errorf("health of a server that has ended: %d, %q", status, &stderr)
			}
		})
	}
}

// Another program at that address is not taken for ours.
func TestHealthOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })}
	go server.Serve(l)
	defer server.Close()
	file := writeConfig(t, "listen = "+path+"\n[fastcgi]\naddress = /x.sock\n[route /ws]\nscript = /ws.php\n")
	var stdout, stderr output
	if status := run(context.Background(), []string{"health", "-config", file}, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "answers 200") {
		t.Errorf("health of another program: %d, %q, %q", status, &stdout, &stderr)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]string{
		":8080":            "localhost:8080",
		"0.0.0.0:8080":     "localhost:8080",
		"[::]:8080":        "localhost:8080",
		"127.0.0.1:8080":   "127.0.0.1:8080",
		"10.0.0.1:8080":    "10.0.0.1:8080",
		"[::1]:8080":       "[::1]:8080",
		"ws.example:8080":  "ws.example:8080",
		"/run/ws-fpm.sock": "/run/ws-fpm.sock",
	} {
		if got := loopback(address); got != want {
			t.Errorf("loopback(%q) = %q; want %q", address, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	fpm, script := filepath.Join(dir, "fpm.sock"), writeConfig(t, "<?php")
	l, err := net.Listen("unix", fpm)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct {
		name, address, script string
		status                int
		want                  []string // lines
	}{
		{"all is well", fpm, script, 0, []string{"pool default at " + fpm + ": ok", "route /ws: script " + script + ": ok"}},
		{"php-fpm is down", fpm + "2", script, 1, []string{"pool default at " + fpm + "2: dial unix", "route /ws: script " + script + ": ok"}},
		{"a script that is missing", fpm, script + "x", 1, []string{"no such file, though its folder is here"}},
		{"a script in a folder we do not see", fpm, "/nowhere/ws.php", 0, []string{"/nowhere/ws.php: not visible from here; it has to be where php-fpm runs"}},
		{"a directory for a script", fpm, dir, 1, []string{"route /ws: script " + dir + ": not a file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := writeConfig(t, fmt.Sprintf("[fastcgi]\naddress = %s\n[route /ws]\nscript = %s\n", test.address, test.script))
			var stdout, stderr output
			if status := run(context.Background(), []string{"check", "-config", file}, &stdout, &stderr); status != test.status {
				t.Errorf("check ended with %d, want %d: %s", status, test.status, &stderr)
			}
			for _, want := range append(test.want, file+": ok") {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("no %q in\n%s", want, &stdout)
				}
			}
			if (test.status != 0) != strings.Contains(stderr.String(), "1 of these would not work") {
				t.Errorf("stderr is %q", &stderr)
			}
		})
	}
}

// What [control] and the listeners name is looked for: serve would not start
// without it.
func TestCheckControl(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) (file string) {
		file = filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	script := write("ws.php", "<?php", 0o644)
	l, err := net.Listen("unix", filepath.Join(dir, "fpm.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	good := strings.Repeat("k", 32)
	control := func(lines string) string { return "[control]\nlisten = " + filepath.Join(dir, "c.sock") + "\n" + lines }
	for _, test := range []struct {
		name, sections string
		status         int
		want           string // on stdout, or on stderr if the status is not 0
	}{
		{"a control API", control(""), 0, "control API at " + filepath.Join(dir, "c.sock") + ": ok"},
		{"a good token", control("token_file = " + write("good", good, 0o600)), 0, ": ok"},
		{"a token that is too short", control("token_file = " + write("short", good[1:], 0o600)), 2, "[control] token_file: control: token file " + filepath.Join(dir, "short") + ": want a token of 32 bytes"},
		{"a token for all to read", control("token_file = " + write("open", good, 0o644)), 2, "mode 0644 lets others use it"},
		{"a token that is missing", control("token_file = " + filepath.Join(dir, "none")), 2, "no such file"},
		{"a credential that systemd has still to place", control("token_file = " + filepath.Join(dir, "credentials", "token")), 0, "its token_file is not for this user, or not there yet"},
		{"a user that is nobody", control("allow_users = no-such-user"), 2, "[control] allow_users: user: unknown user no-such-user"},
		{"a group of the control API that is none", control("group = no-such-group"), 2, "[control] group: group: unknown group no-such-group"},
		{"a group of a listener that is none", "[listen a]\naddress = " + filepath.Join(dir, "l.sock") + "\ngroup = no-such-group\n", 2, "[listen a] group: group: unknown group no-such-group"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := writeConfig(t, fmt.Sprintf("[fastcgi]\naddress = %s\n[route /ws]\nscript = %s\n%s", l.Addr(), script, test.sections))
			var stdout, stderr output
			status := run(context.Background(), []string{"check", "-config", file}, &stdout, &stderr)
			says := stdout.String()
			if status != 0 {
				says = stderr.String()
			}
			if status != test.status || !strings.Contains(says, test.want) {
				t.Errorf("check ended with %d and says\n%s%s; want %d and %q", status, &stdout, &stderr, test.status, test.want)
			}
		})
	}
}
