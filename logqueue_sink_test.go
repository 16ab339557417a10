package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ws-fpm/metrics"
)

// A pipe that nobody reads takes some 64 KiB. Whoever logs must not notice.
func TestLogQueueStalledPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	q := newLogQueue(w, plainText)
	log := slog.New(plainText(q))
	const records = 3 * maxLogRecords
	for range records {
		log.Info("nobody reads this", "padding", strings.Repeat("x", 100))
	}
	if q.Counts().QueueFull == 0 {
		t.Error("no record was dropped; want the pipe to be full")
	}

	told, lines := 0, 0
	var reading sync.WaitGroup
	reading.Go(func() {
		defer r.Close()
		for s := bufio.NewScanner(r); s.Scan(); lines++ {
			if n := 0; strings.Contains(s.Text(), "log records dropped") {
				fmt.Sscanf(s.Text(), `level=WARN msg="%d`, &n)
				told += n
				lines--
			}
		}
	})
	closeQueue(t, q)
	w.Close()
	reading.Wait()
	if c := q.Counts(); c.Written+c.QueueFull != records || int(c.Written) != lines || int(c.QueueFull) != told {
		t.Errorf("%d records logged, %+v, %d lines read, %d told as dropped: do not add up", records, c, lines, told)
	}
}

func TestLogQueueReaderGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	q := newLogQueue(w, plainText)
	r.Close()
	for range 100 {
		io.WriteString(q, "a\n")
	}
	closeQueue(t, q)
	checkCounts(t, q, logCounts{WriteError: 100})
}

func TestLogQueueFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return // not a Linux; the errors of a sink are tested above
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	q := newLogQueue(f, plainText)
	for range 100 {
		io.WriteString(q, "a\n")
	}
	closeQueue(t, q)
	checkCounts(t, q, logCounts{WriteError: 100})
}

func TestLogQueueManyWriters(t *testing.T) {
	var s sink
	q := newLogQueue(&s, plainText)
	l := newRepeatLimiter(plainText(q))
	log := slog.New(l)
	const writers, records = 8, 2000
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range records {
				log.Info(fmt.Sprintf("writer %d record %d", w, i%50))
				q.Counts()
			}
		})
	}
	writing.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := closeLog(ctx, q, l); err != nil {
		t.Errorf("closeLog() = %v; want nil", err)
	}
	passed, dropped := 0, 0
	for line := range strings.Lines(s.String()) {
		switch {
		case strings.Contains(line, "dropped"):
			dropped++
		case !strings.Contains(line, "repeated"):
			passed++
		}
	}
	c := q.Counts()
	if uint64(passed)+l.Suppressed()+c.QueueFull != writers*records {
		t.Errorf("%d records, %d lines, %d suppressed, %d dropped: do not add up", writers*records, passed, l.Suppressed(), c.QueueFull)
	}
	if (dropped > 0) != (c.QueueFull > 0) {
		t.Errorf("%d lines tell of %d dropped records", dropped, c.QueueFull)
	}
}

func TestLogMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{errs: []error{errors.New("no")}}
		q := newLogQueue(&s, plainText)
		l := newRepeatLimiter(plainText(q))
		r := new(metrics.Registry)
		observeLog(r, q, l)
		for range maxLogRepeats + 2 {
			slog.New(l).Info("a")
		}
		q.Write(make([]byte, maxLogBytes+1))
		if err := closeLog(t.Context(), q, l); err != nil {
			t.Errorf("closeLog() = %v; want nil", err)
		}
		for range 4 {
			io.WriteString(q, "late\n")
		}
		var text strings.Builder
		r.WriteText(&text)
		for _, want := range []string{
			"ws_fpm_log_written_total 20\n", // with the line that says so
			`ws_fpm_log_dropped_total{cause="repeated"} 2` + "\n",
			`ws_fpm_log_dropped_total{cause="write_error"} 1` + "\n",
			`ws_fpm_log_dropped_total{cause="queue_full"} 1` + "\n",
			`ws_fpm_log_dropped_total{cause="closed"} 4` + "\n",
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the metrics have no %q:\n%s", want, text.String())
			}
		}
	})
}

func TestLogQueueDoesNotAllocate(t *testing.T) {
	q := newLogQueue(io.Discard, plainText)
	record := []byte("level=INFO msg=\"a record of usual length\" connection=0123456789abcdef0123456789abcdef\n")
	if n := testing.AllocsPerRun(10000, func() { q.Write(record) }); n >= 1 {
		t.Errorf("%v allocations a record; want less than one", n)
	}
	closeQueue(t, q)
}

func BenchmarkLogQueue(b *testing.B) {
	b.Run("sink takes all", func(b *testing.B) { benchmarkLog(b, nil) })
	b.Run("sink takes nothing", func(b *testing.B) { benchmarkLog(b, make(chan struct{})) })
}

func benchmarkLog(b *testing.B, gate chan struct{}) {
	q := newLogQueue(gated{gate}, plainText)
	log := slog.New(plainText(q))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			log.Info("a record of usual length", "connection", "0123456789abcdef0123456789abcdef")
		}
	})
	b.StopTimer()
	if gate != nil {
		close(gate)
	}
	q.Close(b.Context())
}

// A gated sink takes all, once its gate is open.
type gated struct{ gate chan struct{} }

func (s gated) Write(b []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	return len(b), nil
}
