package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// plainText is a handler without times, so that lines can be compared.
func plainText(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}})
}

// A sink is where a log goes. It keeps what it is given, once its gate is open.
type sink struct {
	gate chan struct{} // nil: open

	mu   sync.Mutex // guards what follows
	text bytes.Buffer
	errs []error // of the next writes; nil is none
	cut  int     // bytes that a write with an error takes
}

func (s *sink) Write(b []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		if err != nil {
			n := min(s.cut, len(b))
			s.text.Write(b[:n])
			return n, err
		}
	}
	return s.text.Write(b)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func closeQueue(t *testing.T, q *logQueue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := q.Close(ctx); err != nil {
		t.Errorf("Close() = %v; want nil", err)
	}
}

func checkCounts(t *testing.T, q *logQueue, want logCounts) {
	t.Helper()
	if got := q.Counts(); got != want {
		t.Errorf("Counts() = %+v; want %+v", got, want)
	}
}

func TestLogQueueKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		q := newLogQueue(&s, plainText)
		var want strings.Builder
		for i := range 1000 {
			fmt.Fprintf(q, "record %d\n", i)
			fmt.Fprintf(&want, "record %d\n", i)
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if s.String() != want.String() {
			t.Error("the sink has not got the records as they came")
		}
		closeQueue(t, q)
		fmt.Fprintln(q, "late")
		checkCounts(t, q, logCounts{Written: 1000, Closed: 1})
	})
}

// A stalled queue holds the record that its goroutine is writing too, so that a
// limit is one of all that is in memory.
func TestLogQueueLimits(t *testing.T) {
	tests := []struct {
		name           string
		records, bytes int // of each record
		want           logCounts
	}{
		{"one record below the limit", maxLogRecords - 1, 10, logCounts{Written: maxLogRecords - 1}},
		{"as many records as fit", maxLogRecords, 10, logCounts{Written: maxLogRecords}},
		{"one record too many", maxLogRecords + 1, 10, logCounts{Written: maxLogRecords, QueueFull: 1}},
		{"one byte below the limit", 1, maxLogBytes - 1, logCounts{Written: 1}},
		{"one record of as many bytes as fit", 1, maxLogBytes, logCounts{Written: 1}},
		{"one byte too many", 1, maxLogBytes + 1, logCounts{QueueFull: 1}},
		{"records that fill all bytes together", 4, maxLogBytes / 4, logCounts{Written: 4}},
		{"records whose sum is too much", 5, maxLogBytes / 4, logCounts{Written: 4, QueueFull: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sink{gate: make(chan struct{})}
				q := newLogQueue(&s, plainText)
				record := append(bytes.Repeat([]byte("x"), test.bytes-1), '\n')
				for i := range test.records {
					if n, err := q.Write(record); n != len(record) || err != nil {
						t.Fatalf("Write of record %d = %d, %v; want %d, nil", i, n, err, len(record))
					}
					synctest.Wait()
				}
				close(s.gate)
				closeQueue(t, q)
				checkCounts(t, q, test.want)
			})
		})
	}
}

func TestLogQueueSaysWhatWasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		q := newLogQueue(&s, plainText)
		log := slog.New(plainText(q))
		for range maxLogRecords + 3 {
			log.Info("a")
		}
		close(s.gate)
		synctest.Wait()
		const line = "level=INFO msg=a\n"
		want := strings.Repeat(line, maxLogRecords) + "level=WARN msg=\"3 log records dropped\"\n"
		if s.String() != want {
			t.Errorf("the log ends %q; want the held records and then how many were dropped", tail(s.String()))
		}
		log.Info("a")
		closeQueue(t, q)
		if s.String() != want+line {
			t.Errorf("the log ends %q; want one more record, and nothing told twice", tail(s.String()))
		}
		checkCounts(t, q, logCounts{Written: maxLogRecords + 1, QueueFull: 3})
	})
}

func tail(s string) string { return s[max(0, len(s)-100):] }

func TestLogQueueOutlivesItsSinksErrors(t *testing.T) {
	full := errors.New("no space left on device")
	tests := []struct {
		name   string
		errs   []error // of the writes in order
		cut    int
		want   string
		counts logCounts
	}{
		{"a record is refused, and the next not", []error{full}, 0,
			"b\nlevel=WARN msg=\"1 log records dropped\"\nc\n", logCounts{Written: 2, WriteError: 1}},
		{"a record is cut: the next begins a line", []error{full}, 1,
			"a\nb\nlevel=WARN msg=\"1 log records dropped\"\nc\n", logCounts{Written: 2, WriteError: 1}},
		{"a record is cut, and not even a line's end fits", []error{full, full}, 1,
			"a\n\nc\nlevel=WARN msg=\"2 log records dropped\"\n", logCounts{Written: 1, WriteError: 2}},
		{"the line about what was dropped is refused: the next says it", []error{full, nil, full}, 0,
			"b\nc\nlevel=WARN msg=\"1 log records dropped\"\n", logCounts{Written: 2, WriteError: 1}},
		{"all is refused until the end", []error{full, full, full}, 0,
			"level=WARN msg=\"3 log records dropped\"\n", logCounts{WriteError: 3}},
		{"all is refused, to the end", []error{full, full, full, full}, 0, "", logCounts{WriteError: 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sink{errs: test.errs, cut: test.cut}
				q := newLogQueue(&s, plainText)
				for _, record := range []string{"a\n", "b\n", "c\n"} {
					io.WriteString(q, record)
					synctest.Wait()
				}
				closeQueue(t, q)
				if got := s.String(); got != test.want {
					t.Errorf("the sink has %q; want %q", got, test.want)
				}
				checkCounts(t, q, test.counts)
			})
		})
	}
}

// shortWriter takes a byte less than it is given, and no error.
type shortWriter struct{}

func (shortWriter) Write(b []byte) (int, error) { return max(0, len(b)-1), nil }

func TestLogQueueCountsAShortWrite(t *testing.T) {
	q := newLogQueue(shortWriter{}, plainText)
	io.WriteString(q, "a\n")
	closeQueue(t, q)
	checkCounts(t, q, logCounts{WriteError: 1})
}

func TestLogQueueCloseWaitsAsLongAsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		q := newLogQueue(&s, plainText)
		for _, record := range []string{"a\n", "b\n", "c\n", "d\n"} {
			io.WriteString(q, record)
			synctest.Wait()
		}
		s.gate <- struct{}{} // a is written, the others are the next batch
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		err := q.Close(ctx)
		if err == nil || err.Error() != "log: 3 records not written: context deadline exceeded" {
			t.Errorf("Close() = %v; want 3 records not written", err)
		}
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("Close took %v; want 2s", waited)
		}
		if err := q.Close(ctx); err == nil || !strings.Contains(err.Error(), "log: 0 records") {
			t.Errorf("Close() once more = %v; want no more records to be lost", err)
		}
		close(s.gate)
		<-q.done
		if got := s.String(); got != "a\nb\n" {
			t.Errorf("the sink has %q; want nothing after the record that was being written", got)
		}
		checkCounts(t, q, logCounts{Written: 1, Closed: 3})
	})
}

func TestLogQueueHasRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		q := newLogQueue(&s, plainText)
		for range 3 {
			q.Write(make([]byte, maxLogBytes))
			synctest.Wait()
			q.mu.Lock()
			size := cap(q.pending.text)
			q.mu.Unlock()
			if size > maxSpareLog {
				t.Errorf("a buffer of %d bytes is kept; want at most %d", size, maxSpareLog)
			}
		}
		closeQueue(t, q)
		checkCounts(t, q, logCounts{Written: 3})
	})
}
