package report

import (
	"strings"
	"testing"
	"time"

	"ws-fpm/bench/load"
)

// goalData has one figure for each goal; above is how far above a bound of 1 for
// ratios, and in the same measure for the others, each is.
func goalData(above float64) Data {
	d := Data{Rounds: 2, Targets: []Target{
		{Key: "ws-fpm", Kind: Ours}, {Key: "ws-fpm-8M", Kind: Ours}, {Key: "a"}, {Key: "nginx"}, {Key: "floor", Kind: Floor}}}
	us := func(f float64) time.Duration { return time.Duration(f * 1e6) } // of a thousand messages
	result := func(cpu float64) load.Result {
		return load.Result{Messages: 1000, Seconds: 1, Server: us(cpu), P50: time.Duration(cpu * 1e5), P99: time.Duration(cpu * 1e6)}
	}
	add := func(c Cell, target string, r load.Result) {
		for round := range 2 {
			d.Samples = append(d.Samples, Sample{Cell: c, Target: target, Round: round, Result: r})
		}
	}
	long := result(100)
	long.First, long.Last = 10, 10.5*above
	long.Allocs, long.Collecting = 2, us(3*above)
	longCell := Cell{Name: "long", Backend: "stub", Mode: "echo", Size: 1 << 10, Conns: 50, Long: true}
	add(longCell, "ws-fpm", long)
	add(longCell, "a", result(100))
	for _, c := range []Cell{
		{Name: "64 B", Backend: "stub", Mode: "echo", Size: 64, Conns: 50},
		{Name: "1 KiB", Backend: "stub", Mode: "echo", Size: 1 << 10, Conns: 50},
		{Name: "60 KiB", Backend: "php-fpm", Mode: "echo", Size: 60 << 10, Conns: 50},
		{Name: "1 MiB", Backend: "php-fpm", Mode: "echo", Size: 1 << 20, Conns: 50},
		{Name: "500 connections", Backend: "stub", Mode: "echo", Size: 1 << 10, Conns: 500},
		{Name: "handshakes", Backend: "stub", Mode: "connect", Conns: 8},
	} {
		add(c, "ws-fpm", result(100*above))
		add(c, "ws-fpm-8M", result(90*above))
		add(c, "a", result(100))
		add(c, "nginx", result(100))
		add(c, "floor", result(80))
	}
	idle := Cell{Name: "memory", Backend: "stub", Mode: "idle", Conns: 10000}
	add(idle, "ws-fpm", load.Result{Idle: 2500 * above, After: 2500 * above})
	add(idle, "a", load.Result{Idle: 10000, After: 10000})
	add(Cell{Name: "rarely", Backend: "stub", Mode: "echo", Size: 1 << 10, Conns: 10000, Rate: 1000}, "ws-fpm", result(170*above))
	d.Calls = map[string]map[string]float64{"1 KiB": {"ws-fpm": 4.2 * above, "floor": 4}}
	d.Allocations = map[bool]string{true: "none", false: "the test fails"}[above <= 1]
	return d
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		above float64
		met   string
	}{{0.999, "yes"}, {1, "yes"}, {1.001, "NO"}} {
		rows := goalData(test.above).goals()[1:]
		for _, row := range rows {
			met := row[len(row)-1]
			// 100 of 100 is above 0.9, and 100 of 80 above 1.2.
			if strings.Contains(row[0], "CPU, 64 B") || strings.Contains(row[0], "CPU, 1 KiB") {
				if met != "NO" {
					t.Errorf("%q is met", row)
				}
			} else if met != test.met {
				t.Errorf("%q with all at %v of their bounds: met = %s, want %s", row, test.above, met, test.met)
			}
		}
		for _, want := range []string{
			"1 CPU, 64 B", "1 CPU, 1 KiB", "1 CPU, 60 KiB, as shipped", "1 CPU, 60 KiB, keep_alive_body = 8M", "1 CPU, 1 MiB, keep_alive_body = 8M",
			"1 p50, 1 KiB", "1 p99, 1 KiB", "1 p50, 500 connections", "1 p99, 500 connections",
			"2 memory, 10,000 connections, idle", "2 memory, 10,000 connections, after a message",
			"3 CPU, 10,000 connections that rarely send", "3 CPU, the last tenth of long connections", "4 CPU per handshake",
			"5 CPU, 1 KiB", "5 system calls per message", "6 allocations per message, echo path", "6 garbage collection's part of the CPU, full load",
		} {
			n := 0
			for _, row := range rows {
				if row[0] == want {
					n++
				}
			}
			if rows := 1 + strings.Count(want, "memory"); n != rows {
				t.Errorf("%d goals %q, want %d", n, want, rows)
			}
		}
		if len(rows) != 20 {
			t.Errorf("%d goals, want 20: none of long connections as if they were short, none of what is shipped at 1 MiB\n%q", len(rows), rows)
		}
	}
}

// Long connections are none of the cells that the README shows.
func TestReadmeWithoutLongConnections(t *testing.T) {
	var b strings.Builder
	goalData(1).markdown(&b)
	if text := b.String(); strings.Contains(text, "long") || !strings.Contains(text, "| 64 B | 1 KiB |") {
		t.Errorf("the README has them:\n%s", text)
	}
}

// What was not measured is no goal, met or missed.
func TestGoalsOfNothing(t *testing.T) {
	if got := (Data{}).goals(); len(got) != 1 {
		t.Errorf("goals of nothing = %q", got)
	}
	var b strings.Builder
	someData().goals().text(&b)
	for _, want := range []string{
		"1 CPU, 1 KiB                  0.90×     0.50×  0.50–0.50       b  yes\n",
		"5 CPU, 1 KiB                  1.20×     2.00×  2.00–2.00   floor   NO\n",
		"5 system calls per message     4.20      4.10          –          yes\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("goals lack %q:\n%s", want, b.String())
		}
	}
}
