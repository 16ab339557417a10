package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A fakeAPI answers pushes and remembers what it was asked.
type fakeAPI struct {
	status int
	body   string
	got    string // of the last request
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	a.got = strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(b)}, "|")
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// The environment names a token for the address that is not of a configuration,
// be it the environment's or the command line's.
func TestPushToken(t *testing.T) {
	write := func(key string) (file string) {
		file = filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(strings.Repeat(key, 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	mine, told := write("m"), write("t")
	conf := writeConfig(t, "[fastcgi]\naddress = /x.sock\n[route /ws]\nscript = /ws.php\n[control]\nlisten = /c.sock\n")
	for _, test := range []struct {
		name      string
		p         pushing
		api       string // of the environment
		toldToken string
		wantToken string
	}{
		{"none", pushing{api: "/a"}, "", "", ""},
		{"the environment's, for its address", pushing{}, "/a", told, strings.Repeat("t", 32)},
		{"the environment's, for the command line's address", pushing{api: "/a"}, "", told, strings.Repeat("t", 32)},
		{"the command line's says more", pushing{api: "/a", tokenFile: mine}, "", told, strings.Repeat("m", 32)},
		{"not for a configuration's address", pushing{config: conf}, "", told, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, token, err := test.p.findAPI(test.api, test.toldToken); err != nil || token != test.wantToken {
				t.Errorf("findAPI = %q, %v; want %q", token, err, test.wantToken)
			}
		})
	}
}

// serveOn serves a on a listener until the test ends, and gives its address.
func (a *fakeAPI) serveOn(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: a}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr()
}

func TestPush(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("k", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := new(fakeAPI)
	api.serveOn(t, "unix", socket)
	tcp := api.serveOn(t, "tcp", "127.0.0.1:0").String()
	const site = "listen = 127.0.0.1:0\n[fastcgi]\naddress = /x.sock\n[route /ws]\nscript = /ws.php\n"
	onUnix := writeConfig(t, site+"[control]\nlisten = "+socket+"\napi = http://elsewhere:1\n")
	onTCP := writeConfig(t, site+"[control]\nlisten = "+tcp+"\ntoken_file = "+token+"\n")
	none := writeConfig(t, site)
	const text = "|text/plain; charset=utf-8|"
	bearer := "Bearer " + strings.Repeat("k", 32)
	for _, test := range []struct {
		name   string
		env    string // WS_API
		args   []string
		stdin  string
		status int    // of the API
		answer string // its body
		exit   int
		says   string // on stdout, or on stderr if exit is not 0
		asked  string // the request; empty: none
	}{
		{"a channel", "", []string{"-config", onUnix, "-channel", "room/1", "hi"}, "", 200, `{"delivered":3}`, 0, "delivered to 3 connections\n", "POST|/channels/room%2F1" + text + "|hi"},
		{"what comes on stdin, without the end of its last line", "", []string{"-config", onUnix, "-channel", "news"}, "hi\n\n", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/channels/news" + text + "|hi\n"},
		{"all of it if it is binary", "", []string{"-config", onUnix, "-binary", "-channel", "news"}, "\xff\n", 200, `{"delivered":0}`, 0, "delivered to 0 connections\n", "POST|/channels/news|application/octet-stream||\xff\n"},
		{"but to one", "", []string{"-api", socket, "-channel", "a", "-exclude", id, ""}, "", 200, `{"delivered":2}`, 0, "delivered to 2 connections\n", "POST|/channels/a?exclude=" + id + text + "|"},
		{"a connection", "", []string{"-api", "unix:" + socket, "-connection", id, "x"}, "", 204, "", 0, "delivered to the connection\n", "POST|/connections/" + id + text + "|x"},
		{"a user, by the environment", "unix:" + socket, []string{"-user", "a b", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/users/a%20b" + text + "|x"},
		{"quietly", socket, []string{"-q", "-user", "1", "x"}, "", 200, `{"delivered":1}`, 0, "", "POST|/users/1" + text + "|x"},
		{"with the configuration's token", "", []string{"-config", onTCP, "-user", "1", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/users/1" + text + bearer + "|x"},
		{"with a token's file and a path before", "", []string{"-api", "http://" + tcp + "/api/", "-token-file", token, "-user", "1", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/api/users/1" + text + bearer + "|x"},
		{"the command line says more than the environment", "/nobody", []string{"-config", onUnix, "-user", "1", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/users/1" + text + "|x"},
		{"a connection that is gone", "", []string{"-api", socket, "-connection", id, "x"}, "", 410, `{"error":"id: this connection is gone"}`, 1, "ws-fpm: id: this connection is gone\n", "POST|/connections/" + id + text + "|x"},
		{"a token that is missing", "", []string{"-api", socket, "-channel", "a", "x"}, "", 401, `{"error":"x"}`, 1, "ws-fpm: the control API wants its token: -token-file FILE, or WS_API_TOKEN_FILE in the environment\n", "POST|/channels/a" + text + "|x"},
		{"another program there", "", []string{"-api", socket, "-channel", "a", "x"}, "", 500, "<html>", 1, "ws-fpm: the control API answers 500\n", "POST|/channels/a" + text + "|x"},
		{"nobody there", "/nobody", []string{"-channel", "a", "x"}, "", 200, "", 1, "no answer from the control API at /nobody", ""},
		{"a redirection is not followed", "", []string{"-api", socket, "-channel", "a", "x"}, "", 302, "", 1, "ws-fpm: the control API answers 302\n", "POST|/channels/a" + text + "|x"},
		{"no target", "", []string{"-api", socket, "x"}, "", 0, "", 2, "want one of -channel NAME, -connection ID and -user ID", ""},
		{"two targets", "", []string{"-api", socket, "-channel", "a", "-user", "b", "x"}, "", 0, "", 2, "want one of", ""},
		{"one too few of a user", "", []string{"-api", socket, "-user", "b", "-exclude", id, "x"}, "", 0, "", 2, "want -exclude with -channel only", ""},
		{"two places", "", []string{"-api", socket, "-config", onUnix, "-user", "b", "x"}, "", 0, "", 2, "not both", ""},
		{"two messages", "", []string{"-api", socket, "-user", "b", "x", "y"}, "", 0, "", 2, `unexpected "y"`, ""},
		{"an address that is none", "", []string{"-api", "ftp://x", "-user", "b", "x"}, "", 0, "", 2, `the address "ftp://x" of the control API: want a unix socket`, ""},
		{"an address without http://", "", []string{"-api", tcp, "-user", "b", "x"}, "", 0, "", 2, "or an http:// URL", ""},
		{"an address that is no URL", "", []string{"-api", "http://x y", "-user", "b", "x"}, "", 0, "", 2, "or an http:// URL", ""},
		{"a user named dot", "", []string{"-api", socket, "-user", ".", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/users/%2E" + text + "|x"},
		{"a user named dot dot", "", []string{"-api", socket, "-user", "..", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/users/%2E%2E" + text + "|x"},
		{"a user with dots", "", []string{"-api", socket, "-user", "...", "x"}, "", 200, `{"delivered":1}`, 0, "delivered to 1 connection\n", "POST|/users/..." + text + "|x"},
		{"no control API in the configuration", "", []string{"-config", none, "-user", "b", "x"}, "", 0, "", 2, "want a section [control]", ""},
		{"a message that is too long", "", []string{"-api", socket, "-user", "b"}, strings.Repeat("x", maxPush+1), 0, "", 1, "longer than 1 MiB", ""},
		{"a token's file that holds none", "", []string{"-api", socket, "-token-file", onUnix, "-user", "b", "x"}, "", 0, "", 1, "want one token", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("WS_API", test.env)
			t.Setenv("WS_API_TOKEN_FILE", "")
			api.status, api.body, api.got = test.status, test.answer, ""
			var stdout, stderr output
			exit := exitOf(push(context.Background(), test.args, strings.NewReader(test.stdin), &stdout, &stderr), &stderr)
			says := stdout.String()
			if exit != 0 {
				says = stderr.String()
			}
			if exit != test.exit || exit == 0 && says != test.says || !strings.Contains(says, test.says) {
				t.Errorf("exit %d, says %q; want %d, %q", exit, says, test.exit, test.says)
			}
			if api.got != test.asked {
				t.Errorf("asked %q; want %q", api.got, test.asked)
			}
			if strings.Contains(stdout.String()+stderr.String(), "kkkk") {
				t.Error("the token is shown")
			}
		})
	}
}
