package config

import (
	"strings"
	"testing"
)

// fileWith is a whole file in which a key of a section has a value. The other
// keys are such that only this one can be wrong.
func fileWith(section, key, value string) string {
	line := key + " = " + value + "\n"
	if key == "" {
		line = ""
	}
	parts := map[string]string{
		"[fastcgi]":       "[fastcgi]\naddress = /p.sock\n",
		"[route /prefix]": "[route /ws]\nscript = /srv/ws.php\n",
		"[listen NAME]":   "[listen a]\naddress = /a.sock\n",
		"[control]":       "[control]\nlisten = /c.sock\n",
	}
	switch section + " " + key {
	case " listen":
		parts["[listen NAME]"] = ""
	case "[fastcgi] address":
		parts[section] = "[fastcgi]\n"
	case "[fastcgi] max_streams":
		parts[section] += "max_conns = 100000\n"
	case "[route /prefix] script":
		parts[section] = "[route /ws]\nroot = /\n"
	case "[route /prefix] fastcgi":
		parts[section] = "[fastcgi b]\naddress = /b.sock\n" + parts[section]
	case "[listen NAME] address":
		parts[section] = "[listen a]\n"
	case "[listen NAME] tls_cert":
		parts[section] += "tls_key = /k\n"
	case "[listen NAME] tls_key":
		parts[section] += "tls_cert = /c\n"
	case "[control] listen":
		parts[section] = "[control]\n"
		if !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "unix:") {
			parts[section] += "token_file = /t\n"
		}
	}
	if section == "" {
		parts["[fastcgi]"] = line + parts["[fastcgi]"]
	} else {
		parts[section] += line
	}
	return parts["[fastcgi]"] + parts["[route /prefix]"] + parts["[listen NAME]"] + parts["[control]"]
}

// A rangeRow lists values of a key, separated by bars, that are in its range
// and outside.
type rangeRow struct{ section, key, good, bad string }

func times(section, key, least, below, most, above string) rangeRow {
	return rangeRow{section, key, least + "|" + most, below + "|" + above + "|0|0s|1|-1s|1d|1.5s|s|99999999999h"}
}

func sizes(section, key, least, below, most, above string) rangeRow {
	return rangeRow{section, key, least + "|" + most, below + "|" + above + "|-1|1T|1kb|k|1.5k|99999999999999999999|9999999999G"}
}

func counts(section, key, most, above string) rangeRow {
	return rangeRow{section, key, "1|" + most, "0|" + above + "|-1|+1|1k|0x1|1_0|99999999999999999999|one"}
}

func long(n int) string { return "/" + strings.Repeat("a", n-1) }

func rangeRows() []rangeRow {
	addresses := "127.0.0.1:0|127.0.0.1:65535|:8080|[::1]:8080|[fe80::1%eth0]:1|localhost:1|php_1.example:1|/a|unix:/a|" + long(107) + "|unix:" + long(107)
	noAddresses := "8080|127.0.0.1|127.0.0.1:65536|127.0.0.1:|127.0.0.1:-1|127.0.0.1:http|::1:8080|[::1]|[127.0.0.1]:1|[::1:1|256.0.0.1:1|1.2.3:1|a b:1|a..b:1|*:1|unix:a|unix:|unix:@a|/|/a/|//a|/a/../b|" +
		long(108) + "|unix:" + long(108) + "|" + strings.Repeat("a", 64) + ":1|" + strings.Repeat("a.", 127) + "a:1"
	modes, noModes := "0660|660|0000|0777|600", "0888|1000|01777|66|rw|-660|+660|00660|0o66"
	groups, noGroups := "www-data|33|_www|domain users|"+strings.Repeat("a", 255), "a:b|a/b|a, b|"+strings.Repeat("a", 256)
	paths, noPaths := "/a|/a/b.c|/a b|"+long(4095), "a|./a|/a/|//a|/a/./b|/a/../b|/..|"+long(4096)
	return []rangeRow{
		{"", "listen", addresses + "|systemd|systemd:a|:1, :2", noAddresses + "|systemd:|systemd:a/b|systemdx|:0, :0"},
		{"", "log", "text|json", "xml|Text|text, json"},
		{"", "log_level", "debug|info|warn|error", "warning|INFO|4"},
		times("", "drain", "1ms", "0ms", "1h", "3601s"),
		counts("", "max_connections", "10000000", "10000001"),
		counts("", "max_handshakes", "1000000", "1000001"),
		times("", "handshake_timeout", "1ms", "0ms", "5m", "5m1ms"),
		{"", "trusted_proxies", "10.0.0.1|10.0.0.0/8|0.0.0.0/0|::1|2001:db8::/32|unix|::ffff:10.0.0.1|unix, ::1",
			"10.0.0.256|10.0.0.1/8|10.0.0.0/33|fe80::1%eth0|localhost|10.0.0.1:80|unix:/a|::ffff:10.0.0.0/104|/8|*"},
		counts("", "connections_per_address", "1000000", "1000001"),
		sizes("", "buffers", "64k", "65535", "1024G", "1099511627777"),
		times("", "ping", "100ms", "99ms", "1h", "60m1s"),
		times("", "pong", "100ms", "99ms", "1h", "1h1ms"),
		{"[listen NAME]", "address", addresses + "|systemd|systemd:a", noAddresses + "|systemd:"},
		{"[listen NAME]", "mode", modes, noModes},
		{"[listen NAME]", "group", groups, noGroups},
		{"[listen NAME]", "tls_cert", paths, noPaths},
		{"[listen NAME]", "tls_key", paths, noPaths},
		{"[fastcgi]", "address", "127.0.0.1:1|php:65535|[::1]:9000|/a|unix:/a|" + long(107), noAddresses + "|:9000|127.0.0.1:0|systemd"},
		counts("[fastcgi]", "max_conns", "100000", "100001"),
		counts("[fastcgi]", "max_streams", "100000", "100001"),
		{"[fastcgi]", "keep_alive", "0|0s|1ms|1h", "1|1h1ms|-1s|off"},
		sizes("[fastcgi]", "keep_alive_body", "1", "0", "1G", "1073741825"),
		times("[fastcgi]", "connect_timeout", "1ms", "0ms", "1m", "61s"),
		times("[fastcgi]", "timeout", "1ms", "0ms", "24h", "24h1ms"),
		times("[fastcgi]", "stream_timeout", "1ms", "0ms", "24h", "24h1ms"),
		times("[fastcgi]", "max_stream", "1ms", "0ms", "24h", "24h1ms"),
		counts("[fastcgi]", "queue", "1000000", "1000001"),
		times("[fastcgi]", "queue_timeout", "1ms", "0ms", "10m", "10m1ms"),
		{"[fastcgi]", "multiplex", "off|auto", "on|yes|Off"},
		{"[route /prefix]", "script", paths, noPaths},
		{"[route /prefix]", "root", "/|/srv|/srv/", "srv|/srv//|//srv|/srv/."},
		{"[route /prefix]", "fastcgi", "default|b", "c|a b|a, b|" + strings.Repeat("a", 65)},
		{"[route /prefix]", "events", "message|connect|disconnect, message, connect", "start|Message|message, message|message connect"},
		{"[route /prefix]", "origins", "same|*|https://a.example|https://a.example:65535|http://[::1]:80|http://127.0.0.1|capacitor://localhost|same, https://a.example",
			"null|a.example|https://|https://a.example/|https://a.example:|https://a.example:0|https://a.example:65536|https://a.example:080|https://a.example?x|https://u@a.example|https://*.example|https://bücher.example|://a|1a://a|*, same|same, same|https://::1"},
		{"[route /prefix]", "subprotocols", "chat|chat.v1, chat.v2|!#$%&'*+-.^_`~", "a b|a/b|a;b|ä|a, a"},
		sizes("[route /prefix]", "max_message", "1", "0", "1G", "1073741825"),
		sizes("[route /prefix]", "max_reply", "1", "0", "1G", "1073741825"),
		sizes("[route /prefix]", "fragment", "128", "127", "16M", "16777217"),
		{"[route /prefix]", "content_type", "auto|text/plain|text/plain;charset=utf-8|text/plain; charset=utf-8|application/x-www-form-urlencoded|application/vnd.a+json|a/" + strings.Repeat("b", 253),
			"text|/plain|text/|te xt/plain|text/plain/x|tëxt/plain|a/" + strings.Repeat("b", 254)},
		{"[route /prefix]", "on_error", "message|close|ignore", "none|Close|message, close"},
		counts("[route /prefix]", "message_rate", "1000000", "1000001"),
		sizes("[route /prefix]", "outbox", "1k", "1023", "1G", "1073741825"),
		counts("[route /prefix]", "waiting", "100000", "100001"),
		{"[route /prefix]", "compression", "off|on", "yes|auto|true"},
		{"[control]", "listen", "/a|unix:/a|127.0.0.1:9081|[::1]:9081|localhost:9081", noAddresses + "|:9081|0.0.0.0:9081|[::]:9081|192.0.2.1:9081|example:9081"},
		{"[control]", "mode", modes, noModes},
		{"[control]", "group", groups, noGroups},
		{"[control]", "allow_users", "a|33|a, b", "a:b|a/b|a, a"},
		{"[control]", "allow_groups", "a|33|a, b", "a:b|a/b|a, a"},
		{"[control]", "token_file", paths, noPaths},
		{"[control]", "api", "http://a|https://a:1/b|unix:/a|/a", "a|http://|ftp://a|http://a b|unix:a|http://u@a|http://a?b|http://a#b"},
		{"[control]", "metrics", addresses, noAddresses},
	}
}

// Every key of every section, below, at and above its range.
func TestRanges(t *testing.T) {
	covered := map[string]bool{}
	for _, r := range rangeRows() {
		covered[r.section+" "+r.key] = true
		for _, value := range strings.Split(r.good, "|") {
			if _, err := Parse("f", []byte(fileWith(r.section, r.key, value))); err != nil {
				t.Errorf("%s %s = %s: %v; want it accepted", r.section, r.key, value, err)
			}
		}
		for _, value := range strings.Split(r.bad, "|") {
			_, err := Parse("f", []byte(fileWith(r.section, r.key, value)))
			if err == nil || !strings.Contains(err.Error(), r.key+" = ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s %s = %s: error %v; want one, of this key alone", r.section, r.key, value, err)
			}
		}
	}
	for _, k := range Reference() {
		if !covered[k.Section+" "+k.Key] {
			t.Errorf("%s %s has no row", k.Section, k.Key)
		}
	}
}

// What stands in the reference as a default is accepted as a value, and means
// the same as leaving the key out.
func TestDefaultsCanBeWritten(t *testing.T) {
	for _, k := range Reference() {
		if k.Default == "" || strings.Contains(k.Default, " ") {
			continue
		}
		if _, err := Parse("f", []byte(fileWith(k.Section, k.Key, k.Default))); err != nil {
			t.Errorf("%s %s = %s, its default: %v", k.Section, k.Key, k.Default, err)
		}
	}
}
