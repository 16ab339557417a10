package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cgroups counts them, for each test needs one of its own.
var cgroups atomic.Int64

// memoryCgroup makes a cgroup with a limit, or says why not.
func memoryCgroup(t testing.TB, limit int) (dir string, err error) {
	const root = "/sys/fs/cgroup"
	name, file := fmt.Sprintf("/wsf%d-%d", os.Getpid(), cgroups.Add(1)), "memory.max"
	if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
		name, file = "/memory"+name, "memory.limit_in_bytes" // version 1
	}
	dir = root + name
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	t.Cleanup(func() { waitUntil(5*time.Second, func() bool { return os.Remove(dir) == nil }) })
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(limit)), 0o644); err != nil {
		return "", err
	}
	return dir, nil
}

// inMemory starts the program with that much memory: in a cgroup where that is
// possible, else with GOMEMLIMIT.
func inMemory(t testing.TB, limit int, env ...string) (start func(conf, bin string) *gateway, how string) {
	dir, err := memoryCgroup(t, limit)
	command := "exec "
	if err == nil {
		how = "in the cgroup " + dir
		command = "echo $$ >" + dir + "/cgroup.procs && exec "
	} else {
		how = fmt.Sprintf("with GOMEMLIMIT (no cgroup: %v)", err)
		env = append(env, "GOMEMLIMIT="+strconv.Itoa(limit*85/100))
	}
	return func(conf, bin string) *gateway {
		cmd := exec.Command("sh", "-c", command+bin+" serve -config "+conf)
		cmd.Env = append(os.Environ(), env...)
		return attachGateway(t, cmd, listenersOf(readFile(t, conf)))
	}, how
}

// TestAbuseMemory: readers that do not read, fragments without end, floods of
// empty messages and half-sent messages, all at once in 256 MiB: the program
// lives, sheds, and its canaries notice nothing.
func TestAbuseMemory(t *testing.T) {
	const limit = 256 << 20
	lasts := time.Duration(scaled(3, 600)) * time.Second
	start, how := inMemory(t, limit)
	s := besiege(t, "65 in 256 MiB", besiegeOptions{keeps: limit >> 15, start: start, routes: []string{"/flood output.php", "/echo echo.php"}})
	// Newcomers are kept out while memory is short, canaries too.
	s.canaries.noNewcomers.Store(true)
	// Of many empty fragments the 129th ends the connection.
	fragments := fragments(opText, nil, make([]int, 400)...)
	megabyte := frame{fin: true, op: opBinary, key: testKey, payload: make([]byte, 1<<20)}.appendTo(nil)
	attacks := []func(c *client){
		func(c *client) { // reads nothing
			c.conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4096)
			for range 20 {
				if c.text("1000000") != nil {
					return
				}
			}
		},
		func(c *client) { c.send(fragments...) },
		func(c *client) { // the most of a message, and then nothing
			c.write(megabyte[:len(megabyte)-1])
		},
		func(c *client) { // messages that PHP has no time for
			for range 2 {
				if c.write(megabyte) != nil {
					return
				}
			}
		},
		func(c *client) { // empty messages
			empty := frame{fin: true, op: opText, key: testKey}.appendTo(nil)
			flood := []byte(strings.Repeat(string(empty), 100))
			for range 10 {
				if c.write(flood) != nil {
					return
				}
			}
		},
	}
	var work sync.WaitGroup
	var attempts, refusals atomic.Int64
	workers := scaled(40, 600)
	for i := range workers {
		work.Go(func() {
			for n := 0; time.Since(s.begun) < lasts; n++ {
				kind := (i + n) % len(attacks)
				path := "/echo"
				if kind == 0 {
					path = "/flood"
				}
				attempts.Add(1)
				c, err := connectFrom(s.g, i%8, path)
				if err != nil {
					refusals.Add(1)
					if c != nil {
						c.conn.Close()
					}
					pause(50 * time.Millisecond)
					continue
				}
				c.timeout = 2 * time.Second
				attacks[kind](c)
				pause(time.Duration(n%5) * 500 * time.Millisecond) // and holds what it has
				c.conn.Close()
			}
		})
	}
	peak := 0
	for time.Since(s.begun) < lasts {
		if s.g.ended() {
			break
		}
		peak = max(peak, s.g.memory("status", "RssAnon")) // the program file itself is not charged to it
		pause(50 * time.Millisecond)
	}
	work.Wait()
	if s.g.ended() {
		t.Fatalf("the program has ended with %v", s.g.cmd.ProcessState)
	}
	m := s.metrics()
	figure(t, s.name, "%s: %d attackers, %d connections, %d refused; at most %d KiB; cut: %v for buffers, %v for the outbox, %v for the protocol",
		how, workers, attempts.Load(), refusals.Load(), peak, m[`ws_fpm_cut_total{cause="buffers"}`], m[`ws_fpm_cut_total{cause="outbox"}`], m[`ws_fpm_cut_total{cause="protocol"}`])
	if peak > limit>>10 {
		t.Errorf("RSS was %d KiB, the limit is %d", peak, limit>>10)
	}
	s.counted("ws_fpm_cut_total", 1)
	// Whole messages that had come are given to PHP, though nobody waits for the answers.
	s.until(2*time.Minute, "the attackers are gone", func(m series) bool { return m["ws_fpm_connections"] <= canaryClients+1 })
	s.until(30*time.Second, "newcomers are let in again", func(series) bool {
		c, err := connect(s.g.at("/ws"))
		if c != nil {
			c.conn.Close()
		}
		return err == nil
	})
	s.canaries.noNewcomers.Store(false)
	s.over()
	s.conserved()
}

// gcShare finds how much of all processor time so far went to the collection.
var gcShare = regexp.MustCompile(`^gc \d+ @([0-9.]+)s (\d+)%:`)

// TestAbuseCollector: when connections fill the memory there is, newcomers are
// refused before the collector takes the processor.
func TestAbuseCollector(t *testing.T) {
	limit := scaled(36, 128) << 20
	start, how := inMemory(t, limit, "GODEBUG=gctrace=1")
	s := besiege(t, "66 memory full", besiegeOptions{keeps: limit >> 15, start: start, alone: true})
	lasts := time.Duration(scaled(3, 30)) * time.Second
	s.canaries.noNewcomers.Store(true)                 // they are refused with the rest
	filler := "X-Filler: " + strings.Repeat("x", 8000) // kept as long as the connection
	var conns []*client
	refusals := 0
	for time.Since(s.begun) < lasts && len(conns) < 18_000 && refusals < 100 {
		c, err := connect(s.g.at("/ws", filler))
		if err != nil {
			refusals++
			if c != nil {
				c.conn.Close()
			}
			pause(10 * time.Millisecond)
			continue
		}
		t.Cleanup(func() { c.conn.Close() })
		conns = append(conns, c)
	}
	from := len(s.g.log())
	cpu, begun := s.g.cpu(), time.Now()
	pause(time.Duration(scaled(1, 10)) * time.Second) // the canaries go on
	spent := s.g.cpu() - cpu
	collections, last := 0, ""
	for _, line := range s.g.log()[from:] {
		if gcShare.MatchString(line) {
			collections++
			last = line
		}
	}
	figure(t, s.name, "%s, %d MiB: %d connections of 8 KiB each, then %d refused; RSS %d KiB; %d collections and %.1f %% of a core in the next %.1f s, canaries included; %s",
		how, limit>>20, len(conns), refusals, s.g.memory("status", "VmRSS"), collections, 100*spent.Seconds()/time.Since(begun).Seconds(), time.Since(begun).Seconds(), last)
	if m := gcShare.FindStringSubmatch(last); m != nil {
		if share, _ := strconv.Atoi(m[2]); share > 25 {
			t.Errorf("the collector has had %d %% of the processor", share)
		}
	}
	if peak := s.g.memory("status", "VmHWM"); peak > limit>>10 {
		t.Errorf("RSS was %d KiB, the limit is %d", peak, limit>>10)
	}
	for _, c := range conns {
		c.conn.Close()
	}
	s.counted(`ws_fpm_handshakes_total{result="memory"}`, 1)
	s.lines = len(s.g.log()) // those of the collector are ours
	s.over()
}
