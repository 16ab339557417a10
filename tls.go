package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
)

// A certificate is the TLS certificate of a listener, read from its files. The
// pair can be replaced while connections are accepted.
type certificate struct {
	certFile, keyFile string
	pair              atomic.Pointer[tls.Certificate] // replaced as a whole, never changed
}

// loadCertificate reads a certificate with its chain, and its key, from files
// in PEM.
func loadCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

// reload reads the files again. On error the old pair stays in use.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s, key %s: %w", c.certFile, c.keyFile, err)
	}
	c.pair.Store(&pair)
	return nil
}

// wrap makes l a listener for TLS 1.2 and later. HTTP/1.1 is all it offers: a
// WebSocket begins with a request of that.
func (c *certificate) wrap(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.pair.Load(), nil
		},
	})
}
