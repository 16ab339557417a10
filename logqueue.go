package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"ws-fpm/metrics"
)

// What the log may hold in memory while its sink is slow. A record that would
// exceed either is dropped and counted.
const (
	maxLogRecords = 8192
	maxLogBytes   = 4 << 20
)

// maxSpareLog is the size above which a buffer is not kept for the next
// records: one burst must not pin its memory for good.
const maxSpareLog = 64 << 10

// A logQueue is what log handlers write to. It takes a record with each Write,
// and one goroutine writes it to the sink: no caller ever waits for a full disk
// or for a reader that has stopped reading.
//
// When maxLogRecords or maxLogBytes are held, new records are dropped: the old
// ones tell how it began. A record that the sink refuses is dropped too, and
// the next one tried as if nothing had been, so that the log goes on when the
// sink does. Once a record has been written again, a line says how many were
// not.
type logQueue struct {
	sink io.Writer
	own  slog.Handler  // writes to the sink itself, for the goroutine
	torn bool          // the sink took only a part of a record; the goroutine's
	wake chan struct{} // holds one: there is something to do
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards what follows
	pending logBatch
	held    logBatchSize // pending and being written
	state   logState
	counts  logCounts
	due     uint64 // records dropped by Write that are to be told of
	told    uint64 // dropped records that a line has told of
}

// A logBatch is records, one behind the other, and where each ends.
type logBatch struct {
	text []byte
	ends []int
}

type logBatchSize struct{ records, bytes int }

// logState is how far a logQueue is with its end.
type logState int

const (
	logOpen      logState = iota
	logClosing            // takes nothing more, writes what it holds
	logAbandoned          // writes nothing more
)

// logCounts is what became of records. Those not counted are still held.
type logCounts struct {
	Written    uint64
	QueueFull  uint64 // dropped: too much was held
	WriteError uint64 // dropped: the sink returned an error
	Closed     uint64 // dropped: came after Close, or Close did not wait for them
}

// newLogQueue starts a queue for sink. It writes its own lines with the handler
// that format makes. Close ends it.
func newLogQueue(sink io.Writer, format func(io.Writer) slog.Handler) *logQueue {
	q := &logQueue{sink: sink, wake: make(chan struct{}, 1), done: make(chan struct{})}
	q.own = format(writerFunc(q.writeSink))
	go q.run()
	return q
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Write takes one record. It does not wait, and never fails: whoever logs could
// do nothing about it.
func (q *logQueue) Write(record []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.state != logOpen:
		q.counts.Closed++
	case q.held.records >= maxLogRecords || len(record) > maxLogBytes-q.held.bytes:
		q.counts.QueueFull++
	default:
		q.held.records++
		q.held.bytes += len(record)
		q.pending.text = append(q.pending.text, record...)
		q.pending.ends = append(q.pending.ends, len(q.pending.text))
		q.wakeUp()
	}
	return len(record), nil
}

func (q *logQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Close has what is held written and returns when it is. If ctx ends first, the
// rest is dropped and the error says how many records that were. The sink must
// not be used before Close has returned nil; a write that the sink never ends
// is left behind.
func (q *logQueue) Close(ctx context.Context) error {
	q.mu.Lock()
	if q.state == logOpen {
		q.state = logClosing
	}
	q.mu.Unlock()
	q.wakeUp()
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state = logAbandoned
	lost := q.held.records
	q.counts.Closed += uint64(lost)
	q.held = logBatchSize{}
	return fmt.Errorf("log: %d records not written: %w", lost, context.Cause(ctx))
}

// Counts says what became of records so far.
func (q *logQueue) Counts() logCounts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts
}

func (q *logQueue) run() {
	defer close(q.done)
	var batch logBatch
	ok := true // the sink took what it was given last
	for {
		var closing bool
		batch, closing = q.swap(batch)
		if len(batch.ends) > 0 {
			ok = q.writeBatch(batch) && q.tell()
			continue
		}
		if ok || closing {
			ok = q.tell()
		}
		if closing {
			return
		}
		<-q.wake
	}
}

// swap gives what is pending for a batch that has been written. What has been
// dropped for want of room by now came after that, and is told after it.
func (q *logQueue) swap(old logBatch) (pending logBatch, closing bool) {
	if cap(old.text) > maxSpareLog {
		old = logBatch{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == logAbandoned {
		return logBatch{}, true
	}
	q.due = q.counts.QueueFull + q.counts.Closed
	pending, q.pending = q.pending, logBatch{old.text[:0], old.ends[:0]}
	return pending, q.state != logOpen
}

// writeBatch writes record by record, so that an error costs one, and a pipe
// that others write to as well gets whole lines. It reports whether the sink
// took the last one.
func (q *logQueue) writeBatch(b logBatch) (ok bool) {
	start := 0
	for _, end := range b.ends {
		_, err := q.writeSink(b.text[start:end])
		if !q.written(end-start, err) {
			return false
		}
		ok = err == nil
		start = end
	}
	return ok
}

// written counts a record of that size that is out of the queue. It reports
// whether to go on.
func (q *logQueue) written(size int, err error) (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == logAbandoned {
		return false // it is counted as lost
	}
	q.held.records--
	q.held.bytes -= size
	if err != nil {
		q.counts.WriteError++
	} else {
		q.counts.Written++
	}
	return true
}

// writeSink writes a line to the sink, on a line of its own even if the one
// before it was cut.
func (q *logQueue) writeSink(line []byte) (int, error) {
	if q.torn {
		if _, err := q.sink.Write([]byte("\n")); err != nil {
			return 0, err
		}
		q.torn = false
	}
	n, err := q.sink.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	q.torn = err != nil && n > 0
	return n, err
}

// tell writes how many records have been dropped since it did so last, and
// reports whether the sink takes more. If it does not take that line, the next
// one tells of them.
func (q *logQueue) tell() (ok bool) {
	q.mu.Lock()
	total, told, state := q.due+q.counts.WriteError, q.told, q.state
	q.mu.Unlock()
	if total == told || state == logAbandoned {
		return true
	}
	message := fmt.Sprintf("%d log records dropped", total-told)
	if q.own.Handle(context.Background(), slog.NewRecord(time.Now(), slog.LevelWarn, message, 0)) != nil {
		return false
	}
	q.mu.Lock()
	q.told = total
	q.mu.Unlock()
	return true
}

// observeLog registers what becomes of log records.
func observeLog(r *metrics.Registry, q *logQueue, l *repeatLimiter) {
	r.CounterFunc("ws_fpm_log_written_total", "Log records written.", func() float64 { return float64(q.Counts().Written) })
	dropped := func(cause string, value func() uint64) {
		r.CounterFunc("ws_fpm_log_dropped_total", "Log records dropped, by cause.",
			func() float64 { return float64(value()) }, metrics.Label{Name: "cause", Value: cause})
	}
	dropped("queue_full", func() uint64 { return q.Counts().QueueFull })
	dropped("write_error", func() uint64 { return q.Counts().WriteError })
	dropped("closed", func() uint64 { return q.Counts().Closed })
	dropped("repeated", l.Suppressed)
}

// closeLog ends a log: what it has held back is said, and what is in the queue
// written, as far as ctx allows.
func closeLog(ctx context.Context, q *logQueue, l *repeatLimiter) error {
	return errors.Join(l.Close(), q.Close(ctx))
}
