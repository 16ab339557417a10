package fpm

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// lines is a log that keeps "LEVEL text".
type lines struct {
	slog.Handler
	got *[]string
}

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	*l.got = append(*l.got, r.Level.String()+" "+r.Message)
	return nil
}

func TestJournal(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		name, in string
		want     []string
		reason   string
	}{
		{"nothing", "", nil, ""},
		{"php-fpm's own levels",
			"[23-Nov-2026 10:11:12] NOTICE: ready to handle connections\n[23-Nov-2026 10:11:12] WARNING: a\n[23-Nov-2026 10:11:12] ERROR: b: c\n[23-Nov-2026 10:11:12] ALERT: d\n",
			[]string{"DEBUG php-fpm: ready to handle connections", "WARN php-fpm: a", "ERROR php-fpm: b: c", "ERROR php-fpm: d"},
			"a; b: c; d"},
		{"only the last lines are reasons",
			"1\n2\n3\n4\n",
			[]string{"WARN php-fpm: 1", "WARN php-fpm: 2", "WARN php-fpm: 3", "WARN php-fpm: 4"},
			"2; 3; 4"},
		{"a worker's line", "PHP Warning:  x in /a.php\r\n\n", []string{"WARN php-fpm: PHP Warning:  x in /a.php"}, "PHP Warning:  x in /a.php"},
		{"a worker that begins like php-fpm", "[23-Nov] hello: you\n[x\n", []string{"WARN php-fpm: [23-Nov] hello: you", "WARN php-fpm: [x"}, "[23-Nov] hello: you; [x"},
		{"no line end at the end", "abc", []string{"WARN php-fpm: abc"}, "abc"},
		{"a line that just fits", long[1:] + "\n", []string{"WARN php-fpm: " + long[1:]}, long[1:]},
		{"a line that is too long", long + "yz\n", []string{"WARN php-fpm: " + long, "WARN php-fpm: yz"}, long + "; yz"},
	} {
		var got []string
		j := &journal{log: slog.New(lines{got: &got})}
		j.copy(bytes.NewBufferString(test.in))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: logged %.200q, want %.200q", test.name, got, test.want)
		}
		if j.reason() != test.reason {
			t.Errorf("%s: reason = %.200q, want %.200q", test.name, j.reason(), test.reason)
		}
	}
}
