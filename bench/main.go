//go:build linux

// Command bench measures WebSocket gateways to php-fpm, ws-fpm and others. See
// README.md beside it.
//
// It is also what it measures with: the load, a FastCGI responder that answers
// at once, and programs that do nothing but the system calls that any gateway
// must make.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"ws-fpm/bench/load"
)

const usage = `usage: bench COMMAND [FLAG]...; bench COMMAND -h lists its flags

  quick                            ws-fpm, the best peer and the floor, 1 KiB and 50 connections: about a minute
  full                             all that the README shows, and the README: less than half an hour
  fanout                           pushing to many: ws-fpm, nchan, and a loop that only writes
  crowd                            the memory of 100,000 connections, or as many as there may be descriptors
  report FILE                      the tables of a run that was saved with -save FILE
  echo, idle, connect, broadcast   load for a server that is running
  stub                             a FastCGI responder that answers at once
  floor                            a gateway that only makes its system calls
  fanout-floor                     a push server that only writes
`

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	command, args := args[0], args[1:]
	switch command {
	case "help":
		_, err := io.WriteString(out, usage)
		return err
	case "report":
		return showSaved(args, out)
	case "quick", "full", "crowd", "fanout":
		return runSuite(command, args, out)
	case "echo", "idle", "connect", "broadcast":
		return runLoad(command, args, out)
	case "stub":
		return serveStub(args)
	case "fanout-floor":
		return serveFanout(args)
	case "floor":
		return serveFloor(args)
	}
	return fmt.Errorf("there is no command %q\n%s", command, usage)
}

func runLoad(mode string, args []string, out io.Writer) error {
	s, err := load.Parse(mode, args)
	if err != nil {
		return err
	}
	r, err := load.Run(s)
	if err != nil {
		return err
	}
	if s.JSON {
		return r.PrintJSON(out)
	}
	r.Print(out)
	return nil
}
