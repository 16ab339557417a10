package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ws-fpm/config"
)

// writeCertificate writes a certificate with that serial number, and its key.
func writeCertificate(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// handshake does a TLS handshake with l and returns its outcome.
func handshake(t *testing.T, l net.Listener, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if s, err := l.Accept(); err == nil {
			s.SetDeadline(time.Now().Add(5 * time.Second))
			io.ReadAll(s)
			s.Close()
		}
	}()
	defer func() { <-served }()
	c.InsecureSkipVerify = true
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	client := tls.Client(nc, c)
	err = client.Handshake()
	return client.ConnectionState(), err
}

func TestTLSListener(t *testing.T) {
	certFile, keyFile := writeCertificate(t, t.TempDir(), 1)
	l, _ := listenTLS(t, certFile, keyFile)
	for _, test := range []struct {
		name     string
		config   *tls.Config
		refused  string
		protocol string
	}{
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, "", ""},
		{"TLS 1.3, HTTP/1.1", &tls.Config{NextProtos: []string{"http/1.1"}}, "", "http/1.1"},
		{"HTTP/2 if there is nothing else", &tls.Config{NextProtos: []string{"h2"}}, "no application protocol", ""},
		{"HTTP/2 preferred", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "", "http/1.1"},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version", ""},
		{"TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "protocol version", ""},
		{"3DES", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}}, "handshake failure", ""},
		{"no host's name", &tls.Config{}, "", ""},
		{"another host's name", &tls.Config{ServerName: "other.example"}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			state, err := handshake(t, l, test.config)
			if err == nil != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Fatalf("handshake: %v; want an error about %q", err, test.refused)
			}
			if state.NegotiatedProtocol != test.protocol {
				t.Errorf("protocol %q, want %q", state.NegotiatedProtocol, test.protocol)
			}
		})
	}
}

// listenTLS listens with that certificate, as a section [listen web] has it.
func listenTLS(t *testing.T, certFile, keyFile string) (net.Listener, *certificate) {
	t.Helper()
	listeners := []config.Listener{{Name: "web", Network: "tcp", Address: "127.0.0.1:0", TLSCert: certFile, TLSKey: keyFile}}
	certs, err := loadCertificates(listeners, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	open, err := listenAll(context.Background(), listeners, nil, certs, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open[0].Close() })
	return open[0], certs["web"]
}

// A pair can be replaced, taken away and given again between two connections.
func TestCertificateIsReplaced(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, 1)
	l, c := listenTLS(t, certFile, keyFile)
	wantSerial := func(want int64) {
		t.Helper()
		state, err := handshake(t, l, &tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := state.PeerCertificates[0].SerialNumber.Int64(); got != want {
			t.Errorf("certificate %d, want %d", got, want)
		}
	}
	wantSerial(1)
	writeCertificate(t, dir, 2)
	wantSerial(1) // nobody has said so yet
	pair, err := loadPair(config.Listener{TLSCert: certFile, TLSKey: keyFile})
	if err != nil {
		t.Fatal(err)
	}
	c.pair.Store(pair)
	wantSerial(2)
	c.pair.Store(nil)
	if _, err := handshake(t, l, &tls.Config{}); err == nil {
		t.Error("a TLS handshake with a plain listener: no error")
	}
	c.pair.Store(pair)
	wantSerial(2)
}

// What cannot be used is said with its section and files; one that has expired
// can, and is warned of.
func TestLoadPair(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, 1)
	_, otherKey := writeCertificate(t, other, 2)
	bad := filepath.Join(dir, "bad.pem")
	if err := os.WriteFile(bad, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, cert, key, want string }{
		{"a pair", certFile, keyFile, ""},
		{"no certificate is no TLS", "", "", ""},
		{"a key of another certificate", certFile, otherKey, "private key does not match public key"},
		{"a key that is none", certFile, bad, "failed to find any PEM data in key input"},
		{"a certificate that is not there", filepath.Join(dir, "none.pem"), keyFile, "no such file"},
		{"a folder", dir, keyFile, "is a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pair, err := loadPair(config.Listener{Name: "web", TLSCert: test.cert, TLSKey: test.key})
			if test.want == "" {
				if err != nil || (pair == nil) != (test.cert == "") {
					t.Errorf("loadPair() = %v, %v", pair, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "[listen web] tls_cert: certificate "+test.cert+", key "+test.key) {
				t.Errorf("loadPair(): %v; want its section, its files and %q", err, test.want)
			}
		})
	}
	for _, test := range []struct {
		name      string
		from, end time.Duration
		want      string
	}{
		{"one that holds", -time.Hour, time.Hour, ""},
		{"one that has expired", -2 * time.Hour, -time.Hour, "certificate has expired"},
		{"one that does not hold yet", time.Hour, 2 * time.Hour, "certificate is not valid yet"},
	} {
		var text output
		leaf := &x509.Certificate{NotBefore: time.Now().Add(test.from), NotAfter: time.Now().Add(test.end)}
		warnOfExpiry(slog.New(slog.NewTextHandler(&text, nil)), config.Listener{Name: "web"}, &tls.Certificate{Leaf: leaf})
		if got := text.String(); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: logged %q; want %q", test.name, got, test.want)
		}
	}
}
