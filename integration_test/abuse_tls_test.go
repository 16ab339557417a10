package integration_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tlsFiles writes a certificate and its key.
func tlsFiles(t testing.TB) (cert, key string) {
	t.Helper()
	dir := publicDir(t)
	writeCertificate(t, dir)
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

// clientHello is the first thing that a TLS client says.
func clientHello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go tls.Client(ours, &tls.Config{ServerName: "localhost"}).Handshake()
	theirs.SetReadDeadline(time.Now().Add(clientTimeout))
	var buf [4096]byte
	n, err := theirs.Read(buf[:])
	if err != nil || n < 200 {
		t.Fatalf("a ClientHello of %d bytes, %v", n, err)
	}
	return buf[:n]
}

// connectTLS opens a WebSocket over TLS.
func connectTLS(address string, config *tls.Config) (*client, error) {
	conn, err := dialRaw(address)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, config)
	c := newClient(secure)
	if err := c.open(handshake{address: address}); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// A keyUpdater writes TLS 1.3 records of its own below a client of crypto/tls,
// which offers no key updates: RFC 8446, sections 4.6.3, 5.2 and 7.2.
type keyUpdater struct {
	conn   net.Conn
	secret []byte // client_application_traffic_secret_N
	aead   cipher.AEAD
	iv     []byte
	number uint64 // of the next record under that secret
}

// newKeyUpdater takes the writing over from a client that has written so many
// records of application data.
func newKeyUpdater(conn net.Conn, keyLog string, records uint64) (*keyUpdater, error) {
	for line := range strings.Lines(keyLog) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "CLIENT_TRAFFIC_SECRET_0" {
			continue
		}
		secret, err := hex.DecodeString(fields[2])
		if err != nil {
			return nil, err
		}
		u := &keyUpdater{conn: conn, secret: secret}
		err = u.rekey()
		u.number = records
		return u, err
	}
	return nil, fmt.Errorf("no secret in %q", keyLog)
}

// expand is HKDF-Expand-Label without a context.
func expand(secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	return hkdf.Expand(crypto.SHA256.New, secret, string(info), n)
}

func (u *keyUpdater) rekey() error {
	key, err := expand(u.secret, "key", 16)
	if err != nil {
		return err
	}
	if u.iv, err = expand(u.secret, "iv", 12); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	u.number = 0
	u.aead, err = cipher.NewGCM(block)
	return err
}

// update sends a KeyUpdate that asks for none in return.
func (u *keyUpdater) update() error {
	if err := u.record([]byte{24, 0, 0, 1, 0}, 22); err != nil {
		return err
	}
	next, err := expand(u.secret, "traffic upd", sha256.Size)
	if err != nil {
		return err
	}
	u.secret = next
	return u.rekey()
}

// record sends one record of a content type.
func (u *keyUpdater) record(content []byte, kind byte) error {
	inner := append(append([]byte(nil), content...), kind)
	head := []byte{23, 3, 3, 0, byte(len(inner) + u.aead.Overhead())}
	nonce := append([]byte(nil), u.iv...)
	for i, b := range binary.BigEndian.AppendUint64(nil, u.number) {
		nonce[4+i] ^= b
	}
	u.number++
	u.conn.SetWriteDeadline(time.Now().Add(clientTimeout))
	_, err := u.conn.Write(u.aead.Seal(head, nonce, inner, head))
	return err
}

// TestAbuseKeyUpdates: a TLS client that changes its keys without end is
// closed soon, or costs little.
func TestAbuseKeyUpdates(t *testing.T) {
	peers, patience := scaled(50, 1000), time.Duration(scaled(5, 20))*time.Second
	cert, key := tlsFiles(t)
	s := besiege(t, "21 key updates", besiegeOptions{more: fmt.Sprintf("[listen tls]\naddress = 127.0.0.1:0\ntls_cert = %s\ntls_key = %s\n", cert, key)})
	var updates, closed, mended atomic.Int64
	var work sync.WaitGroup
	gate := make(chan struct{}, 8) // so many at a time
	cpu, begun := s.g.cpu(), time.Now()
	for range peers {
		work.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			var keyLog strings.Builder
			c, err := connectTLS(s.g.addresses[1], &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &keyLog})
			if err != nil {
				t.Errorf("connecting: %v", err)
				return
			}
			defer c.conn.Close()
			under := c.conn.(*tls.Conn).NetConn()
			u, err := newKeyUpdater(under, keyLog.String(), 1) // the handshake was one
			if err != nil {
				t.Error(err)
				return
			}
			// One is nothing bad: what comes behind it is understood.
			if err := u.update(); err != nil {
				t.Errorf("the first update: %v", err)
				return
			}
			if err := u.record(frame{fin: true, op: opText, key: testKey, payload: []byte("new keys")}.appendTo(nil), 23); err != nil {
				t.Errorf("a record under new keys: %v", err)
				return
			}
			if _, got, err := c.message(); err != nil || string(got) != "new keys" {
				t.Errorf("the answer under new keys is %q, %v", got, err)
				return
			}
			mended.Add(1)
			for end := time.Now().Add(patience); time.Now().Before(end); updates.Add(1) {
				if u.update() != nil {
					closed.Add(1)
					return
				}
			}
		})
	}
	work.Wait()
	spent, lasted := s.g.cpu()-cpu, time.Since(begun)
	figure(t, s.name, "%d peers, %d of them understood after one update, %d closed; %d updates; %.0f %% of a core for %.1f s, handshakes and canaries included",
		peers, mended.Load(), closed.Load(), updates.Load(), 100*spent.Seconds()/lasted.Seconds(), lasted.Seconds())
	if closed.Load() != int64(peers) && spent > lasted/4 {
		t.Errorf("%d of %d peers closed, and %v of processor time in %v", closed.Load(), peers, spent, lasted)
	}
	s.counted(`ws_fpm_closes_total{code="1006"}`, float64(closed.Load()))
	s.over()
}

// helloRate is how many ClientHellos a second the program answers, from clients
// that each go when they have the answer and leave the rest of the work undone.
func helloRate(t testing.TB, address string, hello []byte, lasts time.Duration) float64 {
	t.Helper()
	var answered atomic.Int64
	var work sync.WaitGroup
	begun := time.Now()
	for n := range 8 {
		work.Go(func() {
			for time.Since(begun) < lasts {
				conn, err := dialFrom(address, n)
				if err != nil {
					continue
				}
				conn.SetDeadline(time.Now().Add(clientTimeout))
				if _, err := conn.Write(hello); err == nil {
					if _, err := conn.Read(make([]byte, 64)); err == nil {
						answered.Add(1)
					}
				}
				conn.Close()
			}
		})
	}
	work.Wait()
	return float64(answered.Load()) / time.Since(begun).Seconds()
}

// TestAbuseTLSFlood: clients that begin twice as many TLS handshakes as the
// program can do, and leave the work to it: who is connected already is answered,
// and the work does not pile up.
func TestAbuseTLSFlood(t *testing.T) {
	lasts := time.Duration(scaled(2, 20)) * time.Second
	cert, key := tlsFiles(t)
	s := besiege(t, "33 TLS flood", besiegeOptions{
		global: fmt.Sprintf("max_handshakes = %d", scaled(100, 1024)),
		more:   fmt.Sprintf("[listen tls]\naddress = 127.0.0.1:0\ntls_cert = %s\ntls_key = %s\n", cert, key),
		open: func(g *gateway) (*client, error) {
			return connectTLS(g.addresses[1], &tls.Config{InsecureSkipVerify: true})
		},
	})
	s.canaries.noNewcomers.Store(true) // they are shed with the flood: the limit is of all handshakes
	hello := clientHello(t)
	s.enter("before the flood") // which is nobody's measure
	capacity := helloRate(t, s.g.addresses[1], hello, lasts/4)
	pause(lasts / 20)
	shed := s.metrics()[`ws_fpm_handshakes_total{result="max_handshakes"}`]
	s.enter("during")
	var sent atomic.Int64
	var work sync.WaitGroup
	cpu, ours, begun := s.g.cpu(), ownCPU(t), time.Now()
	const senders = 4
	for n := range senders {
		work.Go(func() {
			var open []net.Conn
			defer func() { closeAll(open) }()
			for mine := 0; time.Since(begun) < lasts; {
				if float64(mine*senders) > 2*capacity*time.Since(begun).Seconds() {
					pause(time.Millisecond)
					continue
				}
				mine++
				conn, err := dialFrom(s.g.addresses[1], n)
				if err != nil {
					continue
				}
				conn.Write(hello)
				sent.Add(1)
				if open = append(open, conn); len(open) > 1000 {
					open[0].Close()
					open = open[1:]
				}
			}
		})
	}
	work.Wait()
	m, lasted := s.metrics(), time.Since(begun)
	figure(t, s.name, "%.0f ClientHellos a second can be answered; then %d in %.1f s, %.0f a second, %v closed unread for max_handshakes; %.0f %% of a core, attackers and canaries %.0f %%",
		capacity, sent.Load(), lasted.Seconds(), float64(sent.Load())/lasted.Seconds(), m[`ws_fpm_handshakes_total{result="max_handshakes"}`]-shed,
		100*(s.g.cpu()-cpu).Seconds()/lasted.Seconds(), 100*(ownCPU(t)-ours).Seconds()/lasted.Seconds())
	s.counted(`ws_fpm_handshakes_total{result="max_handshakes"}`, 1)
	eventually(t, 5*time.Second, "a newcomer gets in", func() bool {
		c, err := connectTLS(s.g.addresses[1], &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			c.conn.Close()
		}
		return err == nil
	})
	s.canaries.noNewcomers.Store(false)
	s.over()
}
