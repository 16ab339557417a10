package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"
)

func TestRepeatLimiter(t *testing.T) {
	line := func(message string, times int) string {
		return strings.Repeat("level=INFO msg="+message+"\n", times)
	}
	tests := []struct {
		name string
		log  func(log *slog.Logger)
		want string
	}{
		{"below the limit all pass", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats-1)
		}, line("a", 19)},
		{"at the limit all pass", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats)
		}, line("a", 20)},
		{"above it the rest is summarised when the second ends", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats+132)
		}, line("a", 20) + `level=INFO msg="a … repeated 132 times"` + "\n"},
		{"one above", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats+1)
		}, line("a", 20) + `level=INFO msg="a … repeated 1 times"` + "\n"},
		{"attributes make no difference", func(log *slog.Logger) {
			for i := range maxLogRepeats + 2 {
				log.With("x", i).Info("a", "y", i)
			}
		}, "" + attributed(maxLogRepeats) + `level=INFO msg="a … repeated 2 times"` + "\n"},
		{"messages count for themselves", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats)
			logTimes(log, "b", maxLogRepeats)
		}, line("a", 20) + line("b", 20)},
		{"levels count for themselves", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats)
			log.Error("a")
		}, line("a", 20) + "level=ERROR msg=a\n"},
		{"what is not logged does not count", func(log *slog.Logger) {
			for range maxLogRepeats {
				log.Debug("a")
			}
			log.Info("a")
		}, line("a", 1)},
		{"just before the second's end it still counts", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats)
			time.Sleep(time.Second - 1)
			log.Info("a")
		}, line("a", 20) + `level=INFO msg="a … repeated 1 times"` + "\n"},
		{"a second later it counts anew", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats)
			time.Sleep(time.Second)
			logTimes(log, "a", maxLogRepeats)
		}, line("a", 40)},
		{"each second has its summary", func(log *slog.Logger) {
			logTimes(log, "a", maxLogRepeats+1)
			time.Sleep(time.Second + 1)
			logTimes(log, "a", maxLogRepeats+2)
		}, line("a", 20) + `level=INFO msg="a … repeated 1 times"` + "\n" + line("a", 20) + `level=INFO msg="a … repeated 2 times"` + "\n"},
		{"the second begins with its first record", func(log *slog.Logger) {
			log.Info("b")
			time.Sleep(5500 * time.Millisecond)
			logTimes(log, "a", maxLogRepeats+1)
			time.Sleep(time.Second - 1)
			log.Info("b")
		}, line("b", 1) + line("a", 20) + line("b", 1) + `level=INFO msg="a … repeated 1 times"` + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s sink
				l := newRepeatLimiter(plainText(&s))
				test.log(slog.New(l))
				time.Sleep(time.Second) // the summary needs no further record
				synctest.Wait()
				if got := s.String(); got != test.want {
					t.Errorf("log\n%s\nwant\n%s", got, test.want)
				}
				if err := l.Close(); err != nil {
					t.Errorf("Close() = %v; want nil", err)
				}
				if got := s.String(); got != test.want {
					t.Errorf("after Close, log\n%s\nwant it as before\n%s", got, test.want)
				}
			})
		})
	}
}

func logTimes(log *slog.Logger, message string, times int) {
	for range times {
		log.Info(message)
	}
}

func attributed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "level=INFO msg=a x=%d y=%d\n", i, i)
	}
	return b.String()
}

func TestRepeatLimiterTellsAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		l := newRepeatLimiter(plainText(&s))
		log := slog.New(l)
		logTimes(log, "a", maxLogRepeats+3)
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("Close took %v; want it not to wait for the second's end", waited)
		}
		if want := `msg="a … repeated 3 times"`; !strings.Contains(s.String(), want) {
			t.Errorf("after Close the log has no %s", want)
		}
		before := len(s.String())
		logTimes(log, "a", maxLogRepeats+1)
		if got := strings.Count(s.String()[before:], "\n"); got != maxLogRepeats+1 {
			t.Errorf("%d records pass after Close; want all %d", got, maxLogRepeats+1)
		}
	})
}

func TestRepeatLimiterCloseWaitsForASummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{}, maxLogRepeats)}
		for range maxLogRepeats {
			s.gate <- struct{}{}
		}
		l := newRepeatLimiter(plainText(&s))
		logTimes(slog.New(l), "a", maxLogRepeats+1)
		time.Sleep(time.Second) // the summary waits at the gate
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- l.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned while the summary was being written")
		default:
		}
		s.gate <- struct{}{}
		if err := <-closed; err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
	})
}

// A timer can fire while a record ends its second. It must not end the next one.
func TestRepeatLimiterIgnoresALateTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		l := newRepeatLimiter(plainText(&s))
		logTimes(slog.New(l), "a", maxLogRepeats+1)
		before := s.String()
		l.repeats.ends.Add(1)
		l.repeats.end(time.Now().Add(-time.Second))
		if got := s.String(); got != before {
			t.Errorf("the log grew by %q; want the second to go on", got[len(before):])
		}
		l.Close()
	})
}

// However many different messages there are, only so many are remembered, and
// the others are limited together.
func TestRepeatLimiterRemembersABoundedNumber(t *testing.T) {
	tests := []struct {
		name           string
		messages       int
		passed, others int
	}{
		{"one below", maxLogMessages - 1, maxLogMessages - 1, 0},
		{"all with a count of their own", maxLogMessages, maxLogMessages, 0},
		{"as many more as the limit lets pass", maxLogMessages + maxLogRepeats, maxLogMessages + maxLogRepeats, 0},
		{"one more", maxLogMessages + maxLogRepeats + 1, maxLogMessages + maxLogRepeats, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s sink
				l := newRepeatLimiter(plainText(&s))
				for i := range test.messages {
					slog.New(l).Info(fmt.Sprintf("message %d", i))
				}
				if n := len(l.repeats.counts); n > maxLogMessages+1 {
					t.Errorf("%d messages are remembered; want at most %d and one for all others", n, maxLogMessages)
				}
				l.Close()
				passed := strings.Count(s.String(), `msg="message`)
				summary := fmt.Sprintf(`level=INFO msg="other messages … repeated %d times"`, test.others)
				if passed != test.passed || strings.Contains(s.String(), summary) != (test.others > 0) || l.Suppressed() != uint64(test.others) {
					t.Errorf("%d passed, %d suppressed; want %d and %d, and the log to say so", passed, l.Suppressed(), test.passed, test.others)
				}
			})
		})
	}
}

func TestEveryRecord(t *testing.T) {
	var s sink
	l := newRepeatLimiter(plainText(&s))
	defer l.Close()
	log := slog.New(l).With("x", 1)
	logTimes(everyRecord(log), "a", maxLogRepeats+5)
	if want := strings.Repeat("level=INFO msg=a x=1\n", maxLogRepeats+5); s.String() != want {
		t.Errorf("log\n%s\nwant %d records with their attribute", s.String(), maxLogRepeats+5)
	}
	plain := slog.New(plainText(&s))
	if everyRecord(plain) != plain {
		t.Error("a logger without a limit is not given back as it is")
	}
}

func TestRepeatLimiterIsAHandler(t *testing.T) {
	var b bytes.Buffer
	l := newRepeatLimiter(slog.NewJSONHandler(&b, nil))
	defer l.Close()
	results := func() (list []map[string]any) {
		for line := range bytes.Lines(b.Bytes()) {
			m := map[string]any{}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			list = append(list, m)
		}
		return list
	}
	if err := slogtest.TestHandler(l, results); err != nil {
		t.Error(err)
	}
}

func BenchmarkRepeatLimiter(b *testing.B) {
	l := newRepeatLimiter(slog.DiscardHandler)
	defer l.Close()
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "a record of usual length", 0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Handle(b.Context(), r)
		}
	})
}
