// Command ws-fpm gives php-fpm WebSockets: it holds the connections, has PHP
// run once for every message, and sends back what PHP prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// version is set by the linker.
var version = "dev"

const usage = `ws-fpm - WebSockets for php-fpm

  ws-fpm serve -config FILE    serve
  ws-fpm check -config FILE    check the file, php-fpm and the scripts
  ws-fpm check -config FILE -call PREFIX EVENT [BODY]
                               really run one event and show what comes of it
  ws-fpm demo [-once] [-listen ADDR] [[-events EVENTS] DIR]
                               try it: own php-fpm, a page, nothing to configure;
                               with DIR, its ws.php instead of the examples
  ws-fpm push -channel NAME | -user ID | -connection ID [MESSAGE]
                               send it, or what comes on stdin, to who is connected
  ws-fpm health -config FILE   ask a running ws-fpm whether it answers
  ws-fpm version
`

// Exit statuses. A bad command line or configuration is the caller's to mend;
// anything else may be better next time.
const (
	exitFailure = 1
	exitUsage   = 2
)

// errUsage is an error that the user has been told of already.
var errUsage = errors.New("usage")

// A usageError is a fault of the command line or of the configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader of our log that goes away is no reason to die
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return exitOf(dispatch(ctx, args, stdout, stderr), stderr)
}

// exitOf tells the user of err, if that is still to do, and gives the exit
// status.
func exitOf(err error, stderr io.Writer) int {
	switch _, usage := errors.AsType[usageError](err); {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return exitUsage
	case usage:
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "ws-fpm: %v\n", err)
	return exitFailure
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		io.WriteString(stderr, usage)
		return errUsage
	}
	switch name, args := args[0], args[1:]; name {
	case "serve":
		return serve(ctx, args, stderr)
	case "check":
		return check(ctx, args, stdout, stderr)
	case "demo":
		return demo(ctx, args, stdout, stderr)
	case "push":
		return push(ctx, args, os.Stdin, stdout, stderr)
	case "health":
		return health(ctx, args, stdout, stderr)
	case "version", "-version", "--version":
		fmt.Fprintf(stdout, "ws-fpm %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	case "help", "-h", "-help", "--help":
		io.WriteString(stdout, usage)
		return nil
	default:
		fmt.Fprintf(stderr, "ws-fpm: unknown command %q\n\n%s", name, usage)
		return errUsage
	}
}

// parseFlags parses args and checks how many are left. On failure the user has
// been told.
func parseFlags(flags *flag.FlagSet, args []string, stderr io.Writer, most int) error {
	flags.SetOutput(stderr)
	if flags.Parse(args) != nil {
		return errUsage
	}
	if flags.NArg() > most {
		fmt.Fprintf(stderr, "ws-fpm %s: unexpected %q\n", flags.Name(), flags.Arg(most))
		return errUsage
	}
	return nil
}

// parseConfigFlag parses the flags of a command that needs a configuration,
// among them those that the caller has defined.
func parseConfigFlag(flags *flag.FlagSet, args []string, stderr io.Writer, most int) (file string, err error) {
	flags.StringVar(&file, "config", "", "the configuration `FILE`")
	if err := parseFlags(flags, args, stderr, most); err != nil {
		return "", err
	}
	if file == "" {
		fmt.Fprintf(stderr, "ws-fpm %s: -config FILE is missing\n", flags.Name())
		return "", errUsage
	}
	return file, nil
}
