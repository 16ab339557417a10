package integration_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// oldFPM is a php-fpm that can be made to take the unread rest of a body for
// the next request of a kept connection (CVE-2026-129289; mended in 8.2.36):
// the package of Debian 12, unpacked by ./dev test into
// $WS_FPM_CACHE or the user's cache directory.
const oldFPM = "php8.2-fpm_8.2.32-1~deb12u1"

// startOldFPM starts that php-fpm, or skips t.
func startOldFPM(t *testing.T, pool ...string) *phpFPM {
	t.Helper()
	cache, _ := os.UserCacheDir()
	cache = cmp.Or(os.Getenv("WS_FPM_CACHE"), filepath.Join(cache, "ws-fpm-tests"))
	binary := filepath.Join(cache, oldFPM, "usr/sbin/php-fpm8.2")
	if _, err := os.Stat(binary); err != nil {
		missing(t, "%s is not unpacked: ./dev test does it on Debian 12, or apt-get download %s and dpkg-deb -x it there",
			binary, strings.Replace(oldFPM, "_", "=", 1))
	}
	// Its own settings: no module of the installed PHP is loaded into it.
	f := startFPM(t, fpmOptions{pool: pool, env: []string{"PHP_INI_SCAN_DIR=" + os.DevNull}})
	f.stop(os.Interrupt)
	f.binary = binary
	f.start()
	return f
}

// fcgiRecord encodes a FastCGI record of one request's stream.
func fcgiRecord(kind byte, content []byte) []byte {
	b := []byte{1, kind, 0, 1, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[4:], uint16(len(content)))
	return append(b, content...)
}

// rawRequest encodes a request that keeps its connection, with any method: what
// our client never sends, and what an attacker forges.
func rawRequest(method, script, query string, body []byte) []byte {
	var pairs []byte
	for _, s := range [][2]string{
		{"REQUEST_METHOD", method}, {"SCRIPT_FILENAME", script}, {"SCRIPT_NAME", "/x.php"},
		{"QUERY_STRING", query}, {"CONTENT_LENGTH", itoa(len(body))}, {"CONTENT_TYPE", "application/octet-stream"},
	} {
		pairs = append(pairs, byte(len(s[0])), byte(len(s[1])))
		pairs = append(pairs, s[0]+s[1]...)
	}
	b := fcgiRecord(1, []byte{0, 1, 1, 0, 0, 0, 0, 0})
	b = append(b, fcgiRecord(4, pairs)...)
	b = append(b, fcgiRecord(4, nil)...)
	for len(body) > 0 {
		n := min(len(body), 65528)
		b = append(b, fcgiRecord(5, body[:n])...)
		body = body[n:]
	}
	return append(b, fcgiRecord(5, nil)...)
}

// forgedBody has size bytes: filler up to offset, and from there one forged
// request after the other.
func (f *phpFPM) forgedBody(size, offset int) []byte {
	forged := rawRequest("GET", f.file("forged.php"), "", nil)
	b := bytes.Repeat([]byte{'x'}, min(offset, size))
	for len(b) < size {
		b = append(b, forged...)
	}
	return b[:size]
}

// smugglingPools are the settings under which PHP does not read a body before
// the script starts, and the usual ones.
var smugglingPools = []struct {
	name string
	pool []string
	// With this method the rest of a body of which 5 bytes were read is
	// smuggled, from its offset 8192 on.
	method string
}{
	{"PHP's own settings", nil, "PUT"},
	{"PHP's own settings, a GET with a body", nil, "GET"},
	{"enable_post_data_reading off", []string{"php_admin_flag[enable_post_data_reading] = off"}, "POST"},
	{"a body over post_max_size", []string{"php_admin_value[post_max_size] = 1k"}, "POST"},
}

// TestFastCGISmugglingIsDetected: a deliberately wrong client, which sends
// bodies with any method on kept connections, runs the forged request; so the
// next test would see one.
func TestFastCGISmugglingIsDetected(t *testing.T) {
	for _, test := range smugglingPools {
		t.Run(test.name, func(t *testing.T) {
			f := startOldFPM(t, test.pool...)
			conn, err := net.Dial(f.network, f.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			conn.Write(rawRequest(test.method, f.file("read_some.php"), "5", f.forgedBody(32768, 8192)))
			if body, err := readBare(conn); string(body) != "read some" {
				t.Errorf("the wrong client's own request: %q, %v", body, err)
			}
			eventually(t, 5*time.Second, "the forged request has run", func() bool { return f.executions()["forged"] > 0 })
		})
	}
}

// TestFastCGISmuggling: no body makes php-fpm run what it holds, not even a
// php-fpm that can be made to: whatever its size, where in it the forged
// requests begin, how much of it the script reads, and what PHP reads by itself.
func TestFastCGISmuggling(t *testing.T) {
	sizes := []int{100, 200, 2048, 4096, 6000, 8184, 8191, 8192, 8193, 8200, 12288, 16383, 16384, 16385, 24576, 32768, 65528, 65529, 1000000}
	offsets := []int{0, 1, 5, 8, 2048, 4096, 8184, 8187, 8192, 8197, 8200, 16384, 16392, 65528}
	for _, test := range smugglingPools {
		if test.method == "GET" {
			continue // our client sends none with a body
		}
		t.Run(test.name, func(t *testing.T) {
			f := startOldFPM(t, test.pool...)
			c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: 10 * time.Second, MaxConns: 1})
			sent, small := 0, 0
			for _, size := range sizes {
				for _, offset := range offsets {
					if offset >= size {
						continue
					}
					body := string(f.forgedBody(size, offset))
					for _, read := range []string{"0", "5"} {
						want(t, c, f.post("read_some.php", body, "QUERY_STRING", read), "read some")
					}
					want(t, c, f.post("echo.php", body), body) // also what PHP runs next on this connection
					if sent += 3; size <= 8192 {
						small += 3
					}
				}
			}
			want(t, c, f.post("echo.php", "last"), "last")
			if n := f.executions()["forged"]; n != 0 {
				t.Errorf("%d forged requests ran", n)
			}
			s := c.Stats()
			t.Logf("%d bodies, %d on a kept connection, none smuggled", sent, s.Reused)
			if s.Reused < uint64(small)/2 || s.Reused > uint64(small)+1 {
				t.Errorf("%d on a kept connection, want the %d small ones or most of them", s.Reused, small)
			}
			if s.ProtocolErrors != 0 {
				t.Errorf("%d protocol errors", s.ProtocolErrors)
			}
		})
	}
}

// TestFastCGIRecordsAsBody: messages that are FastCGI records come back as
// they were sent, from the php-fpm that is installed.
func TestFastCGIRecordsAsBody(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second, MaxConns: 1})
	for _, size := range []int{8, 100, 8192, 8193, 65536, 300000} {
		for _, offset := range []int{0, 1, 8} {
			body := string(f.forgedBody(size, offset))
			want(t, c, f.post("echo.php", body), body)
		}
	}
	if n := f.executions()["forged"]; n != 0 {
		t.Errorf("%d forged requests ran", n)
	}
}
