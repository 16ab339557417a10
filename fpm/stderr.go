package fpm

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

const (
	maxLine    = 8192 // bytes; a longer line of standard error is logged in pieces
	keptReason = 3    // lines
)

// journal logs what a php-fpm writes to standard error, and keeps the last
// lines that may say why it ended.
type journal struct {
	log *slog.Logger

	mu      sync.Mutex // guards what follows
	reasons []string
}

// copy logs r line by line until it ends.
func (j *journal) copy(r io.Reader) {
	buf := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := buf.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			j.add(text)
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func (j *journal) add(line string) {
	level, text := parseLine(line)
	j.log.Log(context.Background(), level, "php-fpm: "+text)
	if level < slog.LevelWarn {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.reasons) == keptReason {
		j.reasons = j.reasons[1:]
	}
	j.reasons = append(j.reasons, text)
}

// reason gives the last warnings and errors in one line.
func (j *journal) reason() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.reasons, "; ")
}

// parseLine takes the time and the level off a line of php-fpm's own log,
// "[23-Nov-2026 10:11:12] ERROR: text". Any other line is from a worker, or
// from a library that has something to say: a warning.
func parseLine(line string) (slog.Level, string) {
	if !strings.HasPrefix(line, "[") {
		return slog.LevelWarn, line
	}
	_, rest, _ := strings.Cut(line, "] ")
	name, text, found := strings.Cut(rest, ": ")
	if found {
		switch name {
		case "DEBUG", "NOTICE":
			return slog.LevelDebug, text
		case "WARNING":
			return slog.LevelWarn, text
		case "ERROR", "ALERT":
			return slog.LevelError, text
		}
	}
	return slog.LevelWarn, line
}
