package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// awayPool is a second php-fpm, which may suffer while the canaries have theirs,
// and the section of a pool of it with further lines.
func awayPool(t *testing.T, children int, lines string) (*phpFPM, string) {
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = " + itoa(children)}})
	return f, "[fastcgi away]\naddress = " + f.configAddress() + "\n" + lines + "\n"
}

// awaySeries is a series of that pool.
func awaySeries(event string) string {
	return fmt.Sprintf(`ws_fpm_pool_events_total{event=%q,pool="away"}`, event)
}

// connectAll connects so many clients, which stay until the end of t.
func connectAll(t testing.TB, g *gateway, path string, n int) (clients []*client) {
	t.Helper()
	for i := range n {
		c, err := connectFrom(g, i/1000, path)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		t.Cleanup(func() { c.conn.Close() })
		c.timeout = 2 * time.Minute
		clients = append(clients, c)
	}
	return clients
}

// goAll has all of clients go.
func (s *siege) goAll(clients []*client) {
	s.t.Helper()
	for _, c := range clients {
		c.conn.Close()
	}
	s.until(20*time.Second, "all have gone", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
}

// wantAlive fails t unless the server answers, be it after pings of its own.
func (c *client) wantAlive(t testing.TB) {
	t.Helper()
	c.ping("there?")
	for {
		f, err := c.frame()
		if err == nil && f.op == opPing {
			c.pong(string(f.payload))
			continue
		}
		if err != nil || f.op != opPong || string(f.payload) != "there?" {
			t.Errorf("got frame %d %q, %v; want a pong", f.op, f.payload, err)
		}
		return
	}
}

// victimScript waits to be killed, if that is what its message is for.
const victimScript = `<?php
require __DIR__ . '/record.inc.php';
$message = file_get_contents('php://input');
record($message);
if (str_starts_with($message, 'victim')) {
    touch(__DIR__ . '/var/victim.' . getmypid());
    sleep(60);
}
echo $message;
`

// TestAbuseKilledWorkers: ten times a second a worker is killed in the middle
// of a script. Its message has failed soon, no other does, and none runs twice.
func TestAbuseKilledWorkers(t *testing.T) {
	lasts := time.Duration(scaled(3, 300)) * time.Second
	s := besiege(t, "37 workers are killed", besiegeOptions{children: 16, routes: []string{"/killed victim.php"}})
	s.f.write("victim.php", victimScript)
	var work sync.WaitGroup
	var over atomic.Bool
	var killed atomic.Pointer[time.Time]
	var answered, failures sentList
	var late []time.Duration
	t.Cleanup(func() { over.Store(true); work.Wait() })
	clients := connectAll(t, s.g, "/killed", 9)
	for i, c := range clients[1:] {
		work.Go(func() {
			for n := 0; !over.Load(); n++ {
				message := fmt.Sprintf("other %d-%d", i, n)
				c.text(message)
				if _, got, err := c.message(); err != nil || string(got) != message {
					t.Errorf("the answer to %s is %.100q, %v", message, got, err)
					return
				}
				answered.add(message)
				pause(20 * time.Millisecond)
			}
		})
	}
	work.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 1; time.Since(s.begun) < lasts; n++ {
			<-tick.C
			message := "victim " + itoa(n)
			clients[0].text(message)
			var marks []string
			if !waitUntil(20*time.Second, func() bool { marks, _ = filepath.Glob(s.f.file("var/victim.*")); return len(marks) == 1 }) {
				t.Errorf("%s does not run: %v", message, marks)
				return
			}
			pid, err := strconv.Atoi(filepath.Ext(marks[0])[1:])
			if err != nil || os.Remove(marks[0]) != nil {
				t.Errorf("%s: %v", marks[0], err)
				return
			}
			now := time.Now()
			killed.Store(&now)
			syscall.Kill(pid, syscall.SIGKILL)
			_, got, err := clients[0].message()
			if m := failed.FindSubmatch(got); err != nil || m == nil || string(m[1]) != "backend_failed" || string(m[3]) != itoa(n) {
				t.Errorf("the answer to %s is %.100q, %v", message, got, err)
				return
			}
			late = append(late, time.Since(now))
			failures.add(message)
		}
		over.Store(true)
	})
	work.Wait()
	figure(t, s.name, "%d kills in %.1f s: the failure came after p50 %v, p99 %v, at most %v; %d others answered", len(late), time.Since(s.begun).Seconds(),
		quantile(late, 0.5), quantile(late, 0.99), quantile(late, 1), len(answered.list))
	ran := s.f.executions()
	wantOnce(t, ran, answered.list, failures.list)
	for _, message := range failures.list {
		if ran[message] != 1 {
			t.Errorf("%s ran %d times", message, ran[message])
		}
	}
	s.goAll(clients)
	s.over()
	if long() && quantile(late, 0.99) > max(100*time.Millisecond, 3*s.peers.p99("during")) {
		t.Errorf("a failure came after %v", quantile(late, 0.99))
	}
	s.conserved()
}

// TestAbusePHPAway: php-fpm is away, with its socket or without. Clients stay,
// their messages fail in time, nobody storms it, and all is well soon after.
func TestAbusePHPAway(t *testing.T) {
	f, pool := awayPool(t, 4, "")
	s := besiege(t, "38 php-fpm is away", besiegeOptions{more: pool, routes: []string{"/away echo.php\nfastcgi = away"}})
	clients := connectAll(t, s.g, "/away", 8)
	var slowest time.Duration
	for _, test := range []struct {
		name string
		stop func()
	}{
		{"its socket is gone", func() { f.stop(syscall.SIGTERM) }},
		{"nobody listens", func() { f.kill() }}, // of the php-fpm that there is then
	} {
		seen := s.metrics()
		test.stop()
		if _, err := os.Stat(f.address); (err == nil) != (test.name == "nobody listens") {
			t.Fatalf("%s: %v", test.name, err)
		}
		away := time.Now()
		var mu sync.Mutex // guards what follows
		var late []time.Duration
		var work sync.WaitGroup
		var back atomic.Pointer[time.Time] // when php-fpm was there again
		var recovered []time.Duration
		for _, c := range clients {
			work.Go(func() {
				for {
					begun := time.Now()
					c.text("x")
					_, got, err := c.message()
					took := time.Since(begun)
					m := failed.FindSubmatch(got)
					there := back.Load()
					mu.Lock()
					switch {
					case err != nil:
						t.Errorf("%s: a client is lost: %v", test.name, err)
					case m != nil && string(m[1]) == "backend_failed":
						late = append(late, took)
					case string(got) == "x" && there != nil:
						recovered = append(recovered, time.Since(*there))
					default:
						t.Errorf("%s: got %.100q", test.name, got)
					}
					mu.Unlock()
					if m == nil {
						return
					}
					pause(10 * time.Millisecond)
				}
			})
		}
		pause(time.Duration(scaled(2, 30)) * time.Second)
		dials := s.metrics()[awaySeries("dial")] - seen[awaySeries("dial")]
		lasted := time.Since(away)
		now := time.Now()
		back.Store(&now) // an answer may come before start has seen that it is there
		f.start()
		work.Wait()
		figure(t, s.name, "%s for %.1f s: %d messages failed, p50 %v, at most %v; %.1f connects/s; all answered %v after php-fpm was started",
			test.name, lasted.Seconds(), len(late), quantile(late, 0.5), quantile(late, 1), dials/lasted.Seconds(), quantile(recovered, 1))
		if len(late) < len(clients) {
			t.Errorf("%d messages failed", len(late))
		}
		if dials > 20*lasted.Seconds() {
			t.Errorf("%v connects in %v", dials, lasted)
		}
		slowest = max(slowest, quantile(late, 1))
		if last := quantile(recovered, 1); last > slack(2*time.Second) {
			t.Errorf("the last client was answered %v after php-fpm was started", last)
		}
	}
	s.counted(awaySeries("dial_error"), 1)
	s.goAll(clients)
	s.over()
	most := time.Second + slack(200*time.Millisecond)
	if s.peers != nil { // what the machine itself does
		most = time.Second + max(200*time.Millisecond, 3*s.peers.p99("during"))
	}
	if slowest > most {
		t.Errorf("a message failed after %v, want %v", slowest, most)
	}
	s.conserved()
}

// TestAbusePHPHangs: all scripts hang. Who is in PHP fails at timeout, who
// waits at queue_timeout, the rest at once; all stay connected, at no cost in
// memory or descriptors.
func TestAbusePHPHangs(t *testing.T) {
	const queue = 16
	timeout, clients := time.Duration(scaled(3, 30))*time.Second, scaled(40, 400)
	f, pool := awayPool(t, 4, fmt.Sprintf("timeout = %v\nqueue = %d\nqueue_timeout = %v", timeout, queue, timeout/3))
	s := besiege(t, "40 all workers hang", besiegeOptions{more: pool, routes: []string{"/hangs hang.php\nfastcgi = away"}})
	s.f.write("hang.php", `<?php if (file_get_contents('php://input') === 'hang') sleep(3600); echo 'fine';`)
	all := connectAll(t, s.g, "/hangs", clients)
	rss := s.footprint().rssKiB
	var work sync.WaitGroup
	var mu sync.Mutex // guards what follows
	words := map[string][]time.Duration{}
	for _, c := range all {
		work.Go(func() {
			begun := time.Now()
			c.text("hang")
			_, got, err := c.message()
			took := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			if m := failed.FindSubmatch(got); err != nil || m == nil {
				t.Errorf("got %.100q, %v", got, err)
			} else {
				words[string(m[1])] = append(words[string(m[1])], took)
			}
		})
	}
	work.Wait()
	grown := s.footprint().rssKiB - rss
	timeouts, busy := words["backend_timeout"], words["backend_busy"]
	figure(t, s.name, "%d clients: %d timed out after %v to %v, %d found no room, the first after %v, the last after %v; RSS %+d KiB", clients,
		len(timeouts), quantile(timeouts, 0), quantile(timeouts, 1), len(busy), quantile(busy, 0), quantile(busy, 1), grown)
	if len(timeouts) != 4 || quantile(timeouts, 0) < timeout || quantile(timeouts, 1) > timeout+slack(time.Second) {
		t.Errorf("timed out after %v; want 4 after %v", timeouts, timeout)
	}
	if len(busy) != clients-4 || quantile(busy, 1) < timeout/3 || quantile(busy, 1) > timeout/3+slack(time.Second) {
		t.Errorf("%d found no room, the last after %v; want %d, %v", len(busy), quantile(busy, 1), clients-4, timeout/3)
	}
	if grown > 5<<10 {
		t.Errorf("it cost %d KiB", grown)
	}
	s.counted(awaySeries("timeout"), 4)
	s.counted(awaySeries("queue_timeout"), queue)
	s.counted(awaySeries("queue_full"), float64(clients-4-queue))
	for _, c := range all { // whose connections are as before
		c.wantAlive(t)
	}
	s.until(2*timeout+20*time.Second, "the connections to the workers are closed", func(m series) bool {
		return m[`ws_fpm_pool_connections{pool="away",state="in_use"}`] == 0
	})
	f.kill() // the workers are asleep
	f.start()
	eventually(t, 2*timeout+20*time.Second, "PHP answers again", func() bool { return all[0].ask(t, "x") == "fine" })
	s.goAll(all)
	s.over()
	s.conserved()
}

// TestAbuseEndlessReplies: replies of 64 MiB are stopped at max_reply, what PHP
// complains at 8 KiB, and a byte now and then at timeout.
func TestAbuseEndlessReplies(t *testing.T) {
	timeout := time.Duration(scaled(3, 30)) * time.Second
	_, pool := awayPool(t, 4, "timeout = "+timeout.String())
	s := besiege(t, "44, 45 replies without end", besiegeOptions{more: pool, routes: []string{
		"/big output.php\nfastcgi = away\nmax_reply = 1M", "/loud loud.php\nfastcgi = away", "/trickle trickle.php\nfastcgi = away"}})
	s.f.write("loud.php", `<?php for ($i = 0; $i < 203; $i++) error_log(str_repeat('e', 1000)); echo 'said';`)
	s.f.write("trickle.php", `<?php while (ob_get_level()) ob_end_clean(); for (;;) { echo '.'; flush(); usleep(`+itoa(scaled(100_000, 1_000_000))+`); }`)

	big := connectAll(t, s.g, "/big", 1)[0]
	big.text("1048576")
	if _, got, err := big.message(); len(got) != 1<<20 || err != nil {
		t.Errorf("a reply of max_reply: %d bytes, %v", len(got), err)
	}
	rss, done := s.footprint().rssKiB, make(chan int)
	times := scaled(3, 30)
	go func() {
		peak := 0
		for range times {
			big.text(itoa(64 << 20))
			answer := make(chan error, 1)
			go func() { _, _, err := big.message(); answer <- err }()
			for err := error(nil); ; {
				peak = max(peak, s.footprint().rssKiB)
				select {
				case err = <-answer:
				case <-time.After(time.Millisecond):
					continue
				}
				if err != nil {
					t.Errorf("a reply of 64 MiB: %v", err)
				}
				break
			}
		}
		done <- peak
	}()
	peak := <-done
	figure(t, s.name, "%d replies of 64 MiB with max_reply = 1M: RSS at most %+d KiB", times, peak-rss)
	if peak-rss > 8<<10 {
		t.Errorf("replies of 64 MiB cost %d KiB", peak-rss)
	}
	s.counted(`ws_fpm_events_total{event="message",result="reply_too_big"}`, float64(times))
	big.text("3")
	if _, got, err := big.message(); string(got) != "xxx" {
		t.Errorf("then a small one: %.100q, %v", got, err)
	}

	loud := connectAll(t, s.g, "/loud", 1)[0]
	from := len(s.g.log())
	if got := loud.ask(t, "x"); got != "said" {
		t.Errorf("got %.100q", got)
	}
	var line string
	eventually(t, 5*time.Second, "what PHP complains is in the log", func() bool {
		for _, l := range s.g.log()[from:] {
			if strings.Contains(l, "PHP wrote to stderr") {
				line = l
			}
		}
		return line != ""
	})
	dropped := s.metrics()[awaySeries("stderr_byte_dropped")]
	figure(t, s.name, "203 KB of stderr: a line of %d bytes in the log, %v bytes counted", len(line), dropped)
	if len(line) > 9<<10 || len(line) < 8<<10 || dropped < 190_000 || s.g.logged(from, "PHP wrote to stderr") != 1 {
		t.Errorf("%d lines, the last of %d bytes, %v bytes counted", s.g.logged(from, "PHP wrote to stderr"), len(line), dropped)
	}

	slow := connectAll(t, s.g, "/trickle", 1)[0]
	begun := time.Now()
	slow.text("x")
	slow.wantFailure(t, "backend_timeout", 1)
	took := time.Since(begun)
	figure(t, s.name, "a byte now and then: ended after %v of %v", took.Round(time.Millisecond), timeout)
	if took < timeout || took > timeout+slack(time.Second) {
		t.Errorf("ended after %v, want %v", took, timeout)
	}
	slow.wantAlive(t)
	s.goAll([]*client{big, loud, slow})
	s.over()
	s.conserved()
}

// TestAbuseWebSite: a web site on the same workers notices nothing of clients
// that are idle, for they hold no worker.
func TestAbuseWebSite(t *testing.T) {
	if !long() {
		t.Parallel()
	}
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 5"}})
	g := startGateway(t, f.config("", "/ws record.php"))
	const name = "49 a web site on the same workers"
	visit := func() (times []time.Duration) {
		var mu sync.Mutex // guards times
		var work sync.WaitGroup
		for range 5 {
			work.Go(func() {
				for range scaled(40, 2000) {
					begun := time.Now()
					body, err := bareGet(f.network, f.address, f.file("fault.php"), "")
					if err != nil || string(body) != "fine" {
						t.Errorf("the web site says %q, %v", body, err)
						return
					}
					mu.Lock()
					times = append(times, time.Since(begun))
					mu.Unlock()
				}
			})
		}
		work.Wait()
		return times
	}
	before := visit()
	clients := connectAll(t, g, "/ws", 50)
	for i, c := range clients {
		c.echo(t, itoa(i))
	}
	eventually(t, 5*time.Second, "no worker is held", f.drained) // keep_alive is 1 s
	for range scaled(1, 6) {
		pause(time.Duration(scaled(1, 20)) * time.Second)
		for _, c := range clients { // or they are taken for dead
			c.wantAlive(t)
		}
	}
	if s := f.status(); s.Active != 0 {
		t.Errorf("%d workers are busy with idle clients", s.Active)
	}
	during := visit()
	figure(t, name, "alone p50 %v, p99 %v; beside %d idle clients p50 %v, p99 %v, of %d visits", quantile(before, 0.5), quantile(before, 0.99),
		len(clients), quantile(during, 0.5), quantile(during, 0.99), len(during))
	if long() && quantile(during, 0.5) > 2*quantile(before, 0.5) {
		t.Errorf("the web site takes %v, alone %v", quantile(during, 0.5), quantile(before, 0.5))
	}
	for i, c := range clients {
		c.echo(t, "again "+itoa(i))
	}
}
