package fpm

import (
	"strings"
	"testing"
)

func TestConfigText(t *testing.T) {
	got, err := configText(settings{
		address:     "/tmp/a b;c/fpm.sock",
		tmp:         "/tmp/a b;c/tmp",
		user:        "www-data",
		group:       "33",
		children:    4,
		maxRequests: 1000,
		grace:       10,
		global:      []string{"log_level = debug"},
		pool:        []string{"pm = ondemand", "env[A] = b"},
	})
	want := `[global]
error_log = /dev/null
log_limit = 8192
daemonize = no
process_control_timeout = 10s
log_level = debug

[ws-fpm]
listen = "/tmp/a b;c/fpm.sock"
listen.mode = 0600
user = www-data
group = 33
pm = static
pm.max_children = 4
pm.max_requests = 1000
catch_workers_output = yes
decorate_workers_output = no
clear_env = yes
php_admin_value[sys_temp_dir] = "/tmp/a b;c/tmp"
php_value[session.save_path] = "/tmp/a b;c/tmp"
php_flag[display_errors] = off
php_flag[log_errors] = on
pm = ondemand
env[A] = b
`
	if err != nil || got != want {
		t.Errorf("configText = %v, got:\n%s\nwant:\n%s", err, got, want)
	}
}

func TestConfigTextNamesNoUserUnlessTold(t *testing.T) {
	got, err := configText(settings{address: "127.0.0.1:9000", tmp: "/tmp"})
	if err != nil || strings.Contains(got, "user =") || strings.Contains(got, "group =") {
		t.Errorf("configText without a user = %v, got:\n%s", err, got)
	}
}

func TestQuote(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     string // empty means an error
	}{
		{"a path", "/run/fpm.sock", `"/run/fpm.sock"`},
		{"what would begin a comment", "/a;b #c", `"/a;b #c"`},
		{"letters beyond ASCII", "/tmp/ö", `"/tmp/ö"`},
		{"a quote", `/a"b`, ""},
		{"a backslash", `/a\b`, ""},
		{"a variable", "/a${b}", ""},
		{"a line end", "/a\nuser = root", ""},
		{"a NUL", "/a\x00", ""},
		{"a DEL", "/a\x7f", ""},
	} {
		got, err := quote(test.in)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: quote(%q) = %s, %v; want %s", test.name, test.in, got, err, test.want)
		}
	}
	for _, s := range []settings{{address: "\n", tmp: "/"}, {address: "/", tmp: "\n"}} {
		if text, err := configText(s); err == nil {
			t.Errorf("configText(%+v) = %q, want an error", s, text)
		}
	}
}
