package websocket

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// selfSigned makes a certificate that nobody trusts.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsPair gives both ends of a TLS connection on loopback.
func tlsPair(t *testing.T) (client, server *tls.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	plain, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close(); accepted.Close() })
	client = tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
	server = tls.Server(accepted, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	client.SetDeadline(time.Now().Add(patience))
	shaken := make(chan error, 1)
	go func() { shaken <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return client, server
}

// tlsEcho is a handler that echoes.
type tlsEcho struct {
	c     *Conn
	ended chan Closing
}

func (e *tlsEcho) Message(op Opcode, payload []byte) bool {
	e.c.WriteMessage(op, payload)
	return true
}
func (e *tlsEcho) Fail(err *ProtocolError) { e.c.Close(err.Code, "") }
func (e *tlsEcho) Shed()                   {}
func (e *tlsEcho) Ended(how Closing)       { e.ended <- how }

func startTLS(t *testing.T) (client *tls.Conn, h *tlsEcho) {
	t.Helper()
	s, err := NewServer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	client, server := tlsPair(t)
	h = &tlsEcho{ended: make(chan Closing, 1)}
	h.c = s.NewConn(server, h, Limits{MaxMessage: 4 << 20, MessageRate: 1_000_000})
	h.c.Start(nil)
	return client, h
}

func (e *tlsEcho) wantEnded(t *testing.T, want Closing) {
	t.Helper()
	select {
	case got := <-e.ended:
		if got != want {
			t.Errorf("ended with %v, want %v", got, want)
		}
	case <-time.After(patience):
		t.Fatal("the connection did not end")
	}
}

// Over TLS messages and the closing handshake are those of a plain socket.
func TestTLSEchoesAndCloses(t *testing.T) {
	client, h := startTLS(t)
	for _, size := range []int{0, 125, 65536, 1 << 20} {
		payload := bytes.Repeat([]byte("x"), size)
		frame := appendHeader(nil, header{fin: true, op: Binary, masked: true, length: uint64(size)})
		go client.Write(append(frame, payload...)) // the key is zero
		want := appendMessage(nil, Binary, payload, 64<<10)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("echo of %d bytes: %v", size, err)
		}
	}
	client.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 3, 0xe8})
	rest, err := io.ReadAll(client)
	if want := []byte{0x88, 2, 3, 0xe8}; !bytes.Equal(rest, want) || err != nil {
		t.Errorf("after a close %x, %v; want %x and the end of the stream", rest, err, want)
	}
	client.Close()
	h.wantEnded(t, Closing{StatusNormal, "", ByClient})
}

// A client that reads nothing cannot make Kill wait, as TLS's own Close would
// for its last words.
func TestTLSKillDoesNotWait(t *testing.T) {
	_, h := startTLS(t)
	for h.c.WriteMessage(Binary, make([]byte, 1<<20)) == nil {
	}
	start := time.Now()
	h.c.Kill()
	h.wantEnded(t, Closing{StatusTryAgain, "reading too slowly", ByServer})
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Kill took %v", took)
	}
}
