//go:build linux

package main

import (
	"flag"
	"os"
	"runtime/debug"

	"ws-fpm/bench/floor"
	"ws-fpm/bench/stub"
)

// serveStub is the command stub.
func serveStub(args []string) error {
	f := flag.NewFlagSet("bench stub", flag.ContinueOnError)
	listen := f.String("listen", "unix:/tmp/ws-fpm-bench.sock", "`address`, unix:/path or host:port")
	var lines []string
	f.Func("line", "a further `line` of each answer's head, such as WS-Subscribe: a; may be repeated", func(s string) error {
		lines = append(lines, s)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(-1) // nothing is allocated once buffers have grown
	return stub.Serve(*listen, stub.Head(lines...), os.Stderr)
}

// serveFloor is the command floor.
func serveFloor(args []string) error {
	f := flag.NewFlagSet("bench floor", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:8081", "`address`, host:port")
	php := f.String("php", "unix:/tmp/ws-fpm-bench.sock", "`address` of the stub or of php-fpm")
	script := f.String("script", "/none.php", "SCRIPT_FILENAME")
	conns := f.Int("conns", 4, "connections to it")
	if err := f.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(-1)
	return floor.Serve(*listen, *php, *script, *conns)
}

// serveFanout is the command fanout-floor.
func serveFanout(args []string) error {
	f := flag.NewFlagSet("bench fanout-floor", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:8081", "`address` for subscribers")
	publish := f.String("publish", "unix:/tmp/ws-fpm-bench-publish.sock", "`address` for POSTs")
	if err := f.Parse(args); err != nil {
		return err
	}
	return floor.Fanout(*listen, *publish)
}
