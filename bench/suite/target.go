//go:build linux

package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ws-fpm/bench/report"
)

// A Target is one of the programs that are compared. To add one, add it to
// Targets: a name, and how it is started.
type Target struct {
	report.Target
	// command writes what the program needs into its place, and says how to
	// start it. It must listen there, stay in the foreground, and end at SIGTERM.
	command func(place) ([]string, error)
	lines   []string // of the stub's answers
	// warm is how long it works before round trips are measured, if that is
	// longer than a cell's.
	warm time.Duration
	// settle is how long it needs after it listens.
	settle time.Duration
	// metrics is where its counters are read; nil: it has none.
	metrics func(place) string
	// fanout is how the load publishes, as flags of bench broadcast.
	fanout func(place) []string
}

// Fanouts are what is compared in pushing to many.
func Fanouts() []Target {
	return []Target{
		{Target: report.Target{Key: "ws-fpm", Name: "**ws-fpm**", Kind: report.Ours}, command: wsfpm(""), lines: []string{"WS-Subscribe: bench"}, fanout: func(p place) []string {
			return []string{"-publish", controlAPI(p), "-target", "/channels/bench", "-hello", "-metrics", controlAPI(p)}
		}},
		{Target: report.Target{Key: "nchan", Name: "nginx + nchan"}, command: nginx("nchan.conf"), settle: 2 * time.Second, fanout: func(p place) []string {
			return []string{"-publish", p.listen, "-target", "/publish"}
		}},
		{Target: report.Target{Key: "floor", Name: "the floor: a loop that only writes", Kind: report.Floor}, command: func(p place) ([]string, error) {
			return []string{p.self, "fanout-floor", "-listen", p.listen, "-publish", "unix:" + p.control}, nil
		}, fanout: func(p place) []string { return []string{"-publish", "unix:" + p.control} }},
	}
}

// aging is how long nginx works before it is measured: each subrequest of a
// connection makes the next dearer, and in a short cell that would not be seen.
const aging = 3 * time.Second

// Targets are all that are known, in the order of the tables.
func Targets() []Target {
	return []Target{
		{Target: report.Target{Key: "ws-fpm", Name: "**ws-fpm**", Kind: report.Ours}, command: wsfpm(""), metrics: controlAPI},
		{Target: report.Target{Key: "ws-fpm-8M", Name: "ws-fpm, `keep_alive_body = 8M`", Kind: report.Ours}, command: wsfpm("keep_alive_body = 8M\n")},
		{Target: report.Target{Key: "gws", Name: "Go: lxzan/gws + a lean FastCGI client"}, command: golang("gws")},
		{Target: report.Target{Key: "gorilla", Name: "Go: gorilla/websocket + the lean client"}, command: golang("gorilla")},
		{Target: report.Target{Key: "node", Name: "Node.js: `ws` + a keep-alive FastCGI client"}, command: node},
		{Target: report.Target{Key: "nginx", Name: "nginx + Lua, a FastCGI connection per message", MaxSize: 65535}, command: nginx("nginx.conf"), warm: aging},
		{Target: report.Target{Key: "nginx-keep", Name: "nginx + Lua, upstream keep-alive", MaxSize: 65535}, command: nginx("nginx-keep.conf"), warm: aging},
		{Target: report.Target{Key: "gofast", Name: "Go: gorilla/websocket + gofast, written in an hour"}, command: golang("gofast")},
		{Target: report.Target{Key: "floor", Name: "the floor: the system calls alone", Kind: report.Floor}, command: func(p place) ([]string, error) {
			return []string{p.self, "floor", "-listen", p.listen, "-php", "unix:" + p.php, "-script", p.script, "-conns", strconv.Itoa(p.conns)}, nil
		}},
	}
}

// wsfpm is ws-fpm as it is built here, with further lines in [fastcgi]. A
// connection of the load sends more than the 200 messages a second of the
// default, and there may be more of them than 50,000.
func wsfpm(lines string) func(place) ([]string, error) {
	return func(p place) ([]string, error) {
		conf := filepath.Join(p.dir, "ws-fpm.conf")
		text := fmt.Sprintf("listen = %s\nlog_level = error\nmax_connections = 200000\n[fastcgi]\naddress = unix:%s\nmax_conns = %d\n%s"+
			"[control]\nlisten = unix:%s\n[route /ws]\nscript = %s\norigins = *\nmessage_rate = 1000000\n",
			p.listen, p.php, p.conns, lines, p.control, p.script)
		return []string{p.wsfpm, "serve", "-config", conf}, os.WriteFile(conf, []byte(text), 0o644)
	}
}

// controlAPI is where ws-fpm has it.
func controlAPI(p place) string { return "unix:" + p.control }

func golang(name string) func(place) ([]string, error) {
	return func(p place) ([]string, error) {
		if p.golang == "" {
			return nil, errors.New("the peers in Go could not be built")
		}
		return []string{filepath.Join(p.golang, name), "-listen", p.listen, "-php", p.php, "-script", p.script, "-conns", strconv.Itoa(p.conns)}, nil
	}
}

func node(p place) ([]string, error) {
	if p.node == "" {
		return nil, errors.New("there is no node with ws")
	}
	return []string{p.node, filepath.Join(p.root, "bench/peers/node/server.js"), p.listen, p.php, p.script, strconv.Itoa(p.conns)}, nil
}

func nginx(template string) func(place) ([]string, error) {
	return func(p place) ([]string, error) {
		if p.nginx == "" {
			return nil, errors.New("there is no nginx with lua")
		}
		return []string{"sh", filepath.Join(p.root, "bench/peers/nginx/start"), p.nginx, template, p.dir, p.listen, p.php, p.script, strconv.Itoa(p.conns)}, nil
	}
}
