package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// An output collects what a program writes.
type output struct {
	mu sync.Mutex // guards what follows
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// writeConfig writes a configuration to a file of its own.
func writeConfig(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "ws-fpm.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startServe serves a configuration and waits until it listens. The function
// ends the program and returns its exit status.
func startServe(t *testing.T, file string) (log *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = new(output)
	status := make(chan int, 1)
	go func() { status <- run(ctx, []string{"serve", "-config", file}, new(output), log) }()
	stop = sync.OnceValue(func() int {
		cancel()
		select {
		case s := <-status:
			return s
		case <-time.After(10 * time.Second):
			t.Errorf("serve has not ended:\n%s", log)
			return -1
		}
	})
	t.Cleanup(func() { stop() })
	for end := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "msg=listening"); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("serve does not listen:\n%s", log)
		}
	}
	return log, stop
}

func TestRun(t *testing.T) {
	good := writeConfig(t, "[fastcgi]\naddress = /nobody/here.sock\n[route /ws]\nscript = /nowhere/ws.php\n")
	bad := writeConfig(t, "listn = 127.0.0.1:0\n[fastcgi]\naddress = /x.sock\n[route /ws]\nscript = ws.php\n")
	tests := []struct {
		name   string
		args   []string
		status int
		stdout string // is in it
		stderr string
	}{
		{"nothing", nil, 2, "", "ws-fpm serve -config FILE"},
		{"an unknown command", []string{"sevre"}, 2, "", `unknown command "sevre"`},
		{"help", []string{"help"}, 0, "ws-fpm serve -config FILE", ""},
		{"help as a flag", []string{"--help"}, 0, "ws-fpm serve -config FILE", ""},
		{"version", []string{"version"}, 0, "ws-fpm " + version + " go", ""},
		{"version as a flag", []string{"--version"}, 0, "ws-fpm " + version + " go", ""},
		{"serve without a file", []string{"serve"}, 2, "", "ws-fpm serve: -config FILE is missing"},
		{"check without a file", []string{"check"}, 2, "", "ws-fpm check: -config FILE is missing"},
		{"health without a file", []string{"health"}, 2, "", "ws-fpm health: -config FILE is missing"},
		{"an unknown flag", []string{"serve", "-conf", good}, 2, "", "flag provided but not defined: -conf"},
		{"a flag without its value", []string{"serve", "-config"}, 2, "", "flag needs an argument"},
		{"an argument too many", []string{"serve", "-config", good, "now"}, 2, "", `ws-fpm serve: unexpected "now"`},
		{"an argument too many for check", []string{"check", "-config", good, "now"}, 2, "", `ws-fpm check: unexpected "now"`},
		{"two directories", []string{"demo", "a", "b"}, 2, "", `ws-fpm demo: unexpected "b"`},
		{"events that there are not", []string{"demo", "-events", "message,open", "/nowhere"}, 2, "", `ws-fpm demo: -events: "open": want connect, message, disconnect`},
		{"events of the examples", []string{"demo", "-events", "message"}, 2, "", "want -events with DIR only"},
		{"a directory that is not there", []string{"demo", "/nowhere"}, 2, "", "want a folder with a ws.php in it: stat /nowhere/ws.php"},
		{"a file that is not there", []string{"serve", "-config", "/nowhere/ws-fpm.conf"}, 2, "", "/nowhere/ws-fpm.conf"},
		{"a file with faults", []string{"serve", "-config", bad}, 2, "", bad + ":1: "},
		{"all faults of a file", []string{"check", "-config", bad}, 2, "", bad + ":5: "},
		{"health of a file with faults", []string{"health", "-config", bad}, 2, "", bad + ":1: "},
		{"health of nobody", []string{"health", "-config", writeConfig(t, "listen = /nobody/here.sock\n[fastcgi]\naddress = /x.sock\n"+
			"[route /ws]\nscript = /ws.php\n")}, 1, "", "ws-fpm: no answer from /nobody/here.sock"},
		{"a listener that cannot be", []string{"serve", "-config", writeConfig(t, "listen = /nobody/here.sock\n[fastcgi]\naddress = /x.sock\n"+
			"[route /ws]\nscript = /ws.php\n")}, 1, "", "/nobody/here.sock"},
		{"a group that there is not", []string{"serve", "-config", writeConfig(t, "[fastcgi]\naddress = /x.sock\n"+
			"[route /ws]\nscript = /ws.php\n[control]\nlisten = /nobody/here.sock\ngroup = no-such-group\n")}, 1, "",
			"ws-fpm.conf:7: [control] group: group: unknown group no-such-group"},
		{"a certificate that is not there", []string{"serve", "-config", writeConfig(t, "[fastcgi]\naddress = /x.sock\n"+
			"[route /ws]\nscript = /ws.php\n[listen a]\naddress = 127.0.0.1:0\ntls_cert = /nobody/cert\ntls_key = /nobody/key\n")}, 1, "",
			"ws-fpm.conf:7: [listen a] tls_cert: certificate /nobody/cert"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr output
			status := run(context.Background(), test.args, &stdout, &stderr)
			if status != test.status {
				t.Errorf("run(%q) = %d; want %d", test.args, status, test.status)
			}
			if !strings.Contains(stdout.String(), test.stdout) || (test.stdout == "") != (stdout.String() == "") {
				t.Errorf("stdout is %q; want %q in it", &stdout, test.stdout)
			}
			if !strings.Contains(stderr.String(), test.stderr) || (test.stderr == "") != (stderr.String() == "") {
				t.Errorf("stderr is %q; want %q in it", &stderr, test.stderr)
			}
		})
	}
}

// Serve says at its start what is in force, and ends without an error.
func TestServe(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	log, stop := startServe(t, writeConfig(t, "listen = 127.0.0.1:0, "+socket+"\nmax_connections = 10\n[fastcgi]\naddress = /nobody/here.sock\n"+
		"[fastcgi other]\naddress = 127.0.0.1:9\n[route /ws]\nscript = /nowhere/ws.php\n[route /b]\nscript = /nowhere/b.php\nfastcgi = other\n"+
		"[control]\nlisten = "+socket+".c\nmetrics = 127.0.0.1:0\n"))
	if status := stop(); status != 0 {
		t.Errorf("serve ended with %d, want 0", status)
	}
	for what, n := range map[string]int{"msg=pool": 2, "msg=route": 2, "msg=listening": 2, "max_connections=10": 1, "msg=stopped": 1,
		`msg="control API" network=unix address=` + socket + ".c": 1, "msg=metrics network=tcp address=127.0.0.1:": 1} {
		if got := strings.Count(log.String(), what); got != n {
			t.Errorf("%q is logged %d times, want %d, in\n%s", what, got, n, log)
		}
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
