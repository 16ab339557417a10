//go:build linux

package load

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ws-fpm/bench/floor"
)

func TestAnswered(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 5\r\n\r\nhello"
	for i := range len(whole) {
		if got, err := answered([]byte(whole[:i])); got || err != nil {
			t.Errorf("answered(%q) = %v, %v; want not yet", whole[:i], got, err)
		}
	}
	for _, test := range []struct {
		name, wire, err string
	}{
		{"an answer with a body", whole, ""},
		{"one without", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"a refusal", "HTTP/1.1 404 Not Found\r\n\r\n", "404"},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length: x"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no length"},
	} {
		got, err := answered([]byte(test.wire))
		if test.err == "" && (!got || err != nil) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: answered = %v, %v; want error %q", test.name, got, err, test.err)
		}
	}
}

func TestBroadcast(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	publish := "unix:" + filepath.Join(t.TempDir(), "publish.sock")
	go floor.Fanout(addr, publish) // as long as the test's process
	for !listens(publish) {
		select {
		case <-t.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
	for _, args := range []string{"", "-rate 200", "-slow 4"} {
		r, err := measureSome(t, "broadcast", append(strings.Fields(args), "-addr", addr, "-publish", publish, "-n", "10", "-size", "256",
			"-warm", "0s", "-pid", strconv.Itoa(os.Getpid()))...)
		readers := uint64(10)
		if args == "-slow 4" {
			readers = 6
		}
		if err != nil || r.Publish == 0 || r.Sent != r.Publish*readers || r.Missed != 0 || r.Lost != 0 || r.Messages == 0 || r.P50 <= 0 {
			t.Errorf("%q: %+v, %v; want all that was sent to %d readers", args, r, err, readers)
		}
	}
}

func listens(address string) bool {
	c, err := net.Dial("unix", strings.TrimPrefix(address, "unix:"))
	if err == nil {
		c.Close()
	}
	return err == nil
}

func TestParseCounters(t *testing.T) {
	const text = "# HELP ws_fpm_messages_sent_total Messages.\nws_fpm_messages_for_clients_total 12\nws_fpm_messages_sent_total 8\n" +
		"ws_fpm_sends_dropped_total{cause=\"slow\"} 3\nws_fpm_sends_dropped_total{cause=\"closed\"} 1\nws_fpm_other_total 99\n"
	if meant, settled, err := parseCounters(strings.NewReader(text)); meant != 12 || settled != 12 || err != nil {
		t.Errorf("parseCounters = %d, %d, %v; want 12, 12", meant, settled, err)
	}
	for _, text := range []string{"", "ws_fpm_messages_sent_total 8\n", "ws_fpm_messages_sent_total x\n"} {
		if _, _, err := parseCounters(strings.NewReader(text)); err == nil {
			t.Errorf("parseCounters took %q", text)
		}
	}
}
