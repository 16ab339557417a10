package gateway

import "testing"

func TestCheckPath(t *testing.T) {
	tests := []struct {
		name, path string
		ok         bool
	}{
		{"the root", "/", true},
		{"a segment", "/ws", true},
		{"a slash at the end", "/ws/", true},
		{"several segments", "/ws/room/1", true},
		{"dots within a name", "/ws/a.b/..c/d../...", true},
		{"an escaped letter", "/%77s", true},
		{"an escaped percent sign, which stays one", "/ws/%252f", true},
		{"UTF-8, escaped and not", "/ws/%C3%A9/é", true},
		{"an escaped question mark", "/ws/%3fa", true},

		{"nothing", "", false},
		{"an asterisk", "*", false},
		{"an authority", "example.com:443", false},
		{"a URL", "http://example.com/ws", false},
		{"an empty first segment", "//ws", false},
		{"an empty segment within", "/ws//room", false},
		{"an empty segment at the end", "/ws//", false},
		{"a dot", "/ws/./room", false},
		{"a dot at the end", "/ws/.", false},
		{"two dots", "/ws/../admin", false},
		{"two dots at the end", "/ws/..", false},
		{"two escaped dots", "/ws/%2e%2E/admin", false},
		{"one dot of two escaped", "/ws/.%2e/admin", false},
		{"an escaped dot alone", "/%2e/ws", false},
		{"an escaped slash", "/ws/a%2fb", false},
		{"an escaped slash in upper case", "/ws/a%2Fb", false},
		{"an escaped NUL", "/ws/%00", false},
		{"a backslash", `/ws\room`, false},
		{"an escaped backslash", "/ws%5croom", false},
		{"an escaped backslash in upper case", "/ws%5Croom", false},
	}
	for _, test := range tests {
		if err := checkPath(test.path); (err == nil) != test.ok {
			t.Errorf("%s: checkPath(%q) = %v; want ok = %v", test.name, test.path, err, test.ok)
		}
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		name, prefix, path string
		want               bool
	}{
		{"the same", "/ws", "/ws", true},
		{"with a slash behind", "/ws", "/ws/", true},
		{"a segment more", "/ws", "/ws/room", true},
		{"part of a segment only", "/ws", "/wsx", false},
		{"a shorter path", "/ws/a", "/ws", false},
		{"another case", "/ws", "/WS", false},
		{"not at the beginning", "/ws", "/a/ws", false},
		{"two segments", "/a/ws", "/a/ws/b", true},
		{"part of the second segment", "/a/ws", "/a/wsb", false},
		{"the root takes all", "/", "/anything/else", true},
		{"the root takes itself", "/", "/", true},
	}
	for _, test := range tests {
		if got := matches(test.prefix, test.path); got != test.want {
			t.Errorf("%s: matches(%q, %q) = %v; want %v", test.name, test.prefix, test.path, got, test.want)
		}
	}
}

// The longest prefix wins, in whatever order the routes were given.
func TestFind(t *testing.T) {
	b := newBackend(t, nil)
	g := newGateway(t, Options{Routes: []Route{
		{Prefix: "/a", Script: "/p/a.php", Backend: b.client},
		{Prefix: "/a/b/c", Script: "/p/c.php", Backend: b.client},
		{Prefix: "/", Script: "/p/root.php", Backend: b.client},
		{Prefix: "/a/b/", Script: "/p/b.php", Backend: b.client},
	}})
	for path, want := range map[string]string{
		"/": "/p/root.php", "/x": "/p/root.php", "/ab": "/p/root.php",
		"/a": "/p/a.php", "/a/": "/p/a.php", "/a/bx": "/p/a.php",
		"/a/b": "/p/b.php", "/a/b/": "/p/b.php", "/a/b/x": "/p/b.php",
		"/a/b/c": "/p/c.php", "/a/b/c/d": "/p/c.php",
	} {
		if r := g.opts().find(path); r == nil || r.now.Load().Script != want {
			t.Errorf("find(%q) = %+v; want the route of %s", path, r, want)
		}
	}
}
