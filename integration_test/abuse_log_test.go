package integration_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A logSink is where the program's log goes, and what becomes of it.
type logSink struct {
	name  string
	cause string // for which records are dropped
	// open makes the sink and gives its path, how to break it, if it is not
	// broken yet, and how to mend it; mended gives what it has got since then.
	open func(t *testing.T) (path string, spoil func(), mend func() (got func() string))
}

var logSinks = []logSink{
	{"dev full", "write_error", func(t *testing.T) (string, func(), func() func() string) {
		return "/dev/full", func() {}, nil // which never has room
	}},
	{"full disk", "write_error", func(t *testing.T) (string, func(), func() func() string) {
		dir := publicDir(t)
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
			t.Logf("no disk of its own, so none is filled: %v %s", err, out)
			return "/dev/full", func() {}, nil
		}
		t.Cleanup(func() { exec.Command("umount", dir).Run() })
		path, ballast := filepath.Join(dir, "log"), filepath.Join(dir, "ballast")
		spoil := func() {
			f, err := os.Create(ballast)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			os.Truncate(path, 0)
			f.Write(make([]byte, 4096)) // what that has freed
		}
		return path, spoil, func() func() string {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			return func() string { return readFile(t, path) }
		}
	}},
	{"reader gone", "write_error", func(t *testing.T) (string, func(), func() func() string) {
		path, reader := fifo(t)
		return path, func() { reader.Close() }, func() func() string {
			f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			return collect(t, f)
		}
	}},
	{"reader stalled", "queue_full", func(t *testing.T) (string, func(), func() func() string) {
		path, reader := fifo(t)
		return path, func() {}, func() func() string { return collect(t, reader) }
	}},
}

// fifo makes a named pipe with a reader that does not read.
func fifo(t *testing.T) (path string, reader *os.File) {
	path = filepath.Join(publicDir(t), "log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	return path, reader
}

// collect reads f to its end, and gives what came so far.
func collect(t *testing.T, f *os.File) (got func() string) {
	var all atomic.Pointer[string]
	all.Store(new(string))
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b bytes.Buffer
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			b.Write(buf[:n])
			s := b.String()
			all.Store(&s)
			if err != nil && err != io.EOF {
				return
			}
			if n == 0 {
				pause(10 * time.Millisecond) // no writer for now
			}
		}
	}()
	t.Cleanup(func() { f.Close(); <-done })
	return func() string { return *all.Load() }
}

// TestAbuseLogSinks: a log that cannot be written costs clients nothing. What is
// dropped is counted, and when the sink is well again so is the log.
func TestAbuseLogSinks(t *testing.T) {
	for _, sink := range logSinks {
		t.Run(sink.name, func(t *testing.T) {
			path, spoil, mend := sink.open(t)
			address := freeAddress(t)
			s := besiege(t, "67 log, "+sink.name, besiegeOptions{start: func(conf, bin string) *gateway {
				// Nobody can read in the log where it listens.
				writeFile(t, conf, strings.Replace(readFile(t, conf), "listen = 127.0.0.1:0", "listen = "+address, 1))
				cmd := exec.Command("sh", "-c", "exec "+bin+" serve -config "+conf+" 2>>"+path)
				g := &gateway{t: t, process: startProcess(t, cmd), addresses: []string{address}}
				eventually(t, 10*time.Second, "it listens", func() bool {
					conn, err := dialRaw(address)
					if err == nil {
						conn.Close()
					}
					return err == nil
				})
				return g
			}})
			spoil()
			dropped := `ws_fpm_log_dropped_total{cause="` + sink.cause + `"}`
			before, dumps, least := s.metrics()[dropped], 0, time.Duration(scaled(1, 20))*time.Second
			m := s.until(30*time.Second, "records are dropped", func(m series) bool {
				for range 5 { // each is of some hundred lines
					s.g.signal(syscall.SIGUSR1)
					dumps++
				}
				return m[dropped] > before && time.Since(s.begun) > least
			})
			figure(t, s.name, "%d dumps of the metrics: %v records dropped for %s, %v written", dumps, m[dropped]-before, sink.cause, m["ws_fpm_log_written_total"])
			if mend != nil {
				got := mend()
				s.until(10*time.Second, "the log goes on, and says what it has dropped", func(series) bool {
					s.g.signal(syscall.SIGUSR1)
					return strings.Contains(got(), "dropped") && strings.Contains(got(), "series=")
				})
			}
			s.over()
		})
	}
}
