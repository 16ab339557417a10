package config

import (
	"fmt"
	"strings"
	"testing"
)

// In these tables f stands for the file's name.
func TestFaults(t *testing.T) {
	const route = "[route /ws]\nscript = /ws.php\n"
	const pool = "[fastcgi]\naddress = /a.sock\n"
	tests := []struct{ name, text, want string }{
		{"an empty file", "", `f: no route: want at least one section [route /prefix] with script = /path/of/a/file.php`},
		{"a route that is wrong is not missing too", pool + "[route ws]\n", `f:3: [route ws]: want [route /prefix], the beginning of a URL's path`},

		{"a line of one word", "listen\n" + small, `f:1: "listen": want key = value, [section] or ; comment`},
		{"a value without a key", "= 1\n" + small, `f:1: "= 1": want a key before the =`},
		{"an equals sign in a comment", "listen ; = 1\n" + small, `f:1: "listen ; = 1": want key = value, [section] or ; comment`},
		{"no value", "ping =\n" + small, `f:1: ping = "": want a value; without this line the default counts`},
		{"a comment for a value", "ping = ; 25s\n" + small, `f:1: ping = "": want a value; without this line the default counts`},
		{"an empty value in quotes", "ping = \"\"\n" + small, `f:1: ping = "": want a value; without this line the default counts`},
		{"an empty item", "listen = :1,,:2\n" + small, `f:1: listen = ":1,,:2": want a value on each side of a comma`},
		{"a comma at the end", "listen = :1,\n" + small, `f:1: listen = ":1,": want a value on each side of a comma`},
		{"a quote that is not closed", "log = \"text\n" + small, `f:1: log = "\"text": want a closing quote`},
		{"a quote inside a value", "log = te\"xt\"\n" + small, `f:1: log = "te\"xt\"": want quotes around the whole value, and \" for a quote inside`},
		{"text behind quotes", "log = \"text\" x\n" + small, `f:1: log = "\"text\" x": want a comma or nothing behind the closing quote`},
		{"a backslash inside quotes", `log = "te\xt"` + "\n" + small, `f:1: log = "\"te\\xt\"": want \" or \\ where a backslash stands inside quotes`},
		{"two quoted values for one", "log = \"text\", \"json\"\n" + small, `f:1: log = "\"text\", \"json\"": want one value, and quotes around all of it if it holds a comma`},
		{"NUL", "log = te\x00xt\n" + small, `f:1: log = "te\x00xt": want no control characters`},
		{"NUL in a comment", "; \x00\n" + small, `f:1: "; \x00": want no control characters`},
		{"NUL in a key", "lo\x00g = text\n" + small, `f:1: "lo\x00g" = "text": unknown key: did you mean log?`},
		{"a carriage return inside a line", "log = te\rxt\n" + small, `f:1: log = "te\rxt": want no control characters`},
		{"an eight-bit control character", "log = te\u009bxt\n" + small, `f:1: log = "te\u009bxt": want no control characters`},
		{"invalid UTF-8 in a section and its key", small + "[fastcgi \xff]\nqueue = 0\n", `f:5: "[fastcgi \xff]": want UTF-8 text` + "\n" +
			`f:6: "[fastcgi \xff]" queue = "0": want a number from 1 to 1000000`},
		{"invalid UTF-8", "log = \xff\n" + small, `f:1: log = "\xff": want UTF-8 text`},
		{"invalid UTF-8 in a section", small + "[fastcgi \xff]\n", `f:5: "[fastcgi \xff]": want UTF-8 text`},

		{"a misspelt key", "lisen = :1\n" + small, `f:1: lisen = ":1": unknown key: did you mean listen?`},
		{"a key with dashes", "max-connections = 1\n" + small, `f:1: max-connections = "1": unknown key: did you mean max_connections?`},
		{"a key in capitals", "PING = 1s\n" + small, `f:1: PING = "1s": unknown key: did you mean ping?`},
		{"a key of another section", "address = :1\n" + small, `f:1: address = ":1": unknown key: it stands in [listen NAME] or in [fastcgi]`},
		{"a global key behind a section", small + "ping = 1s\n", `f:5: [route /ws] ping = "1s": unknown key: it stands above the first section`},
		{"a key of nobody", small + "[listen a]\naddress = :1\ndocument = x\n", `f:7: [listen a] document = "x": unknown key: want one of address, mode, group, tls_cert, tls_key`},
		{"a key twice", "ping = 1s\nping = 2s\n" + small, `f:2: ping = "2s": want this key once; the first is in line 1`},
		{"a list twice", "listen = :1\nlisten = :2\n" + small, `f:2: listen = ":2": want this key once; the first is in line 1, and takes several values, separated by commas`},
		{"an item twice", "listen = :1, :1\n" + small, `f:1: listen = ":1, :1": want ":1" once`},

		{"a misspelt section", small + "[fastgci x]\naddress = /a\n", `f:5: [fastgci x]: unknown section: did you mean fastcgi?`},
		{"a section of nobody", small + "[www]\nuser = x\n", `f:5: [www]: unknown section: want [listen NAME], [fastcgi], [fastcgi NAME], [route /prefix] or [control]`},
		{"php-fpm's global section", "[global]\nlog = x\n" + small, `f:1: [global]: unknown section: the keys that php-fpm has in [global] stand above the first section here`},
		{"a section without a name", "[]\n" + small, `f:1: "[]": want a section's name between [ and ]`},
		{"a section without an end", small + "[listen a\n", `f:5: "[listen a": want a ] behind the section's name`},
		{"text behind a section", small + "[listen a] x\n", `f:5: "[listen a] x": want nothing behind the ] but a comment, which begins with white space and ; or #`},
		{"a comment right behind a section", small + "[listen a];x\n", `f:5: "[listen a];x": want nothing behind the ] but a comment, which begins with white space and ; or #`},
		{"a listener without a name", small + "[listen]\naddress = :1\n", `f:5: [listen]: want [listen NAME], the name of letters, digits, dots, dashes and underscores`},
		{"a listener of two names", small + "[listen a b]\naddress = :1\n", `f:5: [listen a b]: want [listen NAME], the name of letters, digits, dots, dashes and underscores`},
		{"a pool with a slash", small + "[fastcgi a/b]\n", `f:5: [fastcgi a/b]: want [fastcgi] or [fastcgi NAME], the name of letters, digits, dots, dashes and underscores`},
		{"a pool twice", small + "[fastcgi default]\naddress = /b\n", `f:5: [fastcgi default]: want this section once; the first is in line 1`},
		{"a route twice", small + "[route /ws/]\nscript = /x.php\n", `f:5: [route /ws/]: want this section once; the first is in line 3`},
		{"a route with a wildcard", pool + "[route /ws/*]\nscript = /x.php\n", "f:3: [route /ws/*]: want a prefix of at most 255 bytes, without \\ % ? # \" * or white space; it matches whole segments by itself"},
		{"a route with dots", pool + "[route /a/../b]\nscript = /x.php\n", `f:3: [route /a/../b]: want a path without //, /./ or /../`},

		{"a pool without an address", "[fastcgi]\nqueue = 1\n" + route, `f:1: [fastcgi]: want a line address = …, with a unix socket, such as unix:/run/php/ws.sock, or host:port, such as 127.0.0.1:9000`},
		{"a route without a script", pool + "[route /ws]\n", `f:3: [route /ws]: want a line script = …, with an absolute path`},
		{"a listener without an address", small + "[listen a]\n", `f:5: [listen a]: want a line address = …, with host:port, such as 127.0.0.1:8080, :8080 or [::1]:8080, or a unix socket, such as unix:/run/ws-fpm.sock, or systemd or systemd:NAME`},
		{"no pool at all", route, `f:1: [route /ws]: want a section [fastcgi] with address = …`},
		{"a misspelt pool", small + "fastcgi = defualt\n", `f:5: [route /ws] fastcgi = "defualt": want a section [fastcgi defualt] with address = …, or did you mean default?`},
		{"a pool of another name", "[fastcgi www]\naddress = /a\n" + route, `f:3: [route /ws]: want a section [fastcgi] with address = …, or fastcgi = www`},

		{"a relative script", pool + "[route /ws]\nscript = ws.php\n", `f:4: [route /ws] script = "ws.php": want an absolute path, which begins with /`},
		{"a script that is a directory", pool + "[route /ws]\nscript = /ws/\n", `f:4: [route /ws] script = "/ws/": want a path without a / at the end`},
		{"a script outside its root", small + "root = /srv\n", `f:4: [route /ws] script = "/var/www/ws.php": want a file below root, which is /srv`},
		{"a script beside its root", small + "root = /var/ww\n", `f:4: [route /ws] script = "/var/www/ws.php": want a file below root, which is /var/ww`},
		{"a socket path of 108 bytes", small + "[listen a]\naddress = /" + strings.Repeat("a", 107) + "\n", `f:6: [listen a] address = "/` + strings.Repeat("a", 79) + `…": want a socket path of at most 107 bytes, this one has 108`},
		{"a relative socket", small + "[listen a]\naddress = unix:run/a.sock\n", `f:6: [listen a] address = "unix:run/a.sock": want an absolute path, which begins with /`},
		{"a mode for a port", small + "[listen a]\naddress = :1\nmode = 0600\n", `f:7: [listen a] mode = "0600": want it only where address is a unix socket`},
		{"one address in the list twice, spelt otherwise", "listen = :1, [::]:1\n" + small, `f:1: listen = ":1, [::]:1": want another address, the global listen has this one`},
		{"one address in the list and a section", "listen = /a.sock\n" + small + "[listen a]\naddress = unix:/a.sock\n", `f:7: [listen a] address = "unix:/a.sock": want another address, the global listen has this one`},
		{"one address in two sections", small + "[listen a]\naddress = LOCALHOST:1\n[listen b]\naddress = localhost:1\n", `f:8: [listen b] address = "localhost:1": want another address, [listen a] has this one`},

		{"a wrong item among right ones", "trusted_proxies = 10.0.0.0/8, 10.0.0.300\n" + small, `f:1: trusted_proxies = "10.0.0.0/8, 10.0.0.300": want IP addresses, prefixes such as 10.0.0.0/8, or unix, separated by commas (in "10.0.0.300")`},
		{"a prefix with bits behind its length", "trusted_proxies = 10.0.0.1/8\n" + small, `f:1: trusted_proxies = "10.0.0.1/8": want 10.0.0.0/8, the prefix without the bits behind its length`},
		{"an origin with a slash", small + "origins = https://a.example/\n", `f:5: [route /ws] origins = "https://a.example/": want origins without a path or a / at the end, such as https://www.example.com`},
		{"an origin without a scheme", small + "origins = a.example\n", `f:5: [route /ws] origins = "a.example": want origins such as https://www.example.com, same, or *`},
		{"any origin beside another", small + "origins = same, *\n", `f:5: [route /ws] origins = "same, *": want * alone: it lets every web page in (in "*")`},

		{"several faults, in the file's order", "log = xml\nping = 0\n[fastcgi]\n[route /ws]\nscript = x\nfastcgi = y\n", strings.Join([]string{
			`f:1: log = "xml": want text or json`,
			`f:2: ping = "0": want a time from 100ms to 1h, with its unit: ms, s, m or h`,
			`f:3: [fastcgi]: want a line address = …, with a unix socket, such as unix:/run/php/ws.sock, or host:port, such as 127.0.0.1:9000`,
			`f:5: [route /ws] script = "x": want an absolute path, which begins with /`,
			`f:6: [route /ws] fastcgi = "y": want a section [fastcgi y] with address = …, or fastcgi = default`,
		}, "\n")},
		{"settings of a second section are checked too", small + "[route /ws]\nscript = /x.php\nwaiting = 0\n", `f:5: [route /ws]: want this section once; the first is in line 3` + "\n" +
			`f:7: [route /ws] waiting = "0": want a number from 1 to 100000`},
		{"settings of a section with a wrong name are checked too", pool + "[route ws]\nscript = \"/a\n", `f:3: [route ws]: want [route /prefix], the beginning of a URL's path` + "\n" +
			`f:4: [route ws] script = "\"/a": want a closing quote`},
		{"settings of a section with text behind it are checked too", small + "[listen a] x\nmode = 9\n", `f:5: "[listen a] x": want nothing behind the ] but a comment, which begins with white space and ; or #` + "\n" +
			`f:6: [listen a] mode = "9": want a mode in octal, from 0000 to 0777`},
		{"an address with a scheme", "listen = ws://localhost:80\n" + small, `f:1: listen = "ws://localhost:80": want host:port or unix:/path, without a scheme such as http://`},
		{"settings of an unknown section are not", small + "[www]\nx = 0\ny\n", `f:5: [www]: unknown section: want [listen NAME], [fastcgi], [fastcgi NAME], [route /prefix] or [control]` + "\n" +
			`f:7: "y": want key = value, [section] or ; comment`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte(test.text))
			if cfg != nil || err == nil || err.Error() != test.want {
				t.Errorf("Parse = %v, error\n%v; want\n%v", cfg, err, test.want)
			}
		})
	}
}

// What only some sections can have wrong. Each row follows a file without fault.
func TestFaultsOfSections(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a certificate alone", "[listen a]\naddress = :1\ntls_cert = /a\n", `f:7: [listen a] tls_cert = "/a": want tls_key too, the key of this certificate`},
		{"a key alone", "[listen a]\naddress = :1\ntls_key = /a\n", `f:7: [listen a] tls_key = "/a": want tls_cert too, the certificate of this key`},
		{"a group for systemd", "[listen a]\naddress = systemd\ngroup = x\n", `f:7: [listen a] group = "x": want it only where address is a unix socket`},
		{"systemd without a name behind the colon", "[listen a]\naddress = systemd:\n", `f:6: [listen a] address = "systemd:": want systemd:NAME, with the FileDescriptorName of the socket unit`},
		{"more streams than connections", "[fastcgi b]\naddress = /b\nmax_conns = 2\nmax_streams = 3\n", `f:8: [fastcgi b] max_streams = "3": want at most max_conns, which is 2`},
		{"control without listen", "[control]\n", `f:5: [control]: want a line listen = …, with a unix socket, such as unix:/run/ws-fpm/control.sock, or a loopback host:port`},
		{"control with a name", "[control a]\n", `f:5: [control a]: want [control], without a name`},
		{"control for everybody", "[control]\nlisten = :9081\ntoken_file = /t\n", `f:6: [control] listen = ":9081": want a unix socket or a loopback address, such as 127.0.0.1:9081`},
		{"a port without a token", "[control]\nlisten = localhost:9081\n", `f:6: [control] listen = "localhost:9081": want token_file too: everybody on this machine can reach a port`},
		{"users for a port", "[control]\nlisten = 127.0.0.1:1\ntoken_file = /t\nallow_users = a\n", `f:8: [control] allow_users = "a": want it only where listen is a unix socket`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f", []byte(small+test.text))
			if err == nil || err.Error() != test.want {
				t.Errorf("error\n%v; want\n%v", err, test.want)
			}
		})
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	for faults, last := range map[int]string{
		99:  `f:99: "x": want key = value, [section] or ; comment`,
		100: `f:100: "x": want key = value, [section] or ; comment`,
		101: `f: and 1 more`,
		524: `f: and 424 more`,
	} {
		_, err := Parse("f", []byte(strings.Repeat("x\n", faults)+small))
		lines := strings.Split(fmt.Sprint(err), "\n")
		if got := lines[len(lines)-1]; got != last || len(lines) > 101 {
			t.Errorf("%d faults: %d lines, the last %q; want %q", faults, len(lines), got, last)
		}
	}
}

func TestSuggestions(t *testing.T) {
	among := []string{"ping", "pong", "max_conns", "max_streams", "queue"}
	tests := []struct{ word, want string }{
		{"ping", "ping"},
		{"pingg", "ping"}, // one letter too many
		{"pnig", "ping"},  // two letters swapped
		{"pi", ""},        // two of four are missing
		{"max_conn", "max_conns"},
		{"maxconns", "max_conns"},
		{"MAX-CONNS", "max_conns"},
		{"mx_cnns", "max_conns"},
		{"max_conns_per_pool", "max_conns"}, // a part, the longest
		{"stream", "max_streams"},
		{"str", ""}, // too short a part
		{"connections", ""},
		{"quue", "queue"},
		{"qxexe", ""}, // two of five are others
		{"", ""},
		{strings.Repeat("ping", 17), ""},
	}
	for _, test := range tests {
		if got := nearest(test.word, among); got != test.want {
			t.Errorf("nearest(%q) = %q; want %q", test.word, got, test.want)
		}
	}
}
