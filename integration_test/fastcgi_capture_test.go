package integration_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// getValues is FCGI_GET_VALUES for FCGI_MPXS_CONNS.
var getValues = append([]byte{1, 9, 0, 0, 0, 17, 0, 0, 15, 0}, "FCGI_MPXS_CONNS"...)

// captures are requests to a real php-fpm whose replies the tests of package
// fastcgi read, byte by byte, without one.
var captures = []struct {
	name, script, body string
	maxRequests        int    // how many go over one connection, each with FCGI_GET_VALUES behind it; 0: one
	records            string // the types of the records of the reply
}{
	{"small", "echo.php", "hello", 0, "6 3 10"},
	{"empty", "echo.php", "", 0, "6 3 10"},
	{"big", "output.php", "70000", 0, "6 6 6 3 10"},
	{"flushes", "output.php", "900 300", 0, "6 6 6 3 10"},
	{"stderr", "fault.php", "stderr around", 0, "7 6 7 6 7 3 10"},
	{"fatal", "fault.php", "fatal", 0, "7 6 3 10"},
	{"fatal_after_flush", "fault.php", "fatal after flush", 0, "6 7 3 10"},
	{"not_found", "absent.php", "", 0, "7 6 3 10"},
	{"long_head", "head.php", "9000", 0, "6 6 3 10"},
	{"fields", "head_fields.php", "404", 0, "6 3 10"},
	{"max_requests", "echo.php", "last", 3, "6 3 10 6 3 10 6 3"}, // then the worker leaves
}

// TestFastCGICaptures: php-fpm still sends the records that were captured. To
// capture anew what the one that is installed sends:
//
//	go test ./integration_test -run TestFastCGICaptures -update
func TestFastCGICaptures(t *testing.T) {
	for _, test := range captures {
		t.Run(test.name, func(t *testing.T) {
			f := startFPM(t, fpmOptions{pool: []string{
				"php_admin_flag[log_errors] = on", "php_admin_flag[display_errors] = off",
				"php_admin_value[output_buffering] = 4096", "pm.max_requests = " + itoa(test.maxRequests)}})
			conn, err := net.Dial(f.network, f.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			var wire []byte
			var types []string
			for range max(1, test.maxRequests) {
				conn.Write(append(rawRequest("POST", f.file(test.script), "", []byte(test.body)), getValues...))
				copyRecords(conn, func(b []byte) error {
					wire = append(wire, b...)
					types = append(types, itoa(int(b[1])))
					if b[1] == 10 {
						return errEnough
					}
					return nil
				})
			}
			if got := strings.Join(types, " "); got != test.records {
				t.Errorf("records of types %s, want %s", got, test.records)
			}
			if !*update {
				return
			}
			// A directory of the same length each time, and nobody's.
			wire = bytes.ReplaceAll(wire, []byte(f.dir), []byte("/"+strings.Repeat("d", len(f.dir)-1)))
			version, err := exec.Command(f.binary, "-v").Output()
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("# %s with %q, from %s\n", test.script, test.body, strings.SplitN(string(version), " (", 2)[0])
			for line := range slices.Chunk(wire, 40) {
				text += hex.EncodeToString(line) + "\n"
			}
			path := filepath.Join("..", "fastcgi", "testdata", test.name+".hex")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

var errEnough = errors.New("that is all of the reply")
