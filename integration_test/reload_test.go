package integration_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ws-fpm/config"
)

// reload has the program take over conf, and reports whether it did.
func (g *gateway) reload(conf string) (applied bool) {
	g.t.Helper()
	writeFile(g.t, g.conf, conf)
	return g.hangUp()
}

// hangUp sends SIGHUP, and reports whether the configuration was taken over.
func (g *gateway) hangUp() (applied bool) {
	g.t.Helper()
	from := len(g.log())
	g.signal(syscall.SIGHUP)
	eventually(g.t, 10*time.Second, "it says what came of the reload", func() bool {
		applied = g.logged(from, "msg=reloaded") == 1
		return applied || g.logged(from, "nothing has changed") == 1
	})
	return applied
}

// A reloadRow changes one key of one section and looks at what comes of it.
type reloadRow struct {
	section, key  string
	before, after string

	// lines are of the handshakes, ask is what both connections ask the script:
	// one that was there before the reload, and one that came after it.
	lines []string
	ask   string
	// was is the answer before it, old and fresh are those of both after it.
	was, old, fresh string
}

// unseen is a row of a key of which no answer shows anything.
func unseen(section, key, before, after string) reloadRow {
	return reloadRow{section, key, before, after, nil, "x", "x", "x", "x"}
}

func reloadRows(f *phpFPM, cert, key string) []reloadRow {
	const pool, route, listen, control = "[fastcgi]", "[route /ws]", "[listen web]", "[control]"
	page := []string{"Origin: http://page.example"}
	long := strings.Repeat("y", 300)
	me, other := itoa(os.Getgid()), itoa(os.Getgid()+1)
	return []reloadRow{
		unseen("", "listen", "127.0.0.1:0", "127.0.0.1:1"),
		unseen("", "log", "text", "json"),
		unseen("", "log_level", "info", "debug"),
		unseen("", "drain", "20s", "21s"),
		{"", "max_connections", "100", "1", nil, "x", "x", "x", "refused 503"},
		unseen("", "max_handshakes", "1000", "1001"),
		unseen("", "handshake_timeout", "10s", "11s"),
		{"", "trusted_proxies", "192.0.2.1", "127.0.0.1", []string{"X-Forwarded-For: 192.0.2.9"}, "REMOTE_ADDR", "127.0.0.1", "127.0.0.1", "192.0.2.9"},
		unseen("", "connections_per_address", "200", "201"),
		unseen("", "buffers", "256M", "255M"),
		unseen("", "ping", "25s", "24s"),
		unseen("", "pong", "10s", "11s"),

		unseen(listen, "address", f.file("web"), f.file("web2")),
		unseen(listen, "mode", "0660", "0600"),
		unseen(listen, "group", me, other),
		unseen(listen, "tls_cert", cert, cert+".2"),
		unseen(listen, "tls_key", key, key+".2"),

		{pool, "address", f.configAddress(), f.file("nobody"), nil, "x", "x", "backend_failed,backend_failed", "backend_failed,backend_failed"},
		unseen(pool, "max_conns", "4", "3"),
		unseen(pool, "max_streams", "2", "1"),
		unseen(pool, "keep_alive", "1s", "2s"),
		unseen(pool, "keep_alive_body", "8k", "9k"),
		unseen(pool, "connect_timeout", "1s", "2s"),
		{pool, "timeout", "20s", "400ms", nil, "sleep", "slept", "backend_timeout", "backend_timeout"},
		unseen(pool, "stream_timeout", "30s", "31s"),
		unseen(pool, "max_stream", "10m", "11m"),
		unseen(pool, "queue", "1024", "1025"),
		unseen(pool, "queue_timeout", "5s", "6s"),
		unseen(pool, "multiplex", "off", "auto"),

		{route, "script", f.file("reload.php"), f.file("echo.php"), nil, "WS_EVENT", "message", "WS_EVENT", "WS_EVENT"},
		{route, "root", f.dir, "/", nil, "DOCUMENT_ROOT", f.dir, "/", "/"},
		{route, "fastcgi", "default", "b", nil, "x", "x", "backend_failed,backend_failed", "backend_failed,backend_failed"},
		{route, "events", "message", "message, disconnect", nil, "WS_EVENTS", "message", "message", "message,disconnect"},
		{route, "origins", "http://page.example", "same", page, "x", "x", "x", "refused 403"},
		{route, "subprotocols", "a", "b", []string{"Sec-WebSocket-Protocol: b, a"}, "WS_SUBPROTOCOL", "a", "a", "b"},
		{route, "max_message", "1M", "200", nil, long, long, long, "closed 1009"},
		{route, "max_reply", "1M", "200", nil, long, long, "reply_too_big", "reply_too_big"},
		{route, "fragment", "64k", "150", nil, long, long, long, "2 frames " + long},
		{route, "content_type", "text/plain", "text/css", nil, "CONTENT_TYPE", "text/plain", "text/css", "text/css"},
		{route, "on_error", "message", "ignore", nil, "fail", "backend_failed", "", ""},
		unseen(route, "message_rate", "200", "201"),
		unseen(route, "outbox", "1M", "2M"),
		unseen(route, "waiting", "64", "65"),
		unseen(route, "compression", "off", "on"),

		unseen(control, "listen", f.file("control"), f.file("control2")),
		unseen(control, "mode", "0660", "0600"),
		unseen(control, "group", me, other),
		unseen(control, "allow_users", "1", "2"),
		unseen(control, "allow_groups", "1", "2"),
		unseen(control, "token_file", f.file("token"), f.file("token2")),
		unseen(control, "api", "http://127.0.0.1:1", "http://127.0.0.1:2"),
		unseen(control, "metrics", f.file("metrics"), f.file("metrics2")),
	}
}

// reloadConf is the file of rows as they are before, but for changed. A key
// that this version does not have is left out.
func reloadConf(rows []reloadRow, changed int) string {
	sections := map[string]string{}
	for i, row := range rows {
		value := row.before
		if i == changed {
			value = row.after
		}
		if row.built() {
			sections[row.section] += row.key + " = " + value + "\n"
		}
	}
	conf := sections[""] + "[fastcgi b]\naddress = /nobody\n"
	for _, s := range []string{"[fastcgi]", "[route /ws]", "[listen web]", "[control]"} {
		conf += s + "\n" + sections[s]
	}
	return conf
}

// built reports whether this version has what the row asks for.
func (r reloadRow) built() bool {
	_, err := config.Parse("", []byte(r.section+"\n"+r.key+" = "+r.after+"\n"))
	return err == nil || !strings.Contains(err.Error(), "not available in this version")
}

// shows gives what c is answered, in words.
func (c *client) shows(t *testing.T, ask string) string {
	t.Helper()
	c.text(ask)
	c.text("end") // is answered whatever becomes of the other
	for answers := []string(nil); ; {
		frames, text := 0, ""
		for fin := false; !fin; frames++ {
			f, err := c.frame()
			if err != nil {
				t.Fatal(err)
			}
			if f.op == opClose {
				code, _, _ := parseClose(f.payload)
				return "closed " + itoa(code)
			}
			text, fin = text+string(f.payload), f.fin
		}
		if m := failed.FindStringSubmatch(text); m != nil {
			text = m[1]
		}
		if frames > 1 {
			text = itoa(frames) + " frames " + text
		}
		if answers = append(answers, text); text == "end" || len(answers) == 2 {
			return strings.TrimSuffix(strings.TrimSuffix(strings.Join(answers, ","), "end"), ",")
		}
	}
}

// TestReloadTable goes through the README's table: whatever key is changed, no
// connection closes, and what is new comes when the table says so.
func TestReloadTable(t *testing.T) {
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4", "php_admin_value[display_errors] = off"}})
	f.write("reload.php", `<?php
$m = file_get_contents('php://input');
if ($m === 'sleep') { usleep(1000000); $m = 'slept'; }
if ($m === 'fail') { http_response_code(500); return; }
echo preg_match('/^[A-Z_]+$/', $m) ? $_SERVER[$m] ?? '' : $m;
`)
	cert, key := makeCertificate(t, f.dir, 1, time.Hour)
	for _, file := range []string{cert, key} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file+".2", string(b))
	}
	for _, file := range []string{f.file("token"), f.file("token2")} {
		if err := os.WriteFile(file, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows := reloadRows(f, cert, key)
	g := startGateway(t, reloadConf(rows, -1))
	stays := dial(t, g.at("/ws"))
	defer func() { stays.conn.Close() }()
	reference := map[string]config.Reload{}
	for _, k := range config.Reference() {
		section := strings.NewReplacer("/prefix", "/ws", "NAME", "web").Replace(k.Section)
		reference[section+" "+k.Key] = k.Reload
		if !slices.ContainsFunc(rows, func(r reloadRow) bool { return r.section == section && r.key == k.Key }) {
			t.Errorf("no row for %s %s", k.Section, k.Key)
		}
	}
	for i, row := range rows {
		name := strings.TrimSpace(row.section + " " + row.key)
		t.Run(name, func(t *testing.T) {
			if !row.built() {
				t.Skip("not in this version")
			}
			if !g.reload(reloadConf(rows, -1)) {
				t.Fatal("the base is refused")
			}
			old := dial(t, g.at("/ws", row.lines...))
			if got := old.shows(t, row.ask); got != row.was {
				t.Errorf("before: %.60q; want %.60q", got, row.was)
			}
			from := len(g.log())
			if !g.reload(reloadConf(rows, i)) {
				t.Fatal("refused")
			}
			took := reference[row.section+" "+row.key]
			if got := old.shows(t, row.ask); got != row.old {
				t.Errorf("a connection of before, %s: %.60q; want %.60q", took, got, row.old)
			}
			if got := g.visit(t, row); got != row.fresh {
				t.Errorf("a new connection, %s: %.60q; want %.60q", took, got, row.fresh)
			}
			changes, warnings := 0, 0
			for _, line := range g.log()[from:] {
				if strings.Contains(line, "msg=reloaded") && strings.Contains(line, row.key) {
					changes++
				}
				if strings.Contains(line, "takes a restart") && strings.Contains(line, row.key) {
					warnings++
				}
			}
			if restart := took == config.Restart; restart != (warnings == 1) || restart != (changes == 0) {
				t.Errorf("%s, and logged as a change %d times, as waiting for a restart %d times", took, changes, warnings)
			}
			if row.key == "log_level" {
				eventually(t, 5*time.Second, "it logs more", func() bool { return g.logged(from, "level=DEBUG") > 0 })
			}
			if row.old != "closed 1009" {
				old.conn.Close()
			}
		})
	}
	if !g.reload(reloadConf(rows, -1)) {
		t.Fatal("the base is refused")
	}
	if got := stays.shows(t, "x"); got != "x" {
		t.Errorf("a connection through all of it: %q", got)
	}
	reloads := float64(2*len(rows) + 1 - 2*len(slices.DeleteFunc(slices.Clone(rows), reloadRow.built)))
	g.wantMetrics(series{`ws_fpm_reloads_total{result="applied"}`: reloads})
}

// visit gives what a new connection shows.
func (g *gateway) visit(t *testing.T, row reloadRow) string {
	t.Helper()
	h := g.at("/ws", row.lines...)
	c, err := connect(h)
	if err != nil {
		r, _ := refused(t, h)
		return "refused " + itoa(r.StatusCode)
	}
	defer c.conn.Close()
	return c.shows(t, row.ask)
}
