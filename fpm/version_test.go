package fpm

import "testing"

func TestParseVersion(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		parts          [3]int
		pre            bool
	}{
		{"Debian", "PHP 8.2.36 (fpm-fcgi) (built: Nov 18 2026 20:02:04)\nCopyright (c)", "8.2.36", [3]int{8, 2, 36}, false},
		{"an old Ubuntu", "PHP 7.4.3-4ubuntu2.24 (fpm-fcgi) (built: x)", "7.4.3-4ubuntu2.24", [3]int{7, 4, 3}, false},
		{"a release candidate", "PHP 8.5.0RC2 (fpm-fcgi)", "8.5.0RC2", [3]int{8, 5, 0}, true},
		{"a beta", "PHP 8.5.0beta1 (fpm-fcgi)", "8.5.0beta1", [3]int{8, 5, 0}, true},
		{"a development version", "PHP 8.6.0-dev (fpm-fcgi)", "8.6.0-dev", [3]int{8, 6, 0}, true},
		{"the command line's PHP", "PHP 8.2.36 (cli) (built: Nov 18 2026)", "", [3]int{}, false},
		{"the CGI", "PHP 8.2.36 (cgi-fcgi)", "", [3]int{}, false},
		{"php-fpm only further down", "PHP 8.2.36 (cli)\nPHP 8.2.36 (fpm-fcgi)", "", [3]int{}, false},
		{"two numbers", "PHP 8.2 (fpm-fcgi)", "", [3]int{}, false},
		{"four numbers", "PHP 8.2.3.4 (fpm-fcgi)", "", [3]int{}, false},
		{"an empty number", "PHP 8..3 (fpm-fcgi)", "", [3]int{}, false},
		{"a number beyond all", "PHP 8.2.99999999999999999999 (fpm-fcgi)", "", [3]int{}, false},
		{"another program", "nginx version: nginx/1.22.1", "", [3]int{}, false},
		{"nothing", "", "", [3]int{}, false},
	} {
		v, ok := parseVersion(test.in)
		if ok != (test.want != "") || ok && v != (version{test.want, test.parts, test.pre}) {
			t.Errorf("%s: parseVersion(%q) = %+v, %t; want %s", test.name, test.in, v, ok, test.want)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	ordered := []string{"7.4.33", "8.0.0", "8.2.9", "8.2.36", "8.5.0RC1", "8.5.0", "8.10.0", "10.0.0-dev"}
	for i, a := range ordered {
		for j, b := range ordered {
			v, okV := parseVersion("PHP " + a + " (fpm-fcgi)")
			w, okW := parseVersion("PHP " + b + " (fpm-fcgi)")
			if got := v.compare(w); !okV || !okW || got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s compared with %s = %d", a, b, got)
			}
		}
	}
}
