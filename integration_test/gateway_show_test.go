package integration_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestGatewayKeepsConnections: 64 clients without pause, on workers that serve
// 50 requests each: at least nine of ten requests find a connection open, none
// is lost and none runs twice.
func TestGatewayKeepsConnections(t *testing.T) {
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 4", "pm.max_requests = 50"}})
	g := startGateway(t, f.config("", "/ws record.php"))
	crowd := startCrowd(t, g, 64, func(client, n int) string { return fmt.Sprintf("%d-%d", client, n) })
	pause(time.Duration(scaled(4, 60)) * time.Second)
	answered, failures := crowd.stop()
	if len(failures) > 0 {
		t.Errorf("%d of %d messages failed", len(failures), len(answered)+len(failures))
	}
	wantOnce(t, f.executions(), answered, failures)
	s := g.metrics()
	requests, reused := s.sum("ws_fpm_pool_requests_total"), s[`ws_fpm_pool_events_total{event="reused",pool="default"}`]
	t.Logf("%v requests, %v on connections used before: %.1f %%", requests, reused, 100*reused/requests)
	if int(requests) != len(answered) || reused < 0.9*requests {
		t.Errorf("%d answers, %v requests, %v on connections used before; want 90 %%", len(answered), requests, reused)
	}
}

// TestGatewayKilledWorkers: workers are killed in the middle of scripts. No
// script runs twice, and each message is answered or has failed.
func TestGatewayKilledWorkers(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{pool: []string{"pm.max_children = 8"}})
	g := startGateway(t, f.config("", "/ws busy.php"))
	crowd := startCrowd(t, g, 16, func(client, n int) string { return fmt.Sprintf("20000 %d-%d", client, n) })
	random := rand.New(rand.NewPCG(1, 2))
	kills, want := 0, scaled(20, 1000)
	for kills < want && !t.Failed() {
		crowd.more(1)
		busy, _ := filepath.Glob(f.file("var/busy.*"))
		if len(busy) == 0 {
			continue
		}
		mark := busy[random.IntN(len(busy))]
		pid, err := strconv.Atoi(filepath.Ext(mark)[1:])
		if err != nil {
			t.Fatal(err)
		}
		if os.Remove(mark) == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			kills++
		}
	}
	crowd.more(16)
	answered, failures := crowd.stop()
	t.Logf("%d kills: %d answered, %d failed", kills, len(answered), len(failures))
	if len(failures) < kills*9/10 || len(failures) > kills { // a script may end before the signal comes
		t.Errorf("%d messages failed by %d kills", len(failures), kills)
	}
	ids := func(messages []string) (ids []string) {
		for _, m := range messages {
			ids = append(ids, m[len("20000 "):])
		}
		return ids
	}
	wantOnce(t, f.executions(), ids(answered), ids(failures))
}

// TestGatewayIdle: an idle connection costs next to nothing: no goroutine and
// at most 4 KB.
func TestGatewayIdle(t *testing.T) { // measures memory: not parallel
	f := startFPM(t, fpmOptions{})
	file := f.write("ws-fpm.conf", f.config("", "/ws echo.php"))
	g := attachGateway(t, exec.Command(plainBinary(t), "serve", "-config", file), 1)
	h := g.at("/ws", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Origin: http://"+g.addresses[0], "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "Accept-Encoding: gzip, deflate, br, zstd",
		"Cache-Control: no-cache", "Pragma: no-cache", "Cookie: PHPSESSID=0123456789abcdef0123456789; consent=yes; theme=dark; id="+fmt.Sprintf("%0200d", 7))
	open := func(n int) {
		const atOnce = 8
		var work sync.WaitGroup
		for i := range atOnce {
			work.Go(func() {
				for range (n + i) / atOnce {
					c, err := connect(h)
					if err != nil {
						t.Errorf("connecting: %v", err)
						return
					}
					t.Cleanup(func() { c.conn.Close() })
				}
			})
		}
		work.Wait()
	}
	open(100) // what the program needs to be warm is not the connections'
	before := g.memory("smaps_rollup", "Pss")
	n := scaled(2000, 10000)
	open(n)
	dial(t, g.at("/ws")).echo(t, "among many")
	if t.Failed() {
		return
	}
	after := g.memory("smaps_rollup", "Pss")
	each := float64(after-before) / float64(n)
	g.signal(syscall.SIGQUIT) // Go's runtime then says what every goroutine does
	g.wait(10 * time.Second)
	goroutines := g.logged(0, "goroutine ") - g.logged(0, "created by ")
	t.Logf("%d idle connections: %.2f KiB each, %d goroutines", n, each, goroutines)
	if each > 4 {
		t.Errorf("%.2f KiB each, want at most 4", each)
	}
	if goroutines < 1 || goroutines > 50 {
		t.Errorf("%d goroutines, want at most 50", goroutines)
	}
}
