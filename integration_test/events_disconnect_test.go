package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// However a connection ends, PHP is told once, after its last message, of the
// first close frame.
func TestEventsDisconnect(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("ping = 1s\npong = 1s", "", ""))
	for _, test := range []struct {
		name   string
		orders []string // of the connect event
		end    func(*client)
		want   string
	}{
		{"a client closes", nil, func(c *client) { c.close(1000, "bye"); c.wantClose(t, 1000) }, `1000 "bye" client`},
		{"a client closes without a code", nil, func(c *client) { c.close(0, ""); c.wantClose(t, 1005) }, `1005 "" client`},
		{"a client closes with a code of its own", nil, func(c *client) { c.close(4999, "gr\u00fc\u00df"); c.wantClose(t, 4999) }, "4999 \"gr\u00fc\u00df\" client"},
		{"a reason with control characters", nil, func(c *client) { c.close(3000, "a\r\nb\x00c"); c.wantClose(t, 3000) }, `3000 "a  b c" client`},
		{"PHP closes", nil, func(c *client) { c.order(t, "header WS-Close: 4001 go"); c.wantClose(t, 4001) }, `4001 "go" server`},
		{"PHP closes at connect", []string{"accept", "header WS-Close: 4401 log in"}, func(c *client) { c.wantClose(t, 4401) }, `4401 "log in" server`},
		{"a client resets", nil, func(c *client) { c.reset() }, `1006 "" none`},
		{"a client goes without a word", nil, func(c *client) { c.conn.Close() }, `1006 "" none`},
		{"a client ends its stream only", nil, func(c *client) { c.closeWrite(); c.wantEnd(t) }, `1006 "" none`},
		{"a client breaks the protocol", nil, func(c *client) { c.send(frame{fin: true, op: 3, key: testKey}); c.wantClose(t, 1002) }, `1002 "" server`},
		{"a text that is none", nil, func(c *client) { c.text("\xff"); c.wantClose(t, 1007) }, `1007 "" server`},
		{"a client is dead", nil, func(c *client) { c.silent = true; c.frame(); c.wantEnd(t) }, `1006 "" none`},
		{"time is up", []string{"accept", "header WS-Expire: 1"}, func(c *client) { c.wantClose(t, 1008) }, `1008 "expired" server`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := "/ws"
			if test.orders != nil {
				target = orders(test.orders...)
			}
			c := dial(t, g.at(target+map[bool]string{true: "?", false: "&"}[test.orders == nil]+"name="+strings.ReplaceAll(test.name, " ", "+")))
			test.end(c)
			told := func() (records []eventRecord) {
				for _, r := range f.begun("disconnect", "") {
					if strings.HasSuffix(r.Params["QUERY_STRING"], "name="+strings.ReplaceAll(test.name, " ", "+")) {
						records = append(records, r)
					}
				}
				return records
			}
			eventually(t, 5*time.Second, "PHP is told", func() bool { return len(told()) > 0 })
			pause(100 * time.Millisecond)
			if got := told(); len(got) != 1 || farewell(got[0]) != test.want {
				t.Errorf("told %d times, %s; want once %s", len(got), farewell(got[0]), test.want)
			}
		})
	}
}

// The messages that came before the end run first, and the disconnect is the
// last of the connection.
func TestEventsDisconnectComesLast(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	for _, end := range []func(*client){
		func(c *client) { c.close(1000, ""); c.wantClose(t, 1000) },
		func(c *client) { c.reset() },
		func(c *client) { // whose answers come all the same
			c.send(frame{fin: true, op: 3, key: testKey})
			for range 3 {
				c.wantText(t, "x")
			}
			c.wantClose(t, 1002)
		},
	} {
		c := dial(t, g.at("/ws"))
		id := c.id(t)
		for range 3 {
			c.order(t, "sleep 100", "body x")
		}
		eventually(t, 5*time.Second, "PHP is at work", func() bool { return len(f.begun("message", id)) == 2 })
		end(c)
		eventually(t, 5*time.Second, "PHP is told", func() bool { return f.endedEvents("disconnect", id) == 1 })
		var was []string
		for _, r := range f.events() {
			if r.ID == id {
				was = append(was, fmt.Sprintf("%s %s %d", r.What, r.Event, r.Seq))
			}
		}
		if len(was) != 12 {
			t.Fatalf("events %q", was)
		}
		for seq := range 6 {
			event := map[int]string{0: "connect", 5: "disconnect"}[seq]
			if event == "" {
				event = "message"
			}
			if was[2*seq] != fmt.Sprintf("begin %s %d", event, seq) || was[2*seq+1] != fmt.Sprintf("end %s %d", event, seq) {
				t.Errorf("events %q", was)
				break
			}
		}
	}
}

// TestEventsClientProcess is a process of clients, for the test that kills it:
// as many connections as the environment says, each after it got an answer.
func TestEventsClientProcess(t *testing.T) {
	address, n := os.Getenv("WS_FPM_TEST_CLIENTS_OF"), 0
	if address == "" {
		return
	}
	fmt.Sscan(os.Getenv("WS_FPM_TEST_CLIENTS"), &n)
	for range n {
		c := dial(t, handshake{address: address})
		fmt.Fprintln(os.Stderr, "connected", c.id(t))
	}
	select {} // until it is killed
}

// 200 connections: a third closes, a third is reset, a third's process is
// killed, all while php-fpm is down. Each is told of once, with the right code.
func TestEventsDisconnectWhileDown(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	var closing, resetting []*client
	want := map[string]string{}
	for i := range 134 {
		c := dial(t, g.at("/ws"))
		id := c.id(t)
		if i%2 == 0 {
			closing, want[id] = append(closing, c), `4000 "done" client`
		} else {
			resetting, want[id] = append(resetting, c), `1006 "" none`
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestEventsClientProcess$")
	cmd.Env = append(os.Environ(), "WS_FPM_TEST_CLIENTS_OF="+g.addresses[0], "WS_FPM_TEST_CLIENTS=66")
	p := startProcess(t, cmd)
	eventually(t, 20*time.Second, "the process has connected", func() bool { return p.logged(0, "connected ") == 66 })
	for _, line := range p.log() {
		if id, is := strings.CutPrefix(line, "connected "); is {
			want[id] = `1006 "" none`
		}
	}
	f.stop(syscall.SIGQUIT)
	for _, c := range closing {
		c.close(4000, "done")
		c.wantClose(t, 4000)
	}
	for _, c := range resetting {
		c.reset()
	}
	p.kill()
	pause(time.Duration(scaled(2, 10)) * time.Second)
	if n := len(f.begun("disconnect", "")); n != 0 {
		t.Errorf("%d disconnects while php-fpm was down", n)
	}
	f.start()
	begun := time.Now()
	got := f.disconnects(t, 20*time.Second, 200)
	t.Logf("200 disconnects in %v after php-fpm was back", time.Since(begun))
	for id, w := range want {
		if farewell(got[id]) != w {
			t.Errorf("%s: %s; want %s", id, farewell(got[id]), w)
		}
	}
	g.stop()
}

// A drain tells PHP of everybody before the process ends.
func TestEventsDisconnectAtDrain(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	g := startGateway(t, f.eventsConfig("", "", ""))
	var clients []*client
	for range 30 {
		clients = append(clients, dial(t, g.at("/ws")))
	}
	clients[0].order(t, "sleep 300", "body late")
	eventually(t, 5*time.Second, "PHP is at work", func() bool { return len(f.begun("message", "")) == 1 })
	g.signal(syscall.SIGTERM)
	clients[0].wantText(t, "late")
	var waiting sync.WaitGroup
	for _, c := range clients {
		waiting.Go(func() { c.wantClose(t, 1001) })
	}
	waiting.Wait()
	if code := g.wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for id, d := range f.disconnects(t, 0, 30) {
		if farewell(d) != `1001 "" server` {
			t.Errorf("%s: %s", id, farewell(d))
		}
	}
}

// At its start the program says so, once to each route that asks for connect
// or disconnect, with an id that all events of the process repeat.
func TestEventsStart(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	conf := "listen = 127.0.0.1:0, unix:" + f.file("gateway") + "\n[fastcgi]\naddress = " + f.configAddress() + "\n"
	for route, events := range map[string]string{"/all": allEvents, "/leave": "message, disconnect", "/say": "message"} {
		conf += "[route " + route + "]\nscript = " + f.file("events.php") + "\nevents = " + events + "\n"
	}
	boots := map[string]int{}
	for i := range 2 {
		g := startGateway(t, conf)
		c := dial(t, g.at("/all"))
		eventually(t, 5*time.Second, "start ran", func() bool { return f.endedEvents("start", "") == 2*(i+1) })
		boot := c.params(t, "WS_BOOT")["WS_BOOT"]
		boots[boot]++
		pause(100 * time.Millisecond)
		routes := map[string]int{}
		for _, r := range f.begun("start", "")[2*i:] {
			routes[r.Params["WS_ROUTE"]]++
			if r.Params["WS_BOOT"] != boot || r.ID != "" || r.Seq != -1 || r.Params["REQUEST_METHOD"] != "POST" {
				t.Errorf("start %v", r)
			}
		}
		if len(routes) != 2 || routes["/all"] != 1 || routes["/leave"] != 1 {
			t.Errorf("start of %v; want /all and /leave, once each", routes)
		}
		c.goodbye(t)
		g.stop()
	}
	if len(boots) != 2 {
		t.Errorf("two processes, WS_BOOT %v", boots)
	}
}
