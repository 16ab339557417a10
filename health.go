package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"ws-fpm/config"
)

// healthTimeout bounds the question whether a server answers.
const healthTimeout = 3 * time.Second

// health is the command of that name. Any answer to a plain request is life:
// a route's path without a handshake gives 426.
func health(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	file, err := parseConfigFlag(flag.NewFlagSet("health", flag.ContinueOnError), args, stderr, 0)
	if err != nil {
		return err
	}
	c, err := config.Load(file)
	if err != nil {
		return usageError{err}
	}
	l := c.Listeners[0]
	if l.Network == "tcp" {
		l.Address = loopback(l.Address)
	}
	scheme := "http"
	if l.TLSCert != "" {
		scheme = "https"
	}
	status, err := probe(ctx, l.Network, l.Address, scheme, c.Routes[0].Prefix)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", l.Address, err)
	}
	if status != http.StatusUpgradeRequired {
		return fmt.Errorf("%s answers %d, not as ws-fpm does", l.Address, status)
	}
	fmt.Fprintln(stdout, "ok")
	return nil
}

// loopback is the address by which a listener on every address is reached.
func loopback(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

func probe(ctx context.Context, network, address, scheme, path string) (status int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, healthTimeout, errors.New("timed out"))
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		// The certificate is for another name than that of this machine, and
		// no secret is sent: the question is whether somebody answers.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return response.StatusCode, nil
}
