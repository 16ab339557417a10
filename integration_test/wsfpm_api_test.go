package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ws-fpm/fastcgi"
)

// TestWsFpmChannels: what WsFpm.php's replies say of channels, with the real
// gateway: who comes, who speaks, who moves and who leaves.
func TestWsFpmChannels(t *testing.T) {
	t.Parallel()
	f := startWsFpm(t)
	g := startGateway(t, f.config("", "/ws wsfpm.php\nevents = connect, message, disconnect"))
	came := func(c *client) string {
		var m struct{ Came string }
		if _, data, err := c.message(); err != nil || json.Unmarshal(data, &m) != nil || len(m.Came) != 32 {
			t.Fatalf("got %q, %v", data, err)
		}
		return m.Came
	}
	a := dial(t, g.at("/ws?do=listen"))
	idA := came(a)
	b := dial(t, g.at("/ws?do=listen"))
	idB := came(b)
	if got := came(a); got != idB || idA == idB {
		t.Errorf("%s is told that %s came, want %s", idA, got, idB)
	}
	a.text(`{"do":"say","to":["room:1"],"text":"to all"}`)
	a.wantText(t, "to all")
	b.wantText(t, "to all")
	a.text(`{"do":"say to others","to":["room:1","nobody"],"text":"to others"}`)
	b.wantText(t, "to others")

	// A client's text becomes no order: the helper refuses it before it is one.
	for _, name := range []string{"room:1; reply", "room:1, news", "*", "room:1\r\nWS-Close: 4000"} {
		from := len(g.log())
		a.text(`{"do":"say","to":[` + quote(name) + `],"text":"smuggled"}`)
		a.wantWord(t, "backend_failed")
		g.logsOnce(t, from, "InvalidArgumentException: a channel has a name")
	}
	a.text(`{"do":"move","from":["*"],"to":["room:2"]}`)
	a.wantText(t, `["room:1","news"]`) // of the event, not of its reply
	b.text(`{"do":"say","to":["room:1"],"text":"is anybody there?"}`)
	b.wantText(t, "is anybody there?")
	a.text(`{"do":"move","from":["room:2"],"to":["room:1"]}`)
	a.wantText(t, `["room:2"]`) // and nothing of room:1 in between
	b.close(1000, "")
	b.wantClose(t, 1000)
	a.wantText(t, `{"left":"`+idB+`"}`)
}

// An apiUser is some PHP that uses WsFpm\Api: it makes calls, which are JSON.
type apiUser struct {
	name string
	run  func(calls string) (results string)
}

// apiUsers are an ordinary page of f and a script on the command line, both
// told by WS_API alone.
func apiUsers(t *testing.T, f *phpFPM, env ...string) []apiUser {
	c := f.fastcgiClient(t, fastcgi.Options{})
	return []apiUser{
		{"an ordinary page", func(calls string) string {
			r, err := do(c, f.post("api.php", calls))
			if err != nil || r.Status != 200 {
				t.Errorf("the page: %v %s", err, r.stderr)
			}
			return r.body
		}},
		{"the command line", func(calls string) string {
			cmd := exec.CommandContext(t.Context(), requireProgram(t, "php-cli", "php"), f.file("api.php"))
			cmd.Env, cmd.Stdin = append(os.Environ(), env...), strings.NewReader(calls)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("php: %v: %s", err, out)
			}
			return string(out)
		}},
	}
}

// A way is how PHP reaches the control API: what the configuration says of it,
// and what PHP is told.
type way struct {
	name, section string
	env           []string
}

// ways are a unix socket, and TCP with a token that php-fpm's workers can read.
func ways(t *testing.T) []way {
	socket, address, token := publicDir(t)+"/s", freeAddress(t), tokenFile(t)
	workers := tokenFile(t) // a copy of their own, for a token's file is its owner's alone
	if os.Getuid() == 0 {
		name, _, _ := strings.Cut(workerUser(t), "\n")
		u, err := user.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		if err := os.Chown(workers, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	return []way{
		{"unix", "[control]\nlisten = " + socket + "\nmode = 0666\n", []string{"WS_API=unix:" + socket}},
		{"tcp", "[control]\nlisten = " + address + "\ntoken_file = " + token + "\n", []string{"WS_API=http://" + address, "WS_API_TOKEN_FILE=" + workers}},
	}
}

// poolEnv gives env as lines of php-fpm's pool.
func poolEnv(env []string) (lines []string) {
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		lines = append(lines, "env["+name+`] = "`+value+`"`)
	}
	return lines
}

// TestWsFpmApi: every method of WsFpm\Api does what it says, on a unix socket
// and on TCP with a token, from a page, from the command line and from within a
// message.
func TestWsFpmApi(t *testing.T) {
	t.Parallel()
	for _, way := range ways(t) {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			f := startWsFpm(t, poolEnv(way.env)...)
			g := startGateway(t, f.config("", "/ws wsfpm.php\nevents = connect, message, disconnect")+way.section)
			for n, php := range apiUsers(t, f, way.env...) {
				t.Run(php.name, func(t *testing.T) {
					me := "Ada & /Bob. " + itoa(n)
					a := dial(t, g.at("/ws?do=listen&user="+strings.NewReplacer(" ", "%20", "&", "%26").Replace(me)))
					var came struct{ Came string }
					_, data, _ := a.message()
					json.Unmarshal(data, &came)
					id := came.Came
					want := func(calls, results string) {
						t.Helper()
						if got := php.run(calls); got != results {
							t.Errorf("%s: %s, want %s", calls, got, results)
						}
					}
					user := quote(me)
					// Several calls of one Api, on one connection.
					want(`[["publish","room:1","grüße"],["publish","room:1","nobody",`+quote(id)+`],["publish","empty","x"],
						["send",`+quote(id)+`,{"a":["/"]}],["send",`+quote(id)+`,{"binary":"AP8="}],["send","`+strings.Repeat("0", 32)+`","x"],
						["sendToUser",`+user+`,""],["sendToUser","..","x"]]`, `[1,0,0,true,true,false,1,0]`)
					a.wantText(t, "grüße")
					a.wantText(t, `{"a":["/"]}`)
					a.wantMessage(t, opBinary, []byte("\x00\xff"))
					a.wantText(t, "")
					want(`[["channels"],["channels","room:"],["channel","room:1"],["channel","empty"]]`,
						`[{"channels":[{"name":"news","connections":1},{"name":"room:1","connections":1}],"total":2},`+
							`{"channels":[{"name":"room:1","connections":1}],"total":1},`+
							`{"name":"room:1","connections":[`+quote(id)+`],"total":1},{"name":"empty","connections":[],"total":0}]`)
					var lists []struct {
						Connections []struct{ ID, User, Route string }
						Total       int
					}
					if err := json.Unmarshal([]byte(php.run(`[["connections",`+user+`],["connections",null,"news",1],["connections","x"]]`)), &lists); err != nil || len(lists) != 3 ||
						lists[0].Total != 1 || lists[0].Connections[0].ID != id || lists[1].Connections[0].Route != "/ws" || lists[2].Total != 0 {
						t.Errorf("connections: %+v, %v", lists, err)
					}
					want(`[["batch",[{"channel":"room:1","message":"one"},{"user":`+user+`,"message":[2]},{"connection":"`+strings.Repeat("0", 32)+`","message":"x"}]]]`,
						`[[{"delivered":1},{"delivered":1},{"delivered":0,"error":"connection: this connection is gone"}]]`)
					a.wantText(t, "one")
					a.wantText(t, "[2]")
					large := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 1<<20)))
					want(`[["send",`+quote(id)+`,{"binary":"`+large+`"}]]`, `[true]`)
					a.wantMessage(t, opBinary, []byte(strings.Repeat("x", 1<<20)))

					// From within a message; what it sends to itself is there before the answer.
					a.text(`{"do":"push","text":"from PHP"}`)
					a.wantText(t, "from PHP")
					a.wantText(t, "to myself")
					a.wantText(t, `[1,true,["room:1","news"]]`)

					b := dial(t, g.at("/ws?do=listen&user=b"))
					_, data, _ = b.message()
					json.Unmarshal(data, &came)
					want(`[["close",`+quote(came.Came)+`,4005,"ünough"],["closeUser",`+user+`],["closeUser","nobody"]]`, `[true,1,0]`)
					if reason := b.wantClose(t, 4005); reason != "ünough" {
						t.Errorf("closed for %q", reason)
					}
					a.wantText(t, `{"came":`+quote(came.Came)+`}`)
					a.wantClose(t, 1000)
					eventually(t, 5*time.Second, "PHP is told that both have left", func() bool { return len(f.kept("gone")) == 2*(n+1) })
					want(`[["send",`+quote(id)+`,"late"],["connection",`+quote(id)+`],["close",`+quote(id)+`]]`, `[false,null,false]`)
				})
			}
		})
	}
}

// TestWsFpmApiRestart: between two calls of one Api the gateway is restarted.
// The second finds that its connection has gone and opens another one.
func TestWsFpmApiRestart(t *testing.T) {
	t.Parallel()
	for _, way := range ways(t) {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			f := startWsFpm(t, poolEnv(way.env)...)
			conf := f.config("", "/ws wsfpm.php\nevents = connect, message, disconnect") + way.section
			g := startGateway(t, conf)
			before := dial(t, g.at("/ws?do=listen"))
			before.message()
			file := f.file("var/restarted")
			results := make(chan string, 1)
			page := apiUsers(t, f)[0]
			go func() {
				results <- page.run(`[["publish","room:1","before"],["wait","` + file + `"],["publish","room:1","after"]]`)
			}()
			before.wantText(t, "before")
			eventually(t, 10*time.Second, "the page waits", func() bool { _, err := os.Stat(file + ".waiting"); return err == nil })
			g.stop()
			g = startGateway(t, conf)
			after := dial(t, g.at("/ws?do=listen"))
			after.message()
			writeFile(t, file, "")
			if got := <-results; got != "[1,1]" {
				t.Errorf("the two calls give %s", got)
			}
			after.wantText(t, "after")

			// And while there is none, that is what it says: nothing was done.
			g.stop()
			if got := page.run(`[["publish","room:1","x"]]`); !strings.HasPrefix(got, `[{"code":0,"notDone":true,"says":"control API at `) {
				t.Errorf("without a gateway: %s", got)
			}
		})
	}
}

// TestWsFpmApiRefused: a token that is missing, wrong or not to be read is said
// in words that do not hold it.
func TestWsFpmApiRefused(t *testing.T) {
	t.Parallel()
	tcp := ways(t)[1]
	wrong := filepath.Join(publicDir(t), "token")
	writeFile(t, wrong, "fedcba9876543210fedcba9876543210\n")
	for _, test := range []struct{ name, file, says string }{
		{"no token", "", `"code":401,"notDone":true,"says":"control API at ` + strings.TrimPrefix(tcp.env[0], "WS_API=") + `: Authorization: want Bearer and the token (no token file is named)"`},
		{"a wrong token", wrong, `Authorization: want Bearer and the token (shown: that in ` + wrong + `)`},
		{"no file", "/nowhere/token", `"code":0,"notDone":true,"says":"the token file /nowhere/token cannot be read"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := []string{tcp.env[0]}
			if test.file != "" {
				env = append(env, "WS_API_TOKEN_FILE="+test.file)
			}
			f := startWsFpm(t, poolEnv(env)...)
			g := startGateway(t, f.config("", "/ws wsfpm.php\nevents = connect, message, disconnect")+tcp.section)
			for _, php := range apiUsers(t, f, env...) {
				got := strings.ReplaceAll(php.run(`[["publish","room:1","x"]]`), `\/`, "/")
				if !strings.Contains(got, test.says) || strings.Contains(got, "fedcba") {
					t.Errorf("%s: %s, want %s", php.name, got, test.says)
				}
			}
			g.stop()
		})
	}
}
