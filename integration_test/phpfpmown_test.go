package integration_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPHPFPM: the harness's own php-fpm does what the other tests take for
// granted.
func TestPHPFPM(t *testing.T) {
	for _, test := range []struct {
		name string
		o    fpmOptions
	}{
		{"on a unix socket", fpmOptions{}},
		{"on tcp, with one child more", fpmOptions{tcp: true, pool: []string{"pm.max_children = 3"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFPM(t, test.o)
			if got, want := len(f.workers()), 2+len(test.o.pool); got != want {
				t.Errorf("%d workers, want %d", got, want)
			}
			serves := func() {
				t.Helper()
				for uri, want := range map[string]string{"/ping": "pong", f.file("fault.php"): "fine"} {
					if body, err := bareGet(f.network, f.address, uri, ""); string(body) != want || err != nil {
						t.Errorf("%s answers %q, %v; want %q", uri, body, err, want)
					}
				}
			}
			serves()
			// A worker that has just been forked is not in the scoreboard yet.
			eventually(t, 5*time.Second, "the status page shows all workers", func() bool {
				s := f.status()
				return s.Total == len(f.workers()) && len(s.Processes) == s.Total
			})
			if !f.drained() {
				t.Errorf("not drained after all was closed: %+v", f.status())
			}

			pid, before := f.cmd.Process.Pid, f.workers()
			f.reload()
			serves()
			if after := f.workers(); f.cmd.Process.Pid != pid || after[0] == before[0] {
				t.Errorf("reload kept the workers: %v, %v", before, after)
			}

			f.stop(syscall.SIGTERM)
			if code := f.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			f.start()
			serves()

			workers := f.workers()
			f.signal(syscall.SIGKILL)
			f.wait(time.Second)
			serves() // workers survive their master
			f.kill()
			eventually(t, time.Second, "the workers die with their group", func() bool { return !alive(workers[0]) })
		})
	}
}

func TestPHPFPMDirectives(t *testing.T) {
	got := directives([]string{"a = 1", "b = 2", "c = 3"}, []string{"b = 4", "c =", "d = 5"})
	if want := "a = 1\nb = 4\nd = 5\n"; got != want {
		t.Errorf("directives = %q, want %q", got, want)
	}
	f := startFPM(t, fpmOptions{})
	if _, err := bareGet(f.network, f.address, f.file("absent.php"), ""); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an absent script: %v, want a refusal", err)
	}
}
