package integration_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// eventRecord is a line that events.php wrote: the begin or the end of an event.
type eventRecord struct {
	What   string
	At     float64
	Event  string
	ID     string
	Seq    int
	Params map[string]string
}

// allEvents is the value of a route's events key that asks for all.
const allEvents = "connect, message, disconnect"

// events gives what events.php has recorded.
func (f *phpFPM) events() (records []eventRecord) {
	f.t.Helper()
	b, err := os.ReadFile(f.file("var/events"))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var r eventRecord
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			f.t.Fatalf("%v in %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// begun gives the begins of an event, of one connection or, "", of all.
func (f *phpFPM) begun(event, id string) (records []eventRecord) {
	f.t.Helper()
	for _, r := range f.events() {
		if r.What == "begin" && r.Event == event && (id == "" || r.ID == id) {
			records = append(records, r)
		}
	}
	return records
}

// endedEvents counts the ends of an event of one connection or, "", of all.
func (f *phpFPM) endedEvents(event, id string) (n int) {
	f.t.Helper()
	for _, r := range f.events() {
		if r.What == "end" && r.Event == event && (id == "" || r.ID == id) {
			n++
		}
	}
	return n
}

// release has the event go on whose orders say to wait for what.
func (f *phpFPM) release(what string) {
	f.t.Helper()
	writeFile(f.t, f.file("var/"+what), "")
}

// eventsConfig is a configuration of one pool and one route, /ws, to
// events.php with all events. The lines of pool and route are added.
func (f *phpFPM) eventsConfig(global, pool, route string) string {
	return "listen = 127.0.0.1:0\n" + global + "\n[fastcgi]\naddress = " + f.configAddress() + "\n" + pool +
		"\n[route /ws]\nscript = " + f.file("events.php") + "\nevents = " + allEvents + "\n" + route + "\n"
}

// orders is the target of a handshake whose connect event obeys them.
func orders(lines ...string) string { return "/ws?do=" + url.QueryEscape(strings.Join(lines, "\n")) }

// order sends a message whose event obeys the orders.
func (c *client) order(t testing.TB, lines ...string) {
	t.Helper()
	if err := c.text("do " + strings.Join(lines, "\n")); err != nil {
		t.Fatalf("sending orders: %v", err)
	}
}

// params asks PHP for some of its params.
func (c *client) params(t testing.TB, names ...string) map[string]string {
	t.Helper()
	c.order(t, "params "+strings.Join(names, ","))
	_, b, err := c.message()
	if err != nil {
		t.Fatalf("reading params: %v", err)
	}
	var p map[string]string
	if err := json.Unmarshal(b, &p); err != nil && string(b) != "[]" { // PHP's empty array
		t.Fatalf("params: %v in %s", err, b)
	}
	return p
}

// id asks PHP for the connection's id.
func (c *client) id(t testing.TB) string {
	t.Helper()
	return c.params(t, "WS_CONNECTION_ID")["WS_CONNECTION_ID"]
}

// wantWord fails t unless the next message is the error of that word.
func (c *client) wantWord(t testing.TB, word string) {
	t.Helper()
	op, b, err := c.message()
	var e struct {
		Error, Connection string
		Seq               int
	}
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil || op != opText || e.Error != word || len(e.Connection) != 32 || e.Seq == 0 {
		t.Fatalf("got %d %.200q, %v; want error %s", op, b, err, word)
	}
}

// disconnects waits until n connections were told of, and fails t unless that
// stays so with each told of once. It gives them by id.
func (f *phpFPM) disconnects(t testing.TB, patience time.Duration, n int) map[string]eventRecord {
	t.Helper()
	waitUntil(patience, func() bool { return len(f.begun("disconnect", "")) >= n })
	pause(150 * time.Millisecond) // for one too many
	byID := map[string]eventRecord{}
	for _, r := range f.begun("disconnect", "") {
		if _, twice := byID[r.ID]; twice {
			t.Errorf("two disconnects of %s", r.ID)
		}
		byID[r.ID] = r
	}
	if len(byID) != n {
		t.Fatalf("%d disconnects; want %d", len(byID), n)
	}
	return byID
}

// farewell is how a disconnect event says that a connection ended.
func farewell(r eventRecord) string {
	return fmt.Sprintf("%s %q %s", r.Params["WS_CLOSE_CODE"], r.Params["WS_CLOSE_REASON"], r.Params["WS_CLOSE_BY"])
}
