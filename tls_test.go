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
	l, err := listen(context.Background(), config.Listener{
		Network: "tcp", Address: "127.0.0.1:0", TLSCert: certFile, TLSKey: keyFile,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
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

// A new pair is used from the next handshake on; a bad one changes nothing.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, 1)
	c, err := loadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := c.wrap(plain)
	defer l.Close()
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
	if err := c.reload(); err != nil {
		t.Fatal(err)
	}
	wantSerial(2)
	if err := os.WriteFile(keyFile, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.reload(); err == nil || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("reload with a bad key: %v; want an error that names it", err)
	}
	wantSerial(2)
}
