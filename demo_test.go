package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ws-fpm/fpm"
)

// The demo answers to names that no DNS server can forge, and to no other.
func TestOwnHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost":              true,
		"localhost:8080":         true,
		"127.0.0.1":              true,
		"127.0.0.1:8080":         true,
		"192.168.1.5:8080":       true,
		"[::1]":                  true,
		"[::1]:8080":             true,
		"[2001:db8::1]:8080":     true,
		"":                       false,
		":8080":                  false,
		"evil.example":           false,
		"evil.example:8080":      false,
		"localhost.evil.example": false,
		"evil-localhost":         false,
		"localhost.":             false,
		"127.0.0.1.evil.example": false,
		"127.0.0.1.":             false,
		"127.1":                  false,
		"2130706433":             false,
		"0x7f000001":             false,
		"localhost:80:80":        false,
		"[]":                     false,
		"user@localhost":         false,
		"localhost/":             false,
	} {
		if got := ownHost(host); got != want {
			t.Errorf("ownHost(%q) = %v; want %v", host, got, want)
		}
	}
}

func TestDemoPage(t *testing.T) {
	page := demoPages(nil, demoScripts{}, "", nil)
	tests := []struct {
		name, method, path string
		status             int
	}{
		{"the page", "GET", "/", 200},
		{"its head", "HEAD", "/", 200},
		{"a form", "POST", "/", 405},
		{"nothing", "GET", "/nothing", 404},
		{"a script, which is not of the page", "GET", "/ws.php", 404},
		{"a way out", "GET", "/../ws.php", 404},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.status {
			t.Errorf("%s: %s %s = %d; want %d", test.name, test.method, test.path, w.Code, test.status)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", test.name, csp)
		}
	}
}

// The chat is served with the examples only: its page, what belongs to that, and
// two scripts that are asked by POST. No other file of PHP's is a page.
func TestDemoPages(t *testing.T) {
	chat, own := demoPages(nil, demoScripts{temp: "/nowhere"}, "", nil), demoPages(nil, demoScripts{}, "", nil)
	tests := []struct {
		method, path string
		status       int // with the examples; without, where it is 404
	}{
		{"GET", "/chat", 301},
		{"GET", "/chat/", 200},
		{"HEAD", "/chat/chat.js", 200},
		{"GET", "/chat/chat.css", 200},
		{"GET", "/chat/chat.svg", 200},
		{"POST", "/chat/", 405},
		{"GET", "/chat/chat-login.php", 405},
		{"GET", "/chat/chat-push.php", 405},
		{"POST", "/chat/chat-ws.php", 405}, // as any POST to what is none
		{"GET", "/chat/chat-ws.php", 404},
		{"GET", "/chat/chat-rooms.php", 404},
		{"GET", "/chat/chat-present.php", 404},
		{"GET", "/chat/../ws.php", 404},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		chat.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.status {
			t.Errorf("%s %s = %d; want %d", test.method, test.path, w.Code, test.status)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s %s: Content-Security-Policy is %q", test.method, test.path, csp)
		}
		w = httptest.NewRecorder()
		if own.ServeHTTP(w, httptest.NewRequest("GET", test.path, nil)); w.Code != 404 {
			t.Errorf("without the examples GET %s = %d; want 404", test.path, w.Code)
		}
	}
}

// requireFPM skips t without a php-fpm, or fails it if WS_FPM_REQUIRE=1.
func requireFPM(t *testing.T) {
	t.Helper()
	if _, _, err := fpm.Find(context.Background()); err != nil {
		if os.Getenv("WS_FPM_REQUIRE") == "1" {
			t.Fatalf("WS_FPM_REQUIRE=1, and %v", err)
		}
		t.Skip(err)
	}
}

func TestDemoOnce(t *testing.T) {
	requireFPM(t)
	dir, err := os.MkdirTemp("", "ws-fpm-test-") // not t.TempDir: PHP has to get there
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ws.php"), []byte(`<?php
header("WS-Accept: yes");
if ($_SERVER["WS_EVENT"] === "message") echo $_SERVER["WS_EVENTS"], ": ", file_get_contents("php://input");`), 0o644); err != nil {
		t.Fatal(err)
	}
	before, _ := filepath.Glob(filepath.Join(os.TempDir(), "ws-fpm-demo-*"))
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"the examples", nil, []string{`"status":"ok"`, `"Test_message_4444"`, `"HTTP_HOST"`, `"WS_EVENT"`}},
		{"a directory", []string{dir}, []string{"message: Test message 4444"}},
		{"a directory, with events", []string{"-events", "connect,message", dir}, []string{"connect,message: Test message 4444"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr output
			args := append([]string{"demo", "-once", "-listen", "127.0.0.1:0"}, test.args...)
			if status := run(context.Background(), args, &stdout, &stderr); status != 0 {
				t.Fatalf("demo -once ended with %d: %s", status, &stderr)
			}
			answer := strings.ReplaceAll(stdout.String(), " ", "")
			for _, want := range test.want {
				if !strings.Contains(answer, strings.ReplaceAll(want, " ", "")) {
					t.Errorf("no %q in\n%s", want, &stdout)
				}
			}
		})
	}
	if after, _ := filepath.Glob(filepath.Join(os.TempDir(), "ws-fpm-demo-*")); len(after) > len(before) {
		t.Errorf("left behind: %q", after)
	}
}

// Who waits for the first answer in vain is told why, and not of a connection
// that was closed because of that.
func TestFirstMessageInVain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	silent := errors.New("nobody says anything")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 1)) // the handshake has come
		cancel(silent)
		io.Copy(io.Discard, c)
	}()
	if _, err := firstMessage(ctx, l.Addr().String(), "/ws", "x"); err != silent {
		t.Errorf("firstMessage = %v; want %v", err, silent)
	}
}

// The demo stays up, shows its page to its own names only, and ends at once.
func TestDemoStaysUp(t *testing.T) {
	requireFPM(t)
	ctx, cancel := context.WithCancel(context.Background())
	var stdout, stderr output
	status := make(chan int, 1)
	go func() { status <- run(ctx, []string{"demo", "-listen", "127.0.0.1:0"}, &stdout, &stderr) }()
	defer cancel()
	var address string
	for end := time.Now().Add(20 * time.Second); address == ""; <-time.After(10 * time.Millisecond) {
		if _, rest, ok := strings.Cut(stderr.String(), "Open http://"); ok {
			address, _, _ = strings.Cut(rest, "/")
		}
		if time.Now().After(end) {
			t.Fatalf("the demo is not up:\n%s", &stderr)
		}
	}
	for host, want := range map[string]int{address: 200, "evil.example": 403} {
		r, err := http.NewRequest("GET", "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := new(http.Transport).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("the page for %s: %s, want %d", host, response.Status, want)
		}
	}
	began := time.Now()
	cancel()
	select {
	case s := <-status:
		if took := time.Since(began); s != 0 || took > 2*time.Second {
			t.Errorf("the demo ended with %d after %v", s, took)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the demo does not end")
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
}

func TestDemoTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var stdout, stderr output
	if status := run(context.Background(), []string{"demo", "-listen", l.Addr().String()}, &stdout, &stderr); status != 1 ||
		!strings.Contains(stderr.String(), "another address: -listen") {
		t.Errorf("demo on a port that is taken: %d, %q", status, &stderr)
	}
}
