//go:build linux

package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ws-fpm/bench/load"
	"ws-fpm/bench/process"
	"ws-fpm/bench/report"
)

// lengths are how long the parts of a cell take.
type lengths struct {
	warm, measure time.Duration
	rest          time.Duration // idle: after a message each
}

// measure runs the load against a gateway once.
func (n *nursery) measure(ctx context.Context, r *running, c report.Cell, l lengths) (load.Result, error) {
	argv := []string{r.self, c.Mode, "-json", "-addr", r.listen, "-pid", strconv.Itoa(r.gateway.pid()),
		"-n", strconv.Itoa(c.Conns), "-size", strconv.Itoa(c.Size)}
	limit := 30*time.Second + l.warm + l.measure
	switch c.Mode {
	case "idle":
		argv = append(argv, "-wait", l.measure.String(), "-after", l.rest.String())
		limit += 60*time.Second + l.rest
	case "broadcast":
		argv = append(argv, r.target.fanout(r.place)...)
		argv = append(argv, "-slow", strconv.Itoa(c.Slow))
		fallthrough
	case "echo":
		if c.Long {
			argv = append(argv, "-tenths")
			if r.target.metrics != nil {
				argv = append(argv, "-metrics", r.target.metrics(r.place))
			}
		}
		argv = append(argv, "-rate", strconv.FormatFloat(c.Rate, 'f', -1, 64))
		fallthrough
	default:
		argv = append(argv, "-warm", l.warm.String(), "-d", l.measure.String())
	}
	out, err := n.output(ctx, limit, argv...)
	if err != nil {
		return load.Result{}, r.explain(err)
	}
	var result load.Result
	return result, json.Unmarshal(out, &result)
}

// explain adds what the gateway or the stub have said to an error.
func (r *running) explain(err error) error {
	for _, c := range []*child{r.php, r.gateway} {
		if words := c.lastWords(); words != "" {
			return fmt.Errorf("%w; %s says: %s", err, c.name, words)
		}
	}
	return err
}

// calls counts the system calls that a gateway makes for a message, with perf,
// which counts without slowing, or else with strace, which slows.
func (n *nursery) calls(ctx context.Context, r *running, c report.Cell) (float64, error) {
	tree, err := process.Tree(r.gateway.pid())
	if err != nil {
		return 0, err
	}
	var pids []string
	for _, pid := range tree {
		pids = append(pids, strconv.Itoa(pid))
	}
	count, err := n.run("perf", "perf", "stat", "-e", "raw_syscalls:sys_enter", "-x", ",", "-p", strings.Join(pids, ","))
	parse := parsePerf
	if err == nil && !count.alive(200*time.Millisecond) || err != nil {
		argv := []string{"strace", "-c", "-f"}
		for _, pid := range pids {
			argv = append(argv, "-p", pid)
		}
		if count, err = n.run("strace", argv...); err != nil {
			return 0, err
		}
		parse = parseStrace
		if !count.alive(200 * time.Millisecond) {
			return 0, fmt.Errorf("neither perf nor strace can count: %s", count.lastWords())
		}
	}
	defer count.stop()
	result, err := n.measure(ctx, r, c, lengths{warm: 0, measure: time.Second})
	if err != nil {
		return 0, err
	}
	count.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-count.done:
	case <-time.After(5 * time.Second):
		return 0, fmt.Errorf("%s does not end", count.name)
	}
	total, err := parse(count.text())
	return total / float64(result.Messages), err
}

// alive reports whether a child lives that long.
func (c *child) alive(d time.Duration) bool {
	select {
	case <-c.done:
		return false
	case <-time.After(d):
		return true
	}
}
