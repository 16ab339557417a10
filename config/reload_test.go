package config

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

const reloadBase = `log_level = warn
drain = 10s
[fastcgi]
address = /p.sock
[fastcgi b]
address = /b.sock
[route /ws]
script = /srv/ws.php
[listen web]
address = /a.sock
[control]
listen = /c.sock
`

func settingsOf(t *testing.T, text string) Settings {
	t.Helper()
	_, s, err := parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSince(t *testing.T) {
	const listen = "listen = 127.0.0.1:8080\n"
	for _, test := range []struct {
		name, before, after string // replaced in reloadBase
		want                string
	}{
		{"nothing is nothing", "", "", ""},
		{"another spelling says the same", "drain = 10s", "drain = 10000ms", ""},
		{"and so does a default that is written down", "drain = 10s", "drain = 10s\nlog = text\nbuffers = 268435456", ""},
		{"the order says nothing", "log_level = warn\ndrain = 10s", "drain = 10s\nlog_level = warn", ""},
		{"a key that is read at once", "drain = 10s", "drain = 11s", "2 drain at once"},
		{"one that takes a restart", "drain = 10s", "drain = 10s\nlog = json", "3 log restart"},
		{"one that has gone is its default, in the line of its section", "log_level = warn\n", "", "0 log_level at once"},
		{"one of a route", "/srv/ws.php", "/srv/ws.php\nmax_message = 2M", "9 [route /ws] max_message new connections"},
		{"the same key of two sections", "script = /srv/ws.php", "script = /srv/ws.php\n[route /b]\nscript = /srv/b.php", "9 [route /b] at once"},
		{"a listener's address", "/a.sock", "/z.sock", "10 [listen web] address restart"},
		{"a listener that comes", "[control]", "[listen b]\naddress = /z.sock\nmode = 0600\n[control]", "11 [listen b] restart"},
		{"a pool that goes", "[fastcgi b]\naddress = /b.sock\n", "", "0 [fastcgi b] at once"},
		{"control that goes", "[control]\nlisten = /c.sock\n", "", "0 [control] restart"},
		{"the global list beside a section", "log_level = warn", listen + "log_level = warn", "1 listen restart"},
		{"and in another order of sections", "[control]\nlisten = /c.sock\n", "[control]\nlisten = /c.sock\nmode = 0600\n", "13 [control] mode restart"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := strings.Replace(reloadBase, test.before, test.after, 1)
			var got []string
			for _, c := range settingsOf(t, after).Since(settingsOf(t, reloadBase)) {
				got = append(got, strconv.Itoa(c.Line)+" "+c.String()+" "+string(c.Reload))
			}
			if s := strings.Join(got, "; "); s != test.want {
				t.Errorf("got %q; want %q", s, test.want)
			}
		})
	}
	bare := strings.Replace(reloadBase, "[listen web]\naddress = /a.sock\n", "", 1)
	if got := settingsOf(t, listen+bare).Since(settingsOf(t, bare)); len(got) != 0 {
		t.Errorf("the default address, written down: %v; want no change", got)
	}
}

// Every key that is read again has another value noticed, as what it is.
func TestSinceKnowsEveryKey(t *testing.T) {
	two := map[string][2]string{
		" listen": {":1", ":2"}, " log_level": {"info", "debug"}, " trusted_proxies": {"unix", "10.0.0.1"},
		"[listen NAME] address": {":1", ":2"}, "[fastcgi] address": {"/1", "/2"},
		"[route /prefix] script": {"/1", "/2"}, "[route /prefix] root": {"/", "/srv"}, "[route /prefix] fastcgi": {"default", "b"},
		"[route /prefix] events": {"connect", "message"}, "[route /prefix] origins": {"same", "*"},
		"[route /prefix] subprotocols": {"a", "b"}, "[route /prefix] content_type": {"auto", "text/plain"},
		"[control] listen": {"/1", "/2"}, "[control] api": {"/1", "/2"}, "[control] metrics": {":1", ":2"},
	}
	for _, k := range Reference() {
		if !slices.Contains([]Reload{AtOnce, NewConnections, Restart}, k.Reload) {
			t.Errorf("%s %s: %q is no time of a reload", k.Section, k.Key, k.Reload)
		}
		values, ok := two[k.Section+" "+k.Key]
		switch {
		case ok:
		case strings.HasPrefix(k.Want, "a number"):
			values = [2]string{"1", "2"}
		case strings.HasPrefix(k.Want, "a size"):
			values = [2]string{"100k", "200k"}
		case strings.HasPrefix(k.Want, "a time"):
			values = [2]string{"20s", "30s"}
		case strings.HasPrefix(k.Want, "a mode"):
			values = [2]string{"0600", "0644"}
		case strings.HasPrefix(k.Want, "an absolute path"), strings.HasPrefix(k.Want, "the name or number"), strings.HasPrefix(k.Want, "names or"):
			values = [2]string{"/1", "/2"}
			if !strings.HasPrefix(k.Want, "an absolute") {
				values = [2]string{"1", "2"}
			}
		default:
			words := strings.Split(strings.ReplaceAll(k.Want, ",", " or"), " or ")
			values = [2]string{words[0], words[1]}
		}
		before, after := settingsOf(t, fileWith(k.Section, k.Key, values[0])), settingsOf(t, fileWith(k.Section, k.Key, values[1]))
		changes := after.Since(before)
		if len(changes) != 1 || changes[0].Key != k.Key || changes[0].Reload != k.Reload {
			t.Errorf("%s %s from %s to %s: changes %v; want that key", k.Section, k.Key, values[0], values[1], changes)
		}
	}
}

func TestWhere(t *testing.T) {
	s := settingsOf(t, reloadBase)
	for _, test := range []struct{ section, key, want string }{
		{"", "drain", "f:2: drain"},
		{"", "log", "f: log"},
		{"[control]", "listen", "f:12: [control] listen"},
		{"[control]", "token_file", "f:11: [control] token_file"},
		{"[listen other]", "address", "f: [listen other] address"},
	} {
		if got := s.Where(test.section, test.key); got != test.want {
			t.Errorf("Where(%q, %q) = %q; want %q", test.section, test.key, got, test.want)
		}
	}
}
