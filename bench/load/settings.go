//go:build linux

// Package load drives WebSocket servers: many connections from one thread with
// epoll, nothing allocated per message, every answer's content checked. So on
// a small machine the server and not its load is what is measured.
package load

import (
	"errors"
	"flag"
	"fmt"
	"time"
)

// Settings are what one measurement does.
type Settings struct {
	Mode  string // echo, idle, connect or broadcast
	Addr  string // host:port or unix:/path
	Path  string // request target
	Conns int
	Size  int // bytes per message
	Wait  time.Duration
	// Duration is how long to measure, Warm how long to run before that.
	Duration, Warm time.Duration
	// Rate is messages a second of all connections together. Zero is a closed
	// loop: the next as soon as the answer has come.
	Rate    float64
	Threads int
	Binary  bool
	PID     int    // of the server; zero: do not measure it
	Publish string // broadcast: unix:/path or host:port
	Target  string // broadcast: the request target to POST to
	Hello   bool   // broadcast: each connection sends a message first, and PHP's answer subscribes it
	Metrics string // where ws-fpm's counters are read, like Publish
	Tenths  bool   // echo: compare the first tenth with the last
	Slow    int    // broadcast: so many connections do not read
	JSON    bool   // print the result for a program
}

// Parse reads a command line, without its name and mode.
func Parse(mode string, args []string) (Settings, error) {
	s := Settings{Mode: mode}
	f := flag.NewFlagSet("bench "+mode, flag.ContinueOnError)
	f.StringVar(&s.Addr, "addr", "127.0.0.1:8080", "server's `address`, host:port or unix:/path")
	f.StringVar(&s.Path, "path", "/ws", "request `target` of the handshake")
	f.IntVar(&s.PID, "pid", 0, "server's process `id`, to read what it and its children take")
	f.IntVar(&s.Threads, "threads", 1, "threads that drive the connections")
	f.IntVar(&s.Size, "size", 1024, "bytes in a message, at least 16")
	f.BoolVar(&s.JSON, "json", false, "print the result as JSON")
	f.DurationVar(&s.Duration, "d", 10*time.Second, "how long to measure")
	f.DurationVar(&s.Warm, "warm", time.Second, "how long to run before that")
	conns := 50
	switch mode {
	case "echo":
		f.Float64Var(&s.Rate, "rate", 0, "messages a second in all; 0: the next when the answer has come")
		f.BoolVar(&s.Binary, "binary", false, "send binary messages")
		f.BoolVar(&s.Tenths, "tenths", false, "compare the server's CPU in the first and the last tenth of the time")
		f.StringVar(&s.Metrics, "metrics", "", "`address` with ws-fpm's /metrics: what does its Go allocate and collect?")
	case "idle":
		conns = 10000
		f.DurationVar(&s.Wait, "wait", 10*time.Second, "how long to stay idle before memory is read")
		f.DurationVar(&s.Duration, "after", 0, "how long to wait once more, after one message each; 0: no message")
	case "broadcast":
		conns = 1000
		f.Float64Var(&s.Rate, "rate", 0, "messages published a second; 0: the next when all have come")
		f.StringVar(&s.Publish, "publish", "", "`address` of the API that publishes, host:port or unix:/path")
		f.StringVar(&s.Target, "target", "/channels/bench", "request `target` to POST to")
		f.BoolVar(&s.Hello, "hello", false, "each connection sends a message first")
		f.StringVar(&s.Metrics, "metrics", "", "`address` with ws-fpm's /metrics: are all messages sent or counted as dropped?")
		f.IntVar(&s.Slow, "slow", 0, "so many of the connections do not read")
	}
	f.IntVar(&s.Conns, "n", conns, "connections")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	switch {
	case f.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case s.Conns < 1 || s.Threads < 1 || s.Slow < 0 || s.Slow >= s.Conns:
		return s, errors.New("-n and -threads must be at least 1, and -slow less than -n")
	case s.Size < idSize || s.Size > 1<<30:
		return s, fmt.Errorf("-size must be %d to 1 GiB", idSize)
	case mode != "idle" && s.Duration <= 0:
		return s, errors.New("-d must be positive")
	case s.Rate < 0:
		return s, errors.New("-rate must not be negative")
	case mode == "broadcast" && s.Publish == "":
		return s, errors.New("-publish is needed")
	}
	s.Threads = min(s.Threads, s.Conns)
	return s, nil
}

// Run measures.
func Run(s Settings) (Result, error) {
	switch s.Mode {
	case "echo":
		return echo(s)
	case "idle":
		return idle(s)
	case "connect":
		return handshakes(s)
	case "broadcast":
		return broadcast(s)
	}
	return Result{}, fmt.Errorf("there is no mode %q", s.Mode)
}
