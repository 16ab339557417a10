package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"ws-fpm/config"
	"ws-fpm/metrics"
)

// A certificate is what a listener shows its clients. The pair can be replaced,
// taken away or given while connections are accepted.
type certificate struct {
	pair   atomic.Pointer[tls.Certificate] // replaced as a whole, never changed; nil: no TLS
	config *tls.Config
	turns  *turns // of the handshakes
}

func newCertificate(pair *tls.Certificate, turns *turns) *certificate {
	c := &certificate{turns: turns}
	c.pair.Store(pair)
	c.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// All it offers: a WebSocket begins with a request of that.
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if pair := c.pair.Load(); pair != nil {
				return pair, nil
			}
			return nil, errNoCertificate
		},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return configForClient(c.config, hello)
		},
	}
	return c
}

// errNoCertificate ends a handshake that began before TLS was turned off.
var errNoCertificate = errors.New("tls: this listener has no certificate any more")

// loadPair reads the certificate of a listener with its chain, and its key, from
// files in PEM; nil if it is to have none.
func loadPair(l config.Listener) (*tls.Certificate, error) {
	if l.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(l.TLSCert, l.TLSKey)
	if err != nil {
		return nil, &settingError{"[listen " + l.Name + "]", "tls_cert", fmt.Errorf("certificate %s, key %s: %w", l.TLSCert, l.TLSKey, err)}
	}
	return &pair, nil
}

// warnOfExpiry says so of a pair that clients will not take. It is used all the
// same: the one before it is likely to be no better.
func warnOfExpiry(log *slog.Logger, l config.Listener, pair *tls.Certificate) {
	if pair == nil {
		return
	}
	switch now := time.Now(); {
	case now.After(pair.Leaf.NotAfter):
		log.Warn("certificate has expired", "listener", l.Name, "file", l.TLSCert, "at", pair.Leaf.NotAfter)
	case now.Before(pair.Leaf.NotBefore):
		log.Warn("certificate is not valid yet", "listener", l.Name, "file", l.TLSCert, "from", pair.Leaf.NotBefore)
	}
}

// Certificates are those of the listeners that have a section, by its name.
type certificates map[string]*certificate

// loadCertificates reads those that listeners begin with.
func loadCertificates(listeners []config.Listener, log *slog.Logger) (certificates, error) {
	all, turns := certificates{}, newTurns(defaultTurns())
	for _, l := range listeners {
		if l.Name == "" {
			continue // an entry of the global list has no keys
		}
		pair, err := loadPair(l)
		if err != nil {
			return nil, err
		}
		warnOfExpiry(log, l, pair)
		all[l.Name] = newCertificate(pair, turns)
	}
	return all, nil
}

// wrap makes nl, of the listener l, one that can have TLS.
func (c certificates) wrap(l config.Listener, nl net.Listener) net.Listener {
	if c[l.Name] == nil {
		return nl
	}
	return &securedListener{nl, c[l.Name]}
}

// observe registers when they expire, and which handshakes had no turn.
func (c certificates) observe(r *metrics.Registry) {
	r.CollectFunc("ws_fpm_tls_certificate_expiry_seconds", "When the certificate of a listener expires, in seconds since 1970.",
		metrics.KindGauge, func(emit func(value float64, labels ...metrics.Label)) {
			for name, one := range c {
				if pair := one.pair.Load(); pair != nil {
					emit(float64(pair.Leaf.NotAfter.Unix()), metrics.Label{Name: "listener", Value: name})
				}
			}
		})
	r.CounterFunc("ws_fpm_tls_handshakes_shed_total", "TLS handshakes given up, for so many others came before them.", func() (shed float64) {
		for _, one := range c {
			shed = float64(one.turns.refused.Load()) // all have the same
		}
		return shed
	})
}

// A securedListener gives its connections TLS as long as there is a certificate.
type securedListener struct {
	net.Listener
	certificate *certificate
}

// Accept waits for the next connection. Its TLS handshake is still to be done.
func (l *securedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || l.certificate.pair.Load() == nil {
		return c, err
	}
	return tls.Server(&orderlySocket{Conn: c, turns: l.certificate.turns}, l.certificate.config), nil
}
