package integration_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// TestFastCGIWithPHPCGI: php-cgi -b, the other server PHP has.
func TestFastCGIWithPHPCGI(t *testing.T) {
	binary := requireProgram(t, "php-cgi", "php-cgi", "php-cgi[0-9]*")
	f := &phpFPM{t: t, network: "unix", dir: publicDir(t)}
	f.address = f.file("s")
	if err := os.Mkdir(f.file("var"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"record.php", "record.inc.php", "echo.php"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		f.write(name, string(b))
	}
	cmd := exec.Command(binary, "-b", f.address)
	cmd.Env = append(os.Environ(), "PHP_FCGI_CHILDREN=2")
	startProcess(t, cmd)
	eventually(t, 5*time.Second, "php-cgi listens", func() bool {
		conn, err := net.Dial(f.network, f.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	cgi := func(req *fastcgi.Request) *fastcgi.Request { // cgi.force_redirect
		req.Params = append(req.Params, params(t, "REDIRECT_STATUS", "200"))
		return req
	}
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: 10 * time.Second, MaxConns: 2, Multiplex: true})
	for i := range 20 {
		id := fmt.Sprint("m", i)
		want(t, c, cgi(f.post("record.php", id)), id)
		if n := f.executions()[id]; n != 1 {
			t.Errorf("%s was executed %d times", id, n)
		}
		eventually(t, time.Second, "the connection is idle", func() bool { return c.Stats().Idle > 0 })
	}
	for _, n := range []int{0, 8192, 8193, 200000} {
		body := strings.Repeat("b", n)
		want(t, c, cgi(f.post("echo.php", body)), body)
	}
	if s := c.Stats(); s.Dials > 4 || s.Reused < 20 || s.ValidationsFailed != 0 || s.ProtocolErrors != 0 {
		t.Errorf("stats = %+v; want kept connections that were validated", s)
	}
}

// startLibfcgi builds and starts the server of testdata/libfcgi.c, with so
// many processes on one socket.
func startLibfcgi(t *testing.T, processes int) *phpFPM {
	t.Helper()
	cc := requireProgram(t, "gcc", "cc", "gcc")
	f := &phpFPM{t: t, network: "unix", dir: publicDir(t)}
	f.address = f.file("s")
	if err := os.Mkdir(f.file("var"), 0o777); err != nil {
		t.Fatal(err)
	}
	probe := exec.Command(cc, "-E", "-x", "c", "-")
	probe.Stdin = strings.NewReader("#include <fcgiapp.h>\n")
	if err := probe.Run(); err != nil {
		missing(t, "libfcgi's headers are not installed: apt-get install libfcgi-dev")
	}
	if out, err := exec.Command(cc, "-O1", "-o", f.file("server"), "testdata/libfcgi.c", "-lfcgi").CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, out)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.address})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for range processes {
		cmd := exec.Command(f.file("server"))
		cmd.Stdin = socket // FCGI_LISTENSOCK_FILENO
		startProcess(t, cmd)
	}
	return f
}

func (f *phpFPM) libfcgiPost(body string) *fastcgi.Request {
	return &fastcgi.Request{Params: []fastcgi.Params{params(f.t, "IDS_FILE", f.file("var/ids"))}, Body: []byte(body)}
}

// TestFastCGIWithLibfcgi: a server that answers FCGI_GET_VALUES only when the
// next record comes loses its connections after it, and no message.
func TestFastCGIWithLibfcgi(t *testing.T) {
	f := startLibfcgi(t, 2)
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: 200 * time.Millisecond, MaxConns: 2, Multiplex: true})
	for i := range 20 {
		id := fmt.Sprint("0 m", i)
		want(t, c, f.libfcgiPost(id), id)
		if n := f.executions()[id]; n != 1 {
			t.Errorf("%s was executed %d times", id, n)
		}
	}
	body := strings.Repeat("0", 200000)
	want(t, c, f.libfcgiPost(body), body)
	if s := c.Stats(); s.ProtocolErrors != 0 || s.Unknown != 0 {
		t.Errorf("stats = %+v", s)
	}
}

// lyingProxy stands before a server that does not multiplex, and answers
// FCGI_GET_VALUES in its stead: it does. The last record of a request waits for
// the first one of the next, as the records of several requests may mix, for
// libfcgi looks at nothing that comes behind it.
func lyingProxy(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(publicDir(t), "p"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				server, err := net.Dial(network, address)
				if err != nil {
					return
				}
				defer server.Close()
				var mu sync.Mutex // of what goes to the client, by whole records
				back := make(chan struct{})
				go func() {
					defer close(back)
					defer client.Close()
					copyRecords(server, func(b []byte) error {
						mu.Lock()
						defer mu.Unlock()
						_, err := client.Write(b)
						return err
					})
				}()
				// held, the end of a request, goes to the server behind the first
				// record of another, or before what is of its own id, or soon.
				var toServer sync.Mutex
				var held []byte
				send := func(b []byte) error {
					out := append(held, b...)
					if held != nil && b != nil && b[3] != held[3] {
						out = append(b, held...)
					}
					held = nil
					_, err := server.Write(out)
					return err
				}
				copyRecords(client, func(b []byte) error {
					toServer.Lock()
					defer toServer.Unlock()
					if b[1] == 5 && b[4] == 0 && b[5] == 0 { // the last FCGI_STDIN
						send(nil)
						held = b
						time.AfterFunc(30*time.Millisecond, func() {
							toServer.Lock()
							defer toServer.Unlock()
							if len(held) > 0 && &held[0] == &b[0] {
								send(nil)
							}
						})
						return nil
					}
					if b[1] != 9 { // FCGI_GET_VALUES
						return send(b)
					}
					mu.Lock()
					defer mu.Unlock()
					_, err := client.Write(append([]byte{1, 10, 0, 0, 0, 18, 0, 0, 15, 1}, "FCGI_MPXS_CONNS1"...))
					return err
				})
				server.Close()
				<-back
			})
		}
	})
	return l.Addr().String()
}

// copyRecords gives each FastCGI record from r to f.
func copyRecords(r io.Reader, f func([]byte) error) {
	for {
		b := make([]byte, 8)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		b = append(b, make([]byte, int(b[4])<<8+int(b[5])+int(b[6]))...)
		if _, err := io.ReadFull(r, b[8:]); err != nil {
			return
		}
		if f(b) != nil {
			return
		}
	}
}

// TestFastCGICannotMultiplex: a second request on libfcgi's connection is
// refused with FCGI_CANT_MPX_CONN, and runs once, on another connection.
func TestFastCGICannotMultiplex(t *testing.T) {
	f := startLibfcgi(t, 4)
	f.address = lyingProxy(t, f.network, f.address)
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: 10 * time.Second, MaxConns: 4, Multiplex: true})
	want(t, c, f.libfcgiPost("0 first"), "0 first")
	eventually(t, time.Second, "the connection is idle", func() bool { return c.Stats().Idle == 1 })
	for round := range 5 {
		before := c.Stats().Retries
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				id := fmt.Sprintf("100 m%d.%d", round, i)
				if r, err := do(c, f.libfcgiPost(id)); err != nil || r.body != id {
					t.Errorf("got %q, %v; want %q", r.body, err, id)
				}
				if n := f.executions()[id]; n != 1 {
					t.Errorf("%s was executed %d times", id, n)
				}
			})
		}
		wg.Wait()
		retries := c.Stats().Retries - before
		t.Logf("round %d: %d refused and sent again", round, retries)
		if round == 0 && retries != 1 || round > 0 && retries != 0 {
			t.Errorf("round %d: %d refused and sent again; want that of the first round, from which it is learned", round, retries)
		}
	}
}
