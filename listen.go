package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"ws-fpm/config"
)

// listenAll opens every listener, or none.
func listenAll(ctx context.Context, listeners []config.Listener) ([]net.Listener, error) {
	var open []net.Listener
	for _, l := range listeners {
		nl, err := listen(ctx, l)
		if err != nil {
			for _, o := range open {
				o.Close()
			}
			return nil, err
		}
		open = append(open, nl)
	}
	return open, nil
}

// listen opens l, with TLS if it has a certificate.
func listen(ctx context.Context, l config.Listener) (net.Listener, error) {
	if l.TLSCert == "" {
		return listenPlain(ctx, l)
	}
	cert, err := loadCertificate(l.TLSCert, l.TLSKey)
	if err != nil {
		return nil, err
	}
	nl, err := listenPlain(ctx, l)
	if err != nil {
		return nil, err
	}
	return cert.wrap(nl), nil
}

func listenPlain(ctx context.Context, l config.Listener) (net.Listener, error) {
	var lc net.ListenConfig
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
