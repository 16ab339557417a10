package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// So many have a turn at once; the next waits, and not for ever.
func TestTurns(t *testing.T) {
	for _, test := range []struct {
		name    string
		others  int           // that have a turn
		leaves  time.Duration // when one of them has done; zero: never
		waits   time.Duration
		refused uint64
	}{
		{"one less than there may be", 2, 0, 0, 0},
		{"as many as there may be, and one has done soon", 3, time.Second, time.Second, 0},
		{"and one has done at the last moment", 3, turnPatience - 1, turnPatience - 1, 0},
		{"and none has done", 3, 0, turnPatience, 1},
		{"and one has done too late", 3, turnPatience + 1, turnPatience, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				turns := newTurns(3)
				for range test.others {
					turns.take()
				}
				if test.leaves > 0 {
					time.AfterFunc(test.leaves, turns.free)
				}
				begun := time.Now()
				err := turns.take()
				if waited := time.Since(begun); waited != test.waits || (err != nil) != (test.refused > 0) || turns.refused.Load() != test.refused {
					t.Errorf("waited %v, %v, %d refused; want %v, %d", waited, err, turns.refused.Load(), test.waits, test.refused)
				}
			})
		})
	}
}

// A turn rests for as long as it took while others wait, and nobody rests when
// nobody waits.
func TestTurnsRest(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name  string
		waits int // handshakes
		took  time.Duration
		want  time.Duration // when each of them has its turn, one after the other
	}{
		{"one waits", 1, 3 * ms, 3 * ms},
		{"two wait, and the last is not waited for", 2, 3 * ms, 3 * ms},
		{"a turn of no time", 1, 0, 0},
		{"as long as a rest may be", 1, maxRest, maxRest},
		{"longer than that", 1, maxRest + 1, maxRest},
		{"an hour, for the machine was asleep", 1, time.Hour, maxRest},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				turns := newTurns(1)
				turns.take()
				begun, at := time.Now(), make(chan time.Duration, test.waits)
				for range test.waits {
					go func() {
						if err := turns.take(); err != nil {
							t.Error(err)
						}
						at <- time.Since(begun)
					}()
				}
				synctest.Wait()
				for i := range test.waits {
					turns.giveBack(test.took)
					if got, want := <-at, time.Duration(i+1)*test.want; got != want {
						t.Errorf("turn %d came after %v, want %v", i+2, got, want)
					}
				}
				turns.giveBack(test.took)
				if n := len(turns.taken); n != 0 || time.Since(begun) != time.Duration(test.waits)*test.want {
					t.Errorf("%d turns are taken after %v, though nobody waits", n, time.Since(begun))
				}
			})
		})
	}
}

// orderly makes ours the socket of a TLS server; n is how many turns there are.
func orderly(t *testing.T, ours net.Conn, n int) (*orderlySocket, *tls.Config) {
	t.Helper()
	ours.SetDeadline(time.Now().Add(2 * turnPatience)) // a turn that is never given back ends the test
	turns := newTurns(n)
	certFile, keyFile := writeCertificate(t, t.TempDir(), 1)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &orderlySocket{Conn: ours, turns: turns}, newCertificate(&pair, turns).config
}

// overTCP gives the two ends of a connection.
func overTCP(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	return ours, theirs
}

// watchedConn says how many turns are taken whenever its side is waited for.
type watchedConn struct {
	net.Conn
	turns *turns
	most  *atomic.Int64
}

func (c watchedConn) Read(b []byte) (int, error) {
	c.most.Store(max(c.most.Load(), int64(len(c.turns.taken))))
	return c.Conn.Read(b)
}

func (c watchedConn) Write(b []byte) (int, error) {
	c.most.Store(max(c.most.Load(), int64(len(c.turns.taken))))
	return c.Conn.Write(b)
}

// However a handshake goes, it takes turns, has none while it waits for the
// client, and leaves none taken.
func TestTurnsAreGivenBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		config *tls.Config
		curves []tls.CurveID // of the server; nil: all
		cut    int           // the client is gone after so many writes; zero: it is not
		inTurn int64         // times that it has a turn: with a ClientHello, for a certificate, with a key (TLS 1.2)
		fails  bool
	}{
		{"TLS 1.3", &tls.Config{}, nil, 0, 2, false},
		{"TLS 1.3 with a second ClientHello", &tls.Config{}, []tls.CurveID{tls.CurveP384}, 0, 2, false},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, nil, 0, 3, false},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, nil, 0, 1, true},
		{"no protocol in common", &tls.Config{NextProtos: []string{"h2"}}, nil, 0, 1, true},
		{"a client that goes after its ClientHello, TLS 1.3", &tls.Config{}, nil, 1, 2, true},
		{"a client that goes after its first ClientHello of two", &tls.Config{}, []tls.CurveID{tls.CurveP384}, 1, 1, true},
		{"a client that goes after its ClientHello, TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, nil, 1, 2, true},
		{"a client that distrusts the certificate", &tls.Config{ServerName: "x"}, nil, 0, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, client := overTCP(t)
			socket, config := orderly(t, ours, 1)
			var most, taken atomic.Int64
			socket.Conn = watchedConn{socket.Conn, socket.turns, &most}
			config.CurvePreferences = test.curves
			note := func() { taken.Add(int64(len(socket.turns.taken))) }
			certificate, first := config.GetCertificate, config.GetConfigForClient
			config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				note()
				return certificate(hello)
			}
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				own, err := first(hello)
				note()
				verify := own.VerifyConnection
				own.VerifyConnection = func(state tls.ConnectionState) error {
					note()
					return verify(state)
				}
				return own, err
			}
			server := tls.Server(socket, config)
			served := make(chan error, 1)
			go func() {
				err := server.Handshake()
				var word [5]byte
				if err == nil {
					_, err = io.ReadFull(server, word[:])
					note() // it has none
				}
				if err == nil {
					_, err = server.Write(word[:])
				}
				if err != nil {
					server.Close()
				}
				served <- err
			}()
			test.config.InsecureSkipVerify = test.config.ServerName == ""
			if test.cut > 0 {
				client = &cutConn{Conn: client, left: test.cut}
			}
			secure := tls.Client(client, test.config)
			if _, err := secure.Write([]byte("hello")); err == nil {
				io.ReadFull(secure, make([]byte, 5))
			}
			client.Close()
			if err := <-served; (err != nil) != test.fails {
				t.Errorf("the handshake: %v", err)
			}
			if taken.Load() != test.inTurn || most.Load() != 0 {
				t.Errorf("in turn %d times, %d turns taken while the client was waited for; want %d, 0", taken.Load(), most.Load(), test.inTurn)
			}
			if n := len(socket.turns.taken); n != 0 {
				t.Errorf("%d turns are still taken", n)
			}
		})
	}
}

// A cutConn closes itself instead of the read after so many writes.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.left--
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		c.Close()
	}
	return c.Conn.Read(b)
}

// A handshake that gets no turn ends with that error, one that was closed while
// it waited leaves none taken.
func TestNoTurn(t *testing.T) {
	for _, test := range []struct {
		name   string
		closed bool
		want   error
	}{
		{"nobody gives one back", false, errNoTurn},
		{"it is closed, and gets one later", true, net.ErrClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, client := net.Pipe()
				socket, config := orderly(t, ours, 1)
				socket.turns.take()
				go func() {
					tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake()
					client.Close()
				}()
				if test.closed {
					time.AfterFunc(time.Second, func() { socket.Close(); socket.turns.free() })
				}
				server := tls.Server(socket, config)
				err := server.Handshake()
				server.Close()
				if !errors.Is(err, test.want) {
					t.Errorf("the handshake: %v; want %v", err, test.want)
				}
				if n := len(socket.turns.taken); (n == 0) != test.closed {
					t.Errorf("%d turns are taken", n)
				}
				synctest.Wait()
			})
		})
	}
}
