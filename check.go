package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"ws-fpm/config"
)

// check is the command of that name: it reports on what serve would meet.
func check(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	file, err := parseConfigFlag("check", args, stderr)
	if err != nil {
		return err
	}
	c, err := config.Load(file)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintf(stdout, "%s: ok\n", file)
	bad := 0
	report := func(what string, err error) {
		if err != nil {
			bad++
			fmt.Fprintf(stdout, "%s: %v\n", what, err)
			return
		}
		fmt.Fprintf(stdout, "%s: ok\n", what)
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

// reach connects to a pool and leaves at once, so that no worker waits for us.
func reach(ctx context.Context, p config.Pool) error {
	d := net.Dialer{Timeout: max(p.ConnectTimeout, 100*time.Millisecond)}
	c, err := d.DialContext(ctx, p.Network, p.Address)
	if err != nil {
		return err
	}
	return c.Close()
}

// findScript looks for a script in our own file system. php-fpm may have
// another, in a container or a chroot, so only a wrong thing in the script's
// place is an error.
func findScript(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("not visible from here (%w); it has to be where php-fpm runs", err)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a file")
	}
	return nil
}
