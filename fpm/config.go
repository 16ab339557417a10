package fpm

import (
	"fmt"
	"strings"
)

// settings are what a configuration of php-fpm is made of.
type settings struct {
	address     string // host:port or the path of a socket
	tmp         string // for PHP's sessions, uploads and temporary files
	user, group string // of the workers; empty unless the master is root
	children    int
	maxRequests int
	grace       int // seconds
	global      []string
	pool        []string
}

// configText gives the text of the configuration file.
//
// The log goes to /dev/null because php-fpm runs with -O, which sends it to
// standard error; naming /dev/stderr here fails where another user opened it.
// Errors of a script are logged and not shown: a fatal error that is printed
// has status 200, and nothing could tell it from an answer.
func configText(s settings) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	address, err := quote(s.address)
	if err != nil {
		return "", err
	}
	tmp, err := quote(s.tmp)
	if err != nil {
		return "", err
	}
	line("[global]")
	line("error_log = /dev/null")
	line("log_limit = %d", maxLine)
	line("daemonize = no")
	line("process_control_timeout = %ds", s.grace)
	for _, l := range s.global {
		line("%s", l)
	}
	line("")
	line("[ws-fpm]")
	line("listen = %s", address)
	line("listen.mode = 0600")
	if s.user != "" {
		line("user = %s", s.user)
		line("group = %s", s.group)
	}
	line("pm = static")
	line("pm.max_children = %d", s.children)
	line("pm.max_requests = %d", s.maxRequests)
	line("catch_workers_output = yes")
	line("decorate_workers_output = no")
	line("clear_env = yes")
	line("php_admin_value[sys_temp_dir] = %s", tmp)
	line("php_value[session.save_path] = %s", tmp)
	line("php_flag[display_errors] = off")
	line("php_flag[log_errors] = on")
	for _, l := range s.pool {
		line("%s", l)
	}
	return b.String(), nil
}

// quote makes a value of php-fpm's configuration of a path or an address. The
// few bytes that could end the quotes or be expanded inside them are refused.
func quote(s string) (string, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == '$' || c == 0x7f {
			return "", fmt.Errorf("fpm: %q can't be written in php-fpm's configuration: it holds %q", s, c)
		}
	}
	return `"` + s + `"`, nil
}
