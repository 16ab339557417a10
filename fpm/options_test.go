package fpm

import (
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name string
		in   Options
		want string // of the error; empty means none
	}{
		{"nothing said", Options{}, ""},
		{"no children", Options{Children: -1}, "Children is -1"},
		{"one child", Options{Children: 1}, ""},
		{"as many children as there may be", Options{Children: 1024}, ""},
		{"one child too many", Options{Children: 1025}, "Children is 1025"},
		{"a worker for each request", Options{MaxRequests: 1}, ""},
		{"fewer requests than none", Options{MaxRequests: -1}, "MaxRequests is negative"},
		{"no grace", Options{Grace: time.Second - 1}, "Grace is 999.999999ms"},
		{"the shortest grace", Options{Grace: time.Second}, ""},
		{"the longest grace", Options{Grace: time.Hour}, ""},
		{"too much grace", Options{Grace: time.Hour + time.Second}, "Grace is 1h0m1s"},
		{"a grace that php-fpm can't express", Options{Grace: 1500 * time.Millisecond}, "whole seconds"},
		{"directives", Options{Global: []string{"log_level=debug"}, Pool: []string{"php_admin_value[memory_limit] = 64M"}}, ""},
		{"a directive with a second one behind it", Options{Pool: []string{"pm = static\nuser = root"}}, "more than a line"},
		{"a directive with a NUL", Options{Pool: []string{"pm = static\x00"}}, "more than a line"},
		{"a section among the directives", Options{Global: []string{"[pool=x]"}}, "not of the form"},
		{"a word among the directives", Options{Global: []string{"daemonize"}}, "not of the form"},
		{"a directive without a name", Options{Global: []string{" = yes"}}, "not of the form"},
	} {
		_, err := test.in.withDefaults()
		if got := errorText(err); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: withDefaults error = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestOptionsDefaults(t *testing.T) {
	o, err := Options{}.withDefaults()
	if err != nil || o.Children != 4 || o.MaxRequests != 1000 || o.Grace != 10*time.Second || o.Log == nil {
		t.Errorf("withDefaults of nothing = %+v, %v", o, err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
