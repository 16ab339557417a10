package integration_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// TestConnectNeverByMistake: however a connect script fails, and whether or
// not PHP shows its errors with a status of 200, nobody is let in.
func TestConnectNeverByMistake(t *testing.T) {
	scripts := []struct {
		name, code string
		shown      int // the status where errors are displayed: a success without WS-Accept is 403
		hidden     int
	}{
		{"dies", `<?php die("db down");`, 403, 403},
		{"is empty", ``, 403, 403},
		{"does not parse", `<?php this is no php(`, 403, 500},
		{"throws", `<?php throw new Exception("on purpose");`, 403, 500},
		// and with half of the work done
		{"dies after a header", `<?php header("WS-User: 1"); die("db down");`, 403, 403},
		{"includes what does not parse", `<?php header("WS-User: 1"); include "parse_error.php";`, 403, 500},
		{"says no", `<?php header("WS-Accept: no");`, 403, 403},
		{"accepts with an error", `<?php header("WS-Accept: yes"); http_response_code(500);`, 500, 500},
	}
	helped := map[string]int{"": 403, "throw": 500, "die": 403, "memory": 500, "include": 500, "inject": 500, "reject": 401}
	for _, display := range []string{"on", "off"} {
		t.Run("display_errors "+display, func(t *testing.T) {
			t.Parallel()
			f := startWsFpm(t, "php_flag[display_errors] = "+display)
			routes := []string{"/helped wsfpm.php\nevents = connect, message, disconnect"}
			for i, s := range scripts {
				script := "connect" + itoa(i) + ".php"
				f.write(script, s.code)
				routes = append(routes, "/"+itoa(i)+" "+script+"\nevents = connect, message")
			}
			g := startGateway(t, f.config("", routes...))
			for i, s := range scripts {
				want := s.hidden
				if display == "on" {
					want = s.shown
				}
				if r, body := refused(t, g.at("/"+itoa(i))); r.StatusCode != want {
					t.Errorf("a script that %s: %d %q, want %d", s.name, r.StatusCode, body, want)
				}
			}
			for do, want := range helped {
				r, body := refused(t, g.at("/helped?do="+do))
				if r.StatusCode != want {
					t.Errorf("with WsFpm.php, %q: %d %q, want %d", do, r.StatusCode, body, want)
				}
				if do == "reject" && (body != "who are you" || r.Header.Get("WWW-Authenticate") != "Bearer") {
					t.Errorf("the refusal is %q with %v", body, r.Header)
				}
				if strings.Contains(body, "Fatal error") || strings.Contains(body, f.dir) {
					t.Errorf("with WsFpm.php, %q: the error shows: %q", do, body)
				}
			}
			if gone := f.kept("gone"); len(gone) > 0 {
				t.Errorf("disconnect of who was never let in: %+v", gone)
			}
		})
	}
}

// tokenFor is a token as examples/token.php makes it, with its prefix.
func tokenFor(secret, user string, expires time.Time) string {
	claim := hex.EncodeToString([]byte(user)) + "." + itoa(int(expires.Unix()))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(claim))
	return "token." + claim + "." + hex.EncodeToString(mac.Sum(nil))
}
