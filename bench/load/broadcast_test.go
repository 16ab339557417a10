//go:build linux

package load

import (
	"net"
	"os"
	"path/filepath"
	"slices"
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

func TestSumCounters(t *testing.T) {
	const text = "# HELP a_total Messages.\na_total 12\nb_total{cause=\"slow\"} 3\nb_total{cause=\"closed\"} 1.5\nc_total 99\n"
	got, err := sumCounters(strings.NewReader(text), []string{"b_total", "a_total"})
	if want := []float64{4.5, 12}; !slices.Equal(got, want) || err != nil {
		t.Errorf("sumCounters = %v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "b_total 8\n", "a_total x\nb_total 8\n", "a_total\nb_total 8\n"} {
		if got, err := sumCounters(strings.NewReader(text), []string{"a_total", "b_total"}); err == nil {
			t.Errorf("sumCounters took %q as %v", text, got)
		}
	}
}
