package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ws-fpm/control"
	"ws-fpm/fastcgi"
	"ws-fpm/fpm"
	"ws-fpm/gateway"
)

// What the demo does is small, so it has little patience.
const (
	demoMessage  = "Test message 4444"
	demoPatience = 10 * time.Second       // for the first answer
	demoStop     = 300 * time.Millisecond // for clients and PHP when it ends
)

// demo is the command of that name: all that a user would set up, on a php-fpm
// of its own.
func demo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "end after the first answer")
	address := flags.String("listen", "127.0.0.1:8080", "`ADDR` to listen on")
	events := flags.String("events", "", "the `EVENTS` that the ws.php in DIR is asked about, such as connect,message,disconnect; by default message")
	if err := parseFlags(flags, args, stderr, 1); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	log := newLogger("text", slog.LevelWarn, stderr)
	scripts, err := newDemoScripts(flags.Arg(0), *events)
	if err != nil {
		return usageError{fmt.Errorf("ws-fpm demo: %w", err)}
	}
	defer scripts.remove()
	// Listen first: a port that is taken is the likeliest thing to go wrong.
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", *address)
	if err != nil {
		return fmt.Errorf("demo: %w (another address: -listen 127.0.0.1:0)", err)
	}
	defer l.Close()
	php, err := fpm.Start(ctx, fpm.Options{User: scripts.user, Grace: time.Second, Log: log})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), demoStop)
		defer cancel()
		php.Stop(ctx)
	}()
	d, err := startDemo(ctx, php, scripts, l, log)
	if err != nil {
		return err
	}
	defer d.stop()

	answer, err := firstMessage(ctx, l.Addr().String(), "/ws/", demoMessage)
	switch {
	case err == nil:
		fmt.Fprintf(stderr, "sent      %s\nreceived\n", demoMessage)
		fmt.Fprintln(stdout, answer)
	case flags.Arg(0) == "" || *once || ctx.Err() != nil:
		return fmt.Errorf("demo: sending the first message: %w", err)
	default: // a script of the user's own may well want more than this
		fmt.Fprintf(stderr, "sent      %s\nwithout an answer: %v\n", demoMessage, err)
	}
	if *once {
		return nil
	}
	where, channel := "the chat", "chat/lobby"
	if flags.Arg(0) != "" {
		where, channel = "a channel", "NAME"
	}
	fmt.Fprintf(stderr, "\nTo push to %s: echo hi | %s push -api %s -channel %s\n", where, os.Args[0], d.api, channel)
	fmt.Fprintf(stderr, "\nOpen http://%s/ in a browser. Ctrl-C ends the demo.\n", loopback(l.Addr().String()))
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.failed:
		d.failed <- nil // for stop
		return err
	case err := <-d.private:
		d.private <- nil
		return err
	case <-php.Done():
		return errors.New("demo: php-fpm has ended")
	}
}

// A demonstration is what runs in the demo besides php-fpm.
type demonstration struct {
	gateway *gateway.Gateway
	backend *fastcgi.Client
	control *control.Server
	api     string     // where it is
	failed  chan error // why serving ended, if not by stop
	private chan error // the same of the control API
}

func startDemo(ctx context.Context, php *fpm.Server, scripts demoScripts, l net.Listener, log *slog.Logger) (*demonstration, error) {
	network, address := php.Addr()
	backend, err := fastcgi.New(fastcgi.Options{Network: network, Address: address, KeepAlive: time.Second})
	if err != nil {
		return nil, err
	}
	api := "unix:" + filepath.Join(php.Dir(), "control.sock")
	options := gateway.Options{
		Software:   "ws-fpm/" + version,
		API:        api,
		Fallback:   demoPages(backend, scripts, api, log),
		ShowErrors: true,
		Hosts:      ownHost,
		Logger:     log,
	}
	for _, r := range scripts.routes {
		r.Backend = backend
		options.Routes = append(options.Routes, r)
	}
	g, err := gateway.New(context.Background(), options)
	if err != nil {
		return nil, err
	}
	d := &demonstration{gateway: g, backend: backend, api: api, failed: make(chan error, 1), private: make(chan error, 1)}
	if err := d.openControl(ctx, php, log); err != nil {
		return nil, err
	}
	go func() { d.failed <- g.Serve(l) }()
	return d, nil
}

// stop says goodbye to whoever is there and waits for next to nothing.
func (d *demonstration) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), demoStop)
	defer cancel()
	d.gateway.Shutdown(ctx)
	d.control.Shutdown(ctx)
	d.backend.Close(ctx)
	<-d.failed
	<-d.private
}

// firstMessage sends text as a client would and returns the answer.
func firstMessage(ctx context.Context, address, path, text string) (answer string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fmt.Errorf("none within %v; a script that prints nothing sends nothing", demoPatience))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx) // which closed the connection
		}
	}()
	c, err := dialWebSocket(ctx, loopback(address), path)
	if err != nil {
		return "", err
	}
	defer c.close()
	if err := c.send(text); err != nil {
		return "", err
	}
	return c.receive()
}

// ownHost reports whether a Host header names this machine in a way that no
// DNS server can forge: by an address, or as localhost. A page of another site
// whose name has been made to point here (DNS rebinding) sends its own name.
func ownHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if n := len(name); n > 2 && name[0] == '[' && name[n-1] == ']' {
		name = name[1 : n-1]
	}
	return name == "localhost" || net.ParseIP(name) != nil
}

// demoScripts are the PHP files of a demo.
type demoScripts struct {
	routes []gateway.Route
	user   string // whom PHP runs as; empty: as fpm chooses
	temp   string // to be removed at the end; empty: nothing
}

func (s demoScripts) remove() {
	if s.temp != "" {
		os.RemoveAll(s.temp)
	}
}

// newDemoScripts gives the ws.php of dir, or the examples if dir is empty. Events
// are those that it is asked about, with commas; none is message.
func newDemoScripts(dir, events string) (demoScripts, error) {
	var asked []string
	if events != "" {
		asked = strings.Split(events, ",")
	}
	for _, event := range asked {
		if !slices.Contains([]string{"connect", "message", "disconnect"}, event) {
			return demoScripts{}, fmt.Errorf("-events: %q: want connect, message, disconnect or some of them, with commas", event)
		}
	}
	if asked != nil && dir == "" {
		return demoScripts{}, errors.New("want -events with DIR only: the examples have theirs")
	}
	if dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return demoScripts{}, err
		}
		script := filepath.Join(dir, "ws.php")
		if _, err := os.Stat(script); err != nil {
			return demoScripts{}, fmt.Errorf("want a folder with a ws.php in it: %w", err)
		}
		return demoScripts{routes: []gateway.Route{{Prefix: "/ws", Script: script, Events: asked}}, user: ownerOf(script)}, nil
	}
	temp, err := unpackExamples()
	if err != nil {
		return demoScripts{}, err
	}
	script := func(name string) string { return filepath.Join(temp, name) }
	return demoScripts{temp: temp, routes: []gateway.Route{
		{Prefix: "/ws", Script: script("ws.php"), ContentType: "application/x-www-form-urlencoded"},
		{Prefix: "/echo", Script: script("echo.php")},
		{Prefix: "/slow", Script: script("slow.php")},
		{Prefix: "/fatal", Script: script("fatal.php")},
		{Prefix: "/chat/ws", Script: script("examples/chat-ws.php"), Events: []string{"connect", "message", "disconnect"}},
	}}, nil
}
