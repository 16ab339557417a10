package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"ws-fpm/config"
	"ws-fpm/fastcgi"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
)

// newReloader serves nothing, but has what a reload changes.
func newReloader(t *testing.T, text string) (*reloader, *metrics.Registry) {
	t.Helper()
	registry := new(metrics.Registry)
	r := &reloader{file: writeConfig(t, text), log: slog.New(slog.NewTextHandler(t.Output(), nil)), level: new(slog.LevelVar),
		count: newReloadCounters(registry)}
	c, settings, err := config.Read(r.file)
	if err != nil {
		t.Fatal(err)
	}
	r.started, r.settings = settings, settings
	r.config.Store(c)
	if r.pools, err = newPools(c.Pools, r.log); err != nil {
		t.Fatal(err)
	}
	observePools(registry, r.pools)
	if r.gateway, err = gateway.New(t.Context(), gatewayOptions(c, r.pools.set(), r.log)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.gateway.Shutdown(ctx)
		r.pools.close(context.Background())
	})
	return r, registry
}

const twoPools = `[fastcgi]
address = /a.sock
[fastcgi b]
address = /b.sock
[route /ws]
script = /srv/ws.php
`

// A pool that has not changed keeps its client, and one that has gets another.
// What the old one has counted is still counted, and it is closed.
func TestReloadPools(t *testing.T) {
	r, registry := newReloader(t, twoPools)
	was := r.pools.set()
	for range 3 {
		if _, err := was["b"].client.Do(t.Context(), &fastcgi.Request{}); err == nil {
			t.Fatal("an answer from nobody")
		}
	}
	counted := func() string {
		var text output
		registry.WriteText(&text)
		for line := range strings.Lines(text.String()) {
			if rest, is := strings.CutPrefix(line, `ws_fpm_pool_requests_total{pool="b",result="not_executed"} `); is {
				return strings.TrimSpace(rest)
			}
		}
		return "nothing"
	}
	rewrite(t, r.file, strings.Replace(twoPools, "/b.sock", "/b.sock\nqueue = 7", 1))
	if !r.reload() {
		t.Fatal("refused")
	}
	now := r.pools.set()
	r.pools.closing.Wait()
	if now["default"].client != was["default"].client || now["b"].client == was["b"].client {
		t.Error("want the client of the pool that has changed to be another, and that one alone")
	}
	if n := len(r.pools.leaving); n != 0 || counted() != "3" {
		t.Errorf("%d clients are leaving, %s requests are counted; want none, and 3", n, counted())
	}
	if _, err := was["b"].client.Do(t.Context(), &fastcgi.Request{}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("the old client: %v; want it to be closed", err)
	}
	rewrite(t, r.file, strings.Replace(twoPools, "[fastcgi b]\naddress = /b.sock\n", "", 1))
	if !r.reload() {
		t.Fatal("refused")
	}
	r.pools.closing.Wait()
	if counted() != "nothing" || len(r.pools.past) != 0 {
		t.Errorf("%s of a pool that is gone, whose past is %v; want nothing", counted(), r.pools.past)
	}
}

// A client that is replaced and still used stays open until it is not.
func TestPoolsKeepWhatIsUsed(t *testing.T) {
	pools, err := newPools([]config.Pool{{Name: "a", Network: "unix", Address: "/a", MaxConns: 1}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	old := pools.set()["a"].client
	change := func(queue int, used bool) {
		t.Helper()
		set, err := pools.prepare([]config.Pool{{Name: "a", Network: "unix", Address: "/a", MaxConns: 1, Queue: queue}})
		if err != nil {
			t.Fatal(err)
		}
		pools.use(set, func(c *fastcgi.Client) bool { return used && c == old })
		pools.closing.Wait()
	}
	change(1, true)
	if pools.leaving[old] == nil {
		t.Error("a client that is used is closed")
	}
	change(2, true)
	if n := len(pools.leaving); n != 1 {
		t.Errorf("%d are leaving; want the one that is used", n)
	}
	change(3, false)
	if n := len(pools.leaving); n != 0 {
		t.Errorf("%d are leaving; want none", n)
	}
	pools.close(t.Context())
}

// What is refused leaves all as it was: the gateway's routes and the level too.
func TestReloadRefusedChangesNothing(t *testing.T) {
	r, _ := newReloader(t, twoPools)
	was, c := r.pools.set(), r.config.Load()
	for name, text := range map[string]string{
		"a fault in the last line":         "log_level = debug\n" + twoPools + "wrong = 1\n",
		"a fault that the gateway finds":   "log_level = debug\n" + strings.Replace(twoPools, "/srv/ws.php", "/srv/"+strings.Repeat("x", 70000)+".php", 1),
		"a pool that would change as well": "log_level = debug\n" + strings.Replace(twoPools, "/b.sock", "/c.sock", 1) + "[route /ws]\nscript = /x.php\n",
	} {
		rewrite(t, r.file, text)
		if r.reload() {
			t.Errorf("%s: taken over", name)
		}
		if r.level.Level() != slog.LevelInfo || r.config.Load() != c || r.pools.set()["b"] != was["b"] || len(r.pools.leaving) > 0 {
			t.Errorf("%s: something has changed", name)
		}
	}
	if n := r.count[reloadConfiguration].Value(); n != 3 {
		t.Errorf("%d are counted; want 3", n)
	}
}

// A control API whose address is another one is, before a restart, served and
// told of where it was, to whom it was.
func TestReloadControlElsewhere(t *testing.T) {
	base := twoPools + "[control]\nlisten = /c1\nallow_users = 1\n"
	r, _ := newReloader(t, base)
	r.private = new(private)
	for _, test := range []struct {
		name, from, to string
		address, api   string
		access         bool
	}{
		{"as it was", "", "", "/c1", "unix:/c1", true},
		{"others may use it", "allow_users = 1", "allow_users = 2", "/c1", "unix:/c1", true},
		{"PHP is to look elsewhere", "allow_users = 1", "api = http://a.example", "/c1", "http://a.example", true},
		{"another address", "/c1\nallow_users = 1", "/c2", "/c1", "unix:/c1", false},
		{"no section", "[control]\nlisten = /c1\nallow_users = 1\n", "", "/c1", "unix:/c1", false},
	} {
		rewrite(t, r.file, strings.Replace(base, test.from, test.to, 1))
		next, _, err := r.prepare()
		if err != nil {
			t.Fatal(err)
		}
		if c := next.config.Control; c == nil || c.Address != test.address || c.API != test.api || (next.access != nil) != test.access {
			t.Errorf("%s: %+v, access %v; want it at %s, told as %s", test.name, c, next.access, test.address, test.api)
		}
	}
	r.private = nil
	r.config.Load().Control = nil
	if next, _, err := r.prepare(); err != nil || next.config.Control != nil {
		t.Errorf("a control API that is not served: %v, %v; want none", next.config, err)
	}
}

// A reload during a shutdown is refused, and counted as that.
func TestReloadDuringAShutdown(t *testing.T) {
	r, _ := newReloader(t, twoPools)
	if err := r.gateway.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	rewrite(t, r.file, "log_level = debug\n"+twoPools)
	if r.reload() || r.level.Level() != slog.LevelInfo {
		t.Error("taken over")
	}
	r.refuse()
	if n := r.count[reloadDraining].Value(); n != 2 {
		t.Errorf("%d are counted; want 2", n)
	}
}

// The manager hears of the beginning and the end of a reload, whatever came of
// it, and when it began by a clock that it can compare with its own.
func TestReloadNotifies(t *testing.T) {
	address := t.TempDir() + "/notify"
	c := manager(t, address)
	r, _ := newReloader(t, twoPools)
	p := &process{log: r.log, reloader: r, manager: &notifier{socket: address}}
	for _, test := range []struct{ text, status string }{
		{twoPools, "serving"},
		{"wrong", "serving; the last reload was refused, see the log"},
	} {
		rewrite(t, r.file, test.text)
		p.reload()
		got := received(t, c)
		if len(got) != 2 || got[1] != "READY=1\nSTATUS="+test.status {
			t.Fatalf("received %q; want the end, with %q", got, test.status)
		}
		first, clock, _ := strings.Cut(got[0], "\n")
		if first != "RELOADING=1" {
			t.Errorf("received %q; want RELOADING=1", got[0])
		}
		if uptime, err := os.Open("/proc/uptime"); err == nil {
			text, _ := io.ReadAll(uptime)
			uptime.Close()
			seconds, _ := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
			usec, err := strconv.ParseFloat(strings.TrimPrefix(clock, "MONOTONIC_USEC="), 64)
			if err != nil || usec < (seconds-5)*1e6 || usec > (seconds+2.1)*1e6 {
				t.Errorf("%s after %v s, %v; want the next second", clock, seconds, err)
			}
		}
	}
}

func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
