package gateway

import (
	"strings"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

var cookieTests = []struct {
	name, cookie string
	set          []string
	want         string
}{
	{"nothing is set", "a=1; b=2", nil, "a=1; b=2"},
	{"a first cookie", "", []string{"PHPSESSID=x; path=/"}, "PHPSESSID=x"},
	{"another cookie", "a=1", []string{"b=2; HttpOnly; SameSite=Lax"}, "a=1; b=2"},
	{"one of three is replaced where it stood", "a=1; b=2; c=3", []string{"b=9"}, "a=1; b=9; c=3"},
	{"one that the client sent twice is there once", "a=1; b=2; a=3", []string{"a=9"}, "a=9; b=2"},
	{"set twice, the last counts", "", []string{"a=1", "a=2"}, "a=2"},
	{"names have case", "a=1", []string{"A=2"}, "a=1; A=2"},
	{"a name that begins alike", "ab=1; a=2", []string{"a=3"}, "ab=1; a=3"},
	{"a value with what PHP encodes", "", []string{"a=%20%3B%C3%A9+x=y; path=/"}, "a=%20%3B%C3%A9+x=y"},
	{"a value that is not encoded", "", []string{"a=gr\u00fc\u00df, dich; path=/"}, "a=gr\u00fc\u00df, dich"},
	{"a value in quotes keeps them", "", []string{`a="x y"`}, `a="x y"`},
	{"an empty value is a cookie", "", []string{"a="}, "a="},
	{"PHP's array notation", "cart[1]=old", []string{"cart[1]=new; path=/", "cart[2]=more"}, "cart[1]=new; cart[2]=more"},
	{"blanks around name and value", " a = 0 ;b=2", []string{"  b  =  3  ;x"}, "a = 0; b=3"},
	{"deleted as PHP does", "a=1; b=2", []string{"a=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; path=/"}, "b=2"},
	{"deleted by an old PHP's date alone", "a=1; b=2", []string{"a=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT"}, "b=2"},
	{"deleted by Max-Age alone", "a=1", []string{"a=x; max-age=-1"}, ""},
	{"Max-Age wins over a date that is past", "a=1", []string{"a=2; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:01 GMT"}, "a=2"},
	{"Max-Age wins over a date to come", "a=1", []string{"a=2; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Max-Age=0"}, ""},
	{"a date to come", "a=1", []string{"a=2; expires=Fri, 01 Jan 2100 00:00:00 GMT"}, "a=2"},
	{"a date nobody can read tells nothing", "a=1", []string{"a=2; expires=yesterday"}, "a=2"},
	{"a Max-Age nobody can read tells nothing", "a=1", []string{"a=2; max-age=soon"}, "a=2"},
	{"deleted, then set again", "a=1", []string{"a=; Max-Age=0", "a=2"}, "a=2"},
	{"deleted, and was not there", "b=2", []string{"a=; Max-Age=0"}, "b=2"},
	{"no name", "a=1", []string{"=x", "x", "", ";"}, "a=1"},
	{"a cookie without an equals sign is kept", "flag; a=1", []string{"a=2"}, "flag; a=2"},
}

// jar is HTTP_COOKIE after a connect reply.
func jar(cookie string, set []string) string {
	var w welcome
	for _, line := range set {
		w.header = append(w.header, fastcgi.Field{Name: "set-cookie", Value: line})
	}
	q := request{header: map[string][]string{}}
	if cookie != "" {
		q.header["Cookie"] = []string{cookie}
	}
	before := len(q.header["Cookie"])
	was := q.header
	q.setCookies(w.cookieChanges(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	if len(was["Cookie"]) != before {
		panic("the request's own header was changed")
	}
	if v, there := q.header["Cookie"]; there {
		return strings.Join(v, "|")
	}
	return ""
}

func TestCookies(t *testing.T) {
	for _, test := range cookieTests {
		if got := jar(test.cookie, test.set); got != test.want {
			t.Errorf("%s: %q with %q gives %q; want %q", test.name, test.cookie, test.set, got, test.want)
		}
	}
}

// A cookie that ends this very second has ended.
func TestCookieExpiresNow(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for date, want := range map[string]bool{
		"Wed, 31 Dec 2025 23:59:59 GMT": true,
		"Thu, 01 Jan 2026 00:00:00 GMT": true,
		"Thu, 01 Jan 2026 00:00:01 GMT": false,
	} {
		if got := isPast(date, now); got != want {
			t.Errorf("isPast(%s) = %v; want %v", date, got, want)
		}
	}
}

// FuzzCookies: a cookie that was set is there once with its value, one that
// was deleted is not there, and all others are as they were.
func FuzzCookies(f *testing.F) {
	for _, test := range cookieTests {
		for _, line := range test.set {
			f.Add(test.cookie, line)
		}
	}
	pairs := func(header, name string) (of, others []string) {
		for pair := range strings.SplitSeq(header, ";") {
			if pair = strings.Trim(pair, " \t"); pair == "" {
				continue
			}
			if n, v, _ := strings.Cut(pair, "="); n == name {
				of = append(of, v)
			} else {
				others = append(others, pair)
			}
		}
		return of, others
	}
	f.Fuzz(func(t *testing.T, cookie, line string) {
		c, ok := parseSetCookie(line)
		if !ok {
			return
		}
		if strings.Contains(c.name+c.value, ";") || strings.Contains(c.name, "=") {
			t.Fatalf("parseSetCookie(%q) = %+v", line, c)
		}
		merged := mergeCookies(cookie, []cookieChange{c.cookieChange})
		_, before := pairs(cookie, c.name)
		of, after := pairs(merged, c.name)
		if strings.Join(before, ";") != strings.Join(after, ";") {
			t.Errorf("%q with %q: others are %q; want %q", cookie, line, after, before)
		}
		switch {
		case c.deleted && len(of) > 0:
			t.Errorf("%q with %q: still %q", cookie, line, of)
		case !c.deleted && (len(of) != 1 || of[0] != c.value):
			t.Errorf("%q with %q: %q; want one %q", cookie, line, of, c.value)
		}
	})
}
