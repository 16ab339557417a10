//go:build linux

// Command bench measures a running WebSocket echo server, ws-fpm or another:
//
//	bench echo -addr 127.0.0.1:8080 -path /ws -n 64 -size 125 -d 10s -pid PID
//	bench idle -addr 127.0.0.1:8080 -path /ws -n 10000 -wait 10s -pid PID
//
// Beside that it is what a gateway is measured with: a FastCGI responder that
// answers at once, and a gateway that does nothing but its system calls:
//
//	bench stub -listen unix:/tmp/stub.sock
//	bench floor -listen 127.0.0.1:8081 -php unix:/tmp/stub.sock -conns 4
//
// It drives all connections from a few threads with epoll and allocates
// nothing per message, so that on a small machine the server and not the load
// is what is measured. It does not start or stop the server.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	addr       string        // host:port or unix:/path
	path       string        // request target
	conns      int           // connections
	size       int           // bytes per message
	threads    int           // epoll loops
	duration   time.Duration // of the measurement
	warm       time.Duration // before it
	wait       time.Duration // with all connections idle
	pid        int           // of the server; zero: do not measure it
	binary     bool          // binary messages instead of text
	goroutines string        // URL whose text has a line "go_goroutines N"
}

func run(args []string, out io.Writer) error {
	mode := ""
	if len(args) > 0 {
		mode = args[0]
	}
	switch mode {
	case "echo", "idle":
	case "stub":
		return serveStub(args[1:])
	case "floor":
		return serveFloor(args[1:])
	default:
		return errors.New("usage: bench echo|idle|stub|floor [flags]; bench echo -h lists them")
	}
	var s settings
	f := flag.NewFlagSet("bench "+mode, flag.ContinueOnError)
	f.StringVar(&s.addr, "addr", "127.0.0.1:8080", "server's `address`, host:port or unix:/path")
	f.StringVar(&s.path, "path", "/ws", "request `target` of the handshake")
	f.IntVar(&s.pid, "pid", 0, "server's process `id`, to read its cpu time and memory")
	f.IntVar(&s.threads, "threads", 1, "threads that drive the connections")
	if mode == "echo" {
		f.IntVar(&s.conns, "n", 64, "connections, each with one message in flight")
		f.IntVar(&s.size, "size", 125, "bytes in a message, at least 16")
		f.DurationVar(&s.duration, "d", 10*time.Second, "how long to measure")
		f.DurationVar(&s.warm, "warm", time.Second, "how long to run before that")
		f.BoolVar(&s.binary, "binary", false, "send binary messages")
	} else {
		f.IntVar(&s.conns, "n", 10000, "connections")
		f.DurationVar(&s.wait, "wait", 10*time.Second, "how long to stay idle before memory is read")
		f.StringVar(&s.goroutines, "goroutines", "", "`URL` with a line \"go_goroutines N\"")
	}
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case s.conns < 1 || s.threads < 1:
		return errors.New("-n and -threads must be at least 1")
	case mode == "echo" && (s.size < idSize || s.size > 1<<30):
		return fmt.Errorf("-size must be %d to 1 GiB", idSize)
	case mode == "echo" && s.duration <= 0:
		return errors.New("-d must be positive")
	case mode == "idle":
		s.size = idSize
		return idle(s, out)
	}
	s.threads = cmp.Or(min(s.threads, s.conns), 1)
	return echo(s, out)
}
