package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"ws-fpm/config"
)

// listenAll opens every listener, or none. Sockets are those that systemd has
// opened.
func listenAll(ctx context.Context, listeners []config.Listener, sockets []passedSocket, certs certificates, log *slog.Logger) (open []net.Listener, err error) {
	var names []string
	for _, l := range listeners {
		if l.Network == "systemd" {
			names = append(names, l.Address)
		}
	}
	passed, rest, err := assignSockets(sockets, names)
	if err != nil {
		closeSockets(sockets)
		return nil, err
	}
	for _, s := range rest {
		log.Warn("systemd has passed a socket that no listener wants", "name", s.name, "address", s.Addr().String())
		s.Close()
	}
	defer func() {
		if err != nil {
			closeSockets(sockets)
			for _, l := range open {
				l.Close()
			}
			open = nil
		}
	}()
	for _, l := range listeners {
		if l.Network != "systemd" {
			nl, err := listenPlain(ctx, l)
			if err != nil {
				return open, err
			}
			open = append(open, certs.wrap(l, nl))
			continue
		}
		for _, nl := range passed[l.Address] {
			open = append(open, certs.wrap(l, nl))
		}
	}
	return open, nil
}

// listenPlain opens l, without TLS.
func listenPlain(ctx context.Context, l config.Listener) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // browsers do not speak it, and its sockets inherit no options
	if l.Network != "unix" {
		return lc.Listen(ctx, l.Network, l.Address)
	}
	if err := removeStale(ctx, l.Address); err != nil {
		return nil, err
	}
	nl, err := lc.Listen(ctx, "unix", l.Address)
	if err != nil {
		return nil, err
	}
	if err := own(l.Address, l.Mode, l.Group); err != nil {
		nl.Close()
		return nil, err
	}
	return nl, nil
}

// removeStale removes the socket that a killed process has left, which nobody
// answers. Anything else at that path is left alone.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listening on %s: it exists and is no socket", path)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("listening on %s: another process answers there", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		// One that is too busy to answer, or not for us, is alive.
		return fmt.Errorf("listening on %s: another process may be there: %w", path, err)
	}
	return os.Remove(path)
}

// own gives a socket its group and mode.
func own(path string, mode fs.FileMode, group string) error {
	if group != "" {
		gid, err := lookupGroup(group)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
}

func lookupGroup(name string) (gid int, err error) {
	if gid, err := strconv.Atoi(name); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
