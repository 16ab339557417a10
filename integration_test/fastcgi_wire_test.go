package integration_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

func TestFastCGIRequests(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		f := startFPM(t, fpmOptions{tcp: network == "tcp"})
		for _, keep := range []time.Duration{0, time.Second} {
			for _, get := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, keep-alive %v, GET %v", network, keep, get), func(t *testing.T) {
					c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: keep})
					req := f.post("params.php", "", "QUERY_STRING", "a=b", "HTTP_X_TEST", "yes")
					wantMethod, wantLength := "POST", "5"
					if req.Get = get; get {
						wantMethod, wantLength = "GET", ""
					} else {
						req.Body = []byte("hello")
					}
					for range 3 {
						r, err := do(c, req)
						if err != nil {
							t.Fatal(err)
						}
						var server map[string]any
						if err := json.Unmarshal([]byte(r.body), &server); err != nil {
							t.Fatalf("%v in %q", err, r.body)
						}
						if r.Status != 200 || r.Header.Get("CONTENT-TYPE") != "application/json" || r.stderr != "" {
							t.Errorf("got %d %v, stderr %q", r.Status, r.Header, r.stderr)
						}
						length, _ := server["CONTENT_LENGTH"].(string)
						if server["REQUEST_METHOD"] != wantMethod || strings.Trim(length, "0") != wantLength ||
							server["QUERY_STRING"] != "a=b" || server["HTTP_X_TEST"] != "yes" {
							t.Errorf("PHP saw method %v, length %q, query %v, header %v",
								server["REQUEST_METHOD"], length, server["QUERY_STRING"], server["HTTP_X_TEST"])
						}
						if keep > 0 { // the reply comes before the proof that the connection can be kept
							eventually(t, time.Second, "the connection is idle", func() bool { return c.Stats().Idle == 1 })
						}
					}
					s := c.Stats()
					dials, reused := uint64(3), uint64(0)
					if keep > 0 {
						dials, reused = 1, 2
					}
					if s.Requests != 3 || s.Completed != 3 || s.Dials != dials || s.Reused != reused {
						t.Errorf("stats = %+v; want 3 requests, %d dials, %d reused", s, dials, reused)
					}
				})
			}
		}
	}
}

func TestFastCGIParams(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second})
	// The name has 10 bytes; 1 + 4 + 10 bytes of the longest pair are not value.
	const longest = 65528 - 15
	for _, n := range []int{0, 1, 127, 128, 255, 256, 32768, longest - 1, longest} {
		value := strings.Repeat("v", n)
		r, err := do(c, f.post("params.php", "", "LONG_VALUE", value))
		var server map[string]any
		if err == nil {
			err = json.Unmarshal([]byte(r.body), &server)
		}
		if err != nil || server["LONG_VALUE"] != value {
			t.Errorf("a value of %d bytes: %v, and %d bytes arrived", n, err, len(fmt.Sprint(server["LONG_VALUE"])))
		}
	}
	if p, err := fastcgi.AppendParam(nil, "LONG_VALUE", strings.Repeat("v", longest+1)); err == nil {
		t.Errorf("AppendParam took a value of %d bytes: %d", longest+1, len(p))
	}

	t.Run("1 MB in many pairs and blocks", func(t *testing.T) {
		req := f.post("params.php", "")
		for block := range 10 {
			var pairs []string
			for i := range 100 {
				pairs = append(pairs, fmt.Sprintf("P%d_%d", block, i), strings.Repeat("v", 1000+i))
			}
			req.Params = append(req.Params, params(t, pairs...))
		}
		r, err := do(c, req)
		var server map[string]any
		if err == nil {
			err = json.Unmarshal([]byte(r.body), &server)
		}
		if err != nil {
			t.Fatal(err)
		}
		for block := range 10 {
			for i := range 100 {
				if got, _ := server[fmt.Sprintf("P%d_%d", block, i)].(string); len(got) != 1000+i {
					t.Fatalf("P%d_%d has %d bytes, want %d", block, i, len(got), 1000+i)
				}
			}
		}
	})
}

func TestFastCGIBodies(t *testing.T) {
	long := make([]byte, 9<<20) // every byte value, and no short period
	for i := range long {
		long[i] = byte(i ^ i>>8 ^ i>>16)
	}
	for _, network := range []string{"unix", "tcp"} {
		f := startFPM(t, fpmOptions{tcp: network == "tcp"})
		c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second})
		for _, n := range []int{0, 1, 8191, 8192, 8193, 65527, 65528, 65529, 65535, 65536, 300 << 10, 9 << 20} {
			body := string(long[:n])
			for _, kind := range []string{"application/octet-stream", "application/x-www-form-urlencoded"} {
				r, err := do(c, f.post("hash.php", body, "CONTENT_TYPE", kind))
				got := strings.Fields(r.body)
				if err != nil || len(got) != 4 || got[0] != itoa(n) || got[1] != fmt.Sprintf("%x", md5.Sum([]byte(body))) || got[3] != itoa(n) {
					t.Errorf("%s, %s, a body of %d bytes: %v, got %q", network, kind, n, err, r.body)
				}
			}
			r, err := do(c, f.post("echo.php", body))
			if err != nil || r.body != body {
				t.Errorf("%s, echo of %d bytes: %v, got %d bytes", network, n, err, len(r.body))
			}
		}
	}
}

// TestFastCGIReadsWhileWriting: PHP that answers before it reads must not
// wait for a client that writes before it reads.
func TestFastCGIReadsWhileWriting(t *testing.T) {
	f := startFPM(t, fpmOptions{pool: []string{"php_admin_flag[enable_post_data_reading] = off"}})
	c := f.fastcgiClient(t, fastcgi.Options{Timeout: 10 * time.Second})
	body := strings.Repeat("b", 5<<20)
	r, err := do(c, f.post("deadlock.php", body))
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", md5.Sum([]byte(body))); len(r.body) != 6500000+32 || !strings.HasSuffix(r.body, sum) {
		t.Errorf("got %d bytes ending in %.40q", len(r.body), r.body[max(0, len(r.body)-32):])
	}
}

func TestFastCGIOutput(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second})
	for _, body := range []string{
		"0", "1", "8183", "8184", "8185", "8191", "8192", "8193", "65528", "65535", "65536", "1048576",
		"300 1", "20000 7000", "200000 65535",
	} {
		var size int
		fmt.Sscan(body, &size)
		if r, err := do(c, f.post("output.php", body)); err != nil || r.body != strings.Repeat("x", size) {
			t.Errorf("output %q: %v, got %d bytes", body, err, len(r.body))
		}
	}

	t.Run("50 MB, read in pieces", func(t *testing.T) {
		resp, err := c.Do(context.Background(), f.post("output.php", itoa(50<<20)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		if n, err := io.Copy(io.Discard, resp); n != 50<<20 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})

	t.Run("the limit of a reply's body", func(t *testing.T) {
		for _, n := range []int{9999, 10000, 10001, 5 << 20} {
			resp, err := c.Do(context.Background(), f.post("output.php", itoa(n)))
			if err != nil {
				t.Fatal(err)
			}
			body, err := resp.AppendBody([]byte("before"), 10000)
			if n <= 10000 && (err != nil || len(body) != n+6) {
				t.Errorf("%d bytes with a limit of 10000: %d, %v", n, len(body), err)
			}
			if n > 10000 {
				wantError(t, err, fastcgi.KindTooBig, fastcgi.Executed)
			}
			resp.Close()
		}
		want(t, c, f.post("echo.php", "after"), "after")
	})

	t.Run("the limit of a reply's head", func(t *testing.T) {
		for _, n := range []int{8 << 10, 15 << 10} {
			if r := want(t, c, f.post("head.php", itoa(n)), "body"); len(r.Header.Get("X-Long")) != n {
				t.Errorf("a field of %d bytes came with %d", n, len(r.Header.Get("X-Long")))
			}
		}
		for _, n := range []int{16 << 10, 1 << 20} {
			_, err := do(c, f.post("head.php", itoa(n)))
			wantError(t, err, fastcgi.KindBadReply, fastcgi.Executed)
		}
		want(t, c, f.post("echo.php", "after"), "after")
	})
}

func TestFastCGIHead(t *testing.T) {
	f := startFPM(t, fpmOptions{})
	c := f.fastcgiClient(t, fastcgi.Options{KeepAlive: time.Second})
	for _, status := range []int{200, 201, 404, 418, 503, 599} {
		r, err := do(c, f.post("head_fields.php", itoa(status)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != status || r.body != "body" {
			t.Errorf("status %d came as %d with body %q", status, r.Status, r.body)
		}
		if got := strings.Join(r.Header.Values("set-cookie"), ","); got != "a=1,b=2" {
			t.Errorf("Set-Cookie = %q, want both in order", got)
		}
		if got := r.Header.Get("ws-close"); got != "4001 over" {
			t.Errorf("WS-Close = %q", got)
		}
	}
}

func TestFastCGIRefusesParams(t *testing.T) {
	for _, test := range []struct{ name, key, value string }{
		{"PHP's settings", "PHP_VALUE", "auto_prepend_file=/etc/passwd"},
		{"PHP's locked settings", "PHP_ADMIN_VALUE", "open_basedir=/"},
		{"a file as the body", "REQUEST_BODY_FILE", "/etc/passwd"},
		{"a length that is not the body's", "CONTENT_LENGTH", "9999"},
		{"a second method", "REQUEST_METHOD", "HEAD"},
		{"an empty name", "", "x"},
		{"three letters, which php-fpm mixes up", "ABC", "x"},
		{"a dot PHP turns into _", "HTTP_X.FORWARDED.FOR", "x"},
		{"a space PHP turns into _", "HTTP_X FORWARDED_FOR", "x"},
		{"a bracket PHP makes an array of", "HTTP_A[X]", "x"},
		{"NUL that cuts a file name", "SCRIPT_FILENAME", "/etc/passwd\x00.php"},
		{"CR", "HTTP_X_TEST", "a\rb"},
		{"LF", "HTTP_X_TEST", "a\nb"},
		{"NUL in a name", "HTTP_X\x00Y", "x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if p, err := fastcgi.AppendParam(nil, test.key, test.value); err == nil || p != nil {
				t.Errorf("AppendParam(%q, %q) = %q, %v; want an error", test.key, test.value, p, err)
			}
		})
	}
}
