package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"ws-fpm/config"
	"ws-fpm/gateway"
)

// check is the command of that name: it reports on what serve would meet.
func check(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	route := flags.String("call", "", "really run an event of the route with this `PREFIX`, to which ?QUERY may be added; then follow EVENT and its BODY")
	file, err := parseConfigFlag(flags, args, stderr, 2)
	if err != nil {
		return err
	}
	c, settings, err := config.Read(file)
	if err != nil {
		return usageError{err}
	}
	for _, l := range c.Listeners {
		if _, err := loadPair(l); err != nil {
			return usageError{located(settings, err)}
		}
	}
	access, err := findAccess(c.Control)
	if err = cmp.Or(err, findGroups(c)); err != nil {
		return usageError{located(settings, err)}
	}
	if *route != "" && flags.NArg() == 0 {
		fmt.Fprintln(stderr, "ws-fpm check: EVENT is missing: connect, message, disconnect or start")
		return errUsage
	}
	if *route != "" {
		return call(ctx, c, *route, flags.Arg(0), flags.Arg(1), stdout)
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "ws-fpm check: unexpected %q\n", flags.Arg(0))
		return errUsage
	}
	fmt.Fprintf(stdout, "%s: ok\n", file)
	bad := 0
	report := func(what string, err error) {
		switch {
		case err == nil:
			fmt.Fprintf(stdout, "%s: ok\n", what)
		case errors.Is(err, errElsewhere), errors.Is(err, errUnreadable):
			fmt.Fprintf(stdout, "%s: %v\n", what, err)
		default:
			bad++
			fmt.Fprintf(stdout, "%s: %v\n", what, err)
		}
	}
	if c.Control != nil {
		report("control API at "+c.Control.Address, access)
	}
	for _, p := range c.Pools {
		report(fmt.Sprintf("pool %s at %s", p.Name, p.Address), reach(ctx, p))
	}
	for _, r := range c.Routes {
		report(fmt.Sprintf("route %s: script %s", r.Prefix, r.Script), findScript(r.Script))
	}
	if bad > 0 {
		return fmt.Errorf("%d of these would not work", bad)
	}
	return nil
}

// call runs one event and prints what PHP answers and what comes of it.
func call(ctx context.Context, c *config.Config, route, event, body string, stdout io.Writer) error {
	log := slog.New(slog.DiscardHandler)
	pools, err := newPools(c.Pools, log)
	if err != nil {
		return usageError{err}
	}
	g, err := gateway.New(ctx, gatewayOptions(c, pools.set(), log))
	if err != nil {
		return usageError{err}
	}
	defer g.Shutdown(ctx)
	r, err := g.Call(ctx, route, event, []byte(body))
	if r != nil {
		fmt.Fprintf(stdout, "Status: %d\n", r.Status)
		for _, f := range r.Header {
			fmt.Fprintf(stdout, "%s: %s\n", f.Name, f.Value)
		}
		fmt.Fprintf(stdout, "\n%s\n", r.Body)
		if r.Stderr != "" {
			fmt.Fprintf(stdout, "\nstderr: %s\n", r.Stderr)
		}
		for _, effect := range r.Effects {
			fmt.Fprintf(stdout, "=> %s\n", effect)
		}
		if err == nil && r.Failed {
			if event == "connect" {
				return fmt.Errorf("route %s would not let this client in", route)
			}
			return fmt.Errorf("event %s of route %s has failed", event, route)
		}
	}
	return err
}

// findAccess looks for what [control] names. A token's file that this user may
// not read, or in a folder that is not there, says nothing against it: it is
// ws-fpm's own, and systemd makes the folder of a credential.
func findAccess(c *config.Control) (elsewhere, err error) {
	if c == nil {
		return nil, nil
	}
	switch _, err := controlAccess(c); {
	case errors.Is(err, fs.ErrPermission):
		return errUnreadable, nil
	case errors.Is(err, fs.ErrNotExist):
		if _, folder := os.Stat(filepath.Dir(c.TokenFile)); folder != nil {
			return errUnreadable, nil
		}
		return nil, err
	default:
		return nil, err
	}
}

// findGroups looks for the groups that sockets are to have.
func findGroups(c *config.Config) error {
	for _, l := range c.Listeners {
		if l.Group == "" {
			continue
		}
		if _, err := lookupGroup(l.Group); err != nil {
			return &settingError{"[listen " + l.Name + "]", "group", err}
		}
	}
	if c.Control == nil || c.Control.Group == "" {
		return nil
	}
	if _, err := lookupGroup(c.Control.Group); err != nil {
		return &settingError{"[control]", "group", err}
	}
	return nil
}

// reach connects to a pool and leaves at once, so that no worker waits for us.
func reach(ctx context.Context, p config.Pool) error {
	d := net.Dialer{Timeout: max(p.ConnectTimeout, 100*time.Millisecond)}
	c, err := d.DialContext(ctx, p.Network, p.Address)
	if err != nil {
		return err
	}
	return c.Close()
}

// errUnreadable says nothing against a token.
var errUnreadable = errors.New("its token_file is not for this user, or not there yet; ws-fpm has to be able to read it")

// errElsewhere says nothing against a script.
var errElsewhere = errors.New("not visible from here; it has to be where php-fpm runs")

// findScript looks for a script in our own file system. php-fpm may have
// another, in a container or a chroot, so a script is only found missing if its
// folder is here.
func findScript(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, folder := os.Stat(filepath.Dir(path)); folder != nil {
			return errElsewhere
		}
		return errors.New("no such file, though its folder is here")
	case errors.Is(err, os.ErrPermission):
		return errElsewhere
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a file")
	}
	return nil
}
