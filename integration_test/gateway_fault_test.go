package integration_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGatewayFaults: each way in which PHP can fail is one word for the client,
// and the connection goes on.
func TestGatewayFaults(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4", "php_admin_value[display_errors] = off"}})
	f.write("redirect.php", "<?php header('Location: /');")
	f.write("close.php", "<?php header('WS-Close: 1006');")
	f.write("header.php", "<?php header('X-Long: ' . str_repeat('x', 20000));")
	g := startGateway(t, f.config("",
		"/missing nothing.php", "/fault fault.php", "/parse parse_error.php", "/redirect redirect.php", "/close close.php",
		"/header header.php", "/output output.php\nmax_reply = 64k", "/record record.php"))
	for _, test := range []struct{ name, path, message, word string }{
		{"no script", "/missing", "x", "backend_failed"},
		{"a parse error", "/parse", "x", "backend_failed"},
		{"a fatal error", "/fault", "fatal", "backend_failed"},
		{"an exception", "/fault", "exception", "backend_failed"},
		{"no memory", "/fault", "memory", "backend_failed"},
		{"a worker that is killed", "/record", "killed!", "backend_failed"},
		{"a redirect", "/redirect", "x", "bad_reply"},
		{"a code that may not be sent", "/close", "x", "bad_reply"},
		{"a head over 16 KiB", "/header", "x", "bad_reply"},
		{"a reply one byte over max_reply", "/output", "65537", "reply_too_big"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, g.at(test.path))
			c.text(test.message)
			id := c.wantFailure(t, test.word, 1)
			c.text(test.message)
			if again := c.wantFailure(t, test.word, 2); again != id {
				t.Errorf("connection is %s, then %s", id, again)
			}
			eventually(t, 5*time.Second, "two lines in the log about the connection",
				func() bool { return g.logged(0, "connection="+id) >= 2 })
			c.goodbye(t)
		})
	}
	if n := f.executions()["killed!"]; n != 2 {
		t.Errorf("two messages ran %d times", n)
	}
	c := dial(t, g.at("/fault"))
	for message, want := range map[string]string{"exit 3": "bye", "fatal after flush": "partial", "x": "fine"} {
		if got := c.ask(t, message); got != want {
			t.Errorf("%s: got %q, want %q", message, got, want)
		}
	}
	c = dial(t, g.at("/output"))
	c.text("65536")
	if _, got, err := c.message(); len(got) != 65536 {
		t.Errorf("a reply of max_reply: %d bytes, %v", len(got), err)
	}
}

// TestGatewayOnError: the client learns of a failure in the way the route says.
func TestGatewayOnError(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"php_admin_value[display_errors] = off"}})
	g := startGateway(t, f.config("", "/close fault.php\non_error = close", "/ignore fault.php\non_error = ignore"))
	c := dial(t, g.at("/close"))
	c.text("fatal")
	if reason := c.wantClose(t, 1011); reason != "backend_failed" {
		t.Errorf("reason is %q", reason)
	}
	c = dial(t, g.at("/ignore"))
	c.text("fatal")
	if got := c.ask(t, "x"); got != "fine" {
		t.Errorf("after a failure nobody is told of: %q", got)
	}
}

// TestGatewayWorkerKilled: a message whose worker dies has an unknown outcome
// and is not sent again; the next one on the same connection is fine.
func TestGatewayWorkerKilled(t *testing.T) {
	t.Parallel()
	f, g := serving(t, "", "record.php")
	c := dial(t, g.at("/ws"))
	c.echo(t, "first")
	c.text("second!")
	id := c.wantFailure(t, "backend_failed", 2)
	c.echo(t, "third")
	for _, message := range []string{"first", "second!", "third"} {
		if n := f.executions()[message]; n != 1 {
			t.Errorf("%s ran %d times, want once", message, n)
		}
	}
	eventually(t, 5*time.Second, "the log says that the outcome is unknown", func() bool {
		return slices.ContainsFunc(g.log(), func(s string) bool {
			return strings.Contains(s, "connection="+id) && strings.Contains(s, "outcome=unknown")
		})
	})
	g.wantMetrics(series{`ws_fpm_pool_requests_total{pool="default",result="unknown"}`: 1})
}

// TestGatewayTimeout: a script over timeout costs its client an error, in time,
// and nobody else anything.
func TestGatewayTimeout(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4"}})
	conf := strings.Replace(f.config("", "/ws slow.php"), "[fastcgi]\n", "[fastcgi]\ntimeout = 1s\n", 1)
	g := startGateway(t, conf)
	slow, quick := dial(t, g.at("/ws")), dial(t, g.at("/ws"))
	begun := time.Now()
	slow.text("3000000 slow")
	eventually(t, 5*time.Second, "the script runs", func() bool { return f.executions()["slow"] == 1 })
	quick.echo(t, "0 quick")
	slow.wantFailure(t, "backend_timeout", 1)
	if took := time.Since(begun); took < time.Second || took > 2500*time.Millisecond {
		t.Errorf("timeout = 1s struck after %v", took)
	}
	slow.echo(t, "0 again")
	if n := f.executions()["slow"]; n != 1 {
		t.Errorf("the script ran %d times", n)
	}
}

// TestGatewayBusy: with no room in the pool's queue a message gets its error
// at once, and with no turn in time soon.
func TestGatewayBusy(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	conf := strings.Replace(f.config("", "/ws slow.php"), "[fastcgi]\n",
		"[fastcgi]\nmax_conns = 1\nqueue = 1\nqueue_timeout = 500ms\n", 1)
	g := startGateway(t, conf)
	running, waiting, refused := dial(t, g.at("/ws")), dial(t, g.at("/ws")), dial(t, g.at("/ws"))
	running.text("1500000 running")
	eventually(t, 5*time.Second, "the script runs", func() bool { return f.executions()["running"] == 1 })
	waiting.text("0 waiting")
	queued := func() bool { return g.metrics()[`ws_fpm_pool_waiting{pool="default",state="waiting"}`] == 1 }
	eventually(t, time.Second, "a message waits", queued)
	refused.text("0 refused")
	refused.wantFailure(t, "backend_busy", 1)
	waiting.wantFailure(t, "backend_busy", 1)
	running.wantText(t, "1500000 running")
	if e := f.executions(); e["waiting"]+e["refused"] != 0 {
		t.Errorf("what was refused ran: %v", e)
	}
	g.wantMetrics(series{
		`ws_fpm_pool_events_total{event="queue_full",pool="default"}`:    1,
		`ws_fpm_pool_events_total{event="queue_timeout",pool="default"}`: 1,
		`ws_fpm_events_total{event="message",result="backend_busy"}`:     2,
	})
}

// TestGatewayPingWhilePHPWorks: a script that takes its time does not keep the
// client from its pongs.
func TestGatewayPingWhilePHPWorks(t *testing.T) { // measures time: not parallel
	f, g := serving(t, "", "slow.php")
	c := dial(t, g.at("/ws"))
	us := scaled(1_500_000, 5_000_000)
	message := itoa(us) + " id"
	c.text(message)
	eventually(t, 5*time.Second, "the script runs", func() bool { return f.executions()["id"] == 1 })
	var took []time.Duration
	for i := range us / 100_000 * 2 / 3 {
		begun := time.Now()
		c.ping(itoa(i))
		c.wantPong(t, itoa(i))
		took = append(took, time.Since(begun))
		pause(100 * time.Millisecond)
	}
	c.wantText(t, message)
	slices.Sort(took)
	t.Logf("%d pongs: median %v, slowest %v", len(took), took[len(took)/2], took[len(took)-1])
	if median := took[len(took)/2]; median > 100*time.Millisecond {
		t.Errorf("half of the pongs took over %v, want 100ms", median)
	}
}

// TestGatewayBeforePHP: the gateway starts without php-fpm. Messages fail
// until there is one, and clients stay.
func TestGatewayBeforePHP(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	f.stop(syscall.SIGTERM)
	g := startGateway(t, f.config("", "/ws record.php"))
	c := dial(t, g.at("/ws"))
	begun := time.Now()
	c.text("early")
	c.wantFailure(t, "backend_failed", 1)
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the failure took %v, want about connect_timeout, 1s", took)
	}
	dials := g.metrics()[`ws_fpm_pool_events_total{event="dial",pool="default"}`]
	if dials > 40 {
		t.Errorf("%v attempts to connect within a second", dials)
	}
	f.start()
	c.echo(t, "late")
	if e := f.executions(); e["early"] != 0 || e["late"] != 1 {
		t.Errorf("ran: %v, want late alone", e)
	}
}

// TestGatewayPHPRestarts: php-fpm is stopped, reloaded and started under load.
// What is answered ran once, what failed at most once, and all works again.
func TestGatewayPHPRestarts(t *testing.T) {
	t.Parallel()
	f, g := serving(t, "", "record.php")
	load := startCrowd(t, g, 8, func(client, n int) string { return itoa(client) + "-" + itoa(n) })
	for _, stop := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT} {
		load.more(200)
		f.stop(stop)
		load.more(8)
		f.start()
		load.more(200)
		f.reload()
	}
	load.more(200)
	answered, lost := load.stop()
	t.Logf("%d answered, %d failed", len(answered), len(lost))
	wantOnce(t, f.executions(), answered, lost)
	dial(t, g.at("/ws")).echo(t, "after")
	g.wantMetrics(series{`ws_fpm_messages_sent_total`: float64(len(answered) + len(lost) + 1)})
}
