//go:build linux

package load

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ws-fpm/bench/epoll"
	"ws-fpm/bench/process"
)

// frameOf is an unmasked frame with a length in its shortest form.
func frameOf(first byte, payload string) string {
	if len(payload) > 125 {
		return string([]byte{first, 126, byte(len(payload) >> 8), byte(len(payload))}) + payload
	}
	return string([]byte{first, byte(len(payload))}) + payload
}

func TestFeed(t *testing.T) {
	want := strings.Repeat("0123456789", 20)
	long := frameOf(0x81, want)
	for _, test := range []struct {
		name, wire, err, pong string
		complete              bool
	}{
		{"the answer", long, "", "", true},
		{"the answer in fragments", frameOf(0x01, want[:100]) + frameOf(0x00, want[100:101]) + frameOf(0x80, want[101:]), "", "", true},
		{"a ping between fragments", frameOf(0x01, want[:100]) + frameOf(0x89, "p") + frameOf(0x80, want[100:]), "", "p", true},
		{"a ping alone", frameOf(0x89, ""), "", "", false},
		{"another answer", strings.Replace(long, "9", "8", 1), "wrong answer", "", false},
		{"an answer too short", frameOf(0x81, want[:199]), "answer of 199", "", false},
		{"an answer too long", frameOf(0x81, want+"x"), "wrong answer", "", false},
		{"binary for text", frameOf(0x82, want), "opcode 2", "", false},
		{"two answers", long + long, "two answers", "", true},
		{"a close", frameOf(0x88, "\x03\xe8"), "closed with 03e8", "", false},
		{"a mask", "\x81\x85", "masked", "", false},
		{"a reserved bit", "\xc1\x00", "reserved", "", false},
	} {
		for _, step := range []int{len(test.wire), 1, 3} {
			c, complete, failed := &conn{}, false, ""
			for part := range slices.Chunk([]byte(test.wire), step) {
				for done, err := false, error(nil); len(part) > 0 && failed == ""; {
					if part, done, err = c.feed(part, []byte(want), 1); err != nil {
						failed = err.Error()
					}
					if done && complete {
						failed = "two answers"
					}
					complete = complete || done
				}
			}
			if !strings.Contains(failed, test.err) || test.err == "" && failed != "" {
				t.Errorf("%s, %d bytes at a time: error %q, want %q", test.name, step, failed, test.err)
			}
			if test.err == "" && complete != test.complete {
				t.Errorf("%s, %d bytes at a time: complete %v, want %v", test.name, step, complete, test.complete)
			}
			if test.pong != "" && !strings.HasSuffix(string(c.pong), string(test.pong[0]^maskKey[0])) {
				t.Errorf("%s: pong %x", test.name, c.pong)
			}
		}
	}
}

func TestHistogram(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 63, 64, 65, 127, 128, 129, 1000, 12345, 1e6, 1e9, 1e12} {
		i, top := bucket(d)
		if top < d || top > d+d/64 || i >= len(new(histogram).buckets) {
			t.Errorf("bucket(%d) = %d, %d; want a top within 1/64", d, i, top)
		}
		if got := bucketTop(i); got != top {
			t.Errorf("bucketTop(%d) = %d, want %d", i, got, top)
		}
		if d > 0 {
			if before, _ := bucket(d - 1); before > i {
				t.Errorf("bucket(%d) = %d is above bucket(%d) = %d", d-1, before, d, i)
			}
		}
	}
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 501 * time.Microsecond, 0.99: 991 * time.Microsecond, 1: time.Millisecond} {
		if got := h.quantile(q); got < want || got > want+want/64 {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
}

// serve is a WebSocket echo server that lies about message liar, if not zero.
func serve(t *testing.T, liar int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go echoOn(conn, liar)
		}
	}()
	return l.Addr().String()
}

func echoOn(conn net.Conn, liar int) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	for i := 1; ; i++ {
		var h [8]byte
		if _, err := io.ReadFull(r, h[:2]); err != nil {
			return
		}
		size := int(h[1] & 0x7f)
		if size == 126 {
			io.ReadFull(r, h[:2])
			size = int(h[0])<<8 | int(h[1])
			h[0] = 0x81
		}
		payload := make([]byte, size+4)
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		key, payload := payload[:4], payload[4:]
		for i := range payload {
			payload[i] ^= key[i&3]
		}
		if i == liar {
			payload[0]++
		}
		io.WriteString(conn, frameOf(0x81, string(payload)))
	}
}

func measure(t *testing.T, mode string, args ...string) (Result, error) {
	t.Helper()
	s, err := Parse(mode, args)
	if err != nil {
		t.Fatal(err)
	}
	return Run(s)
}

// measureSome measures for longer when a busy machine gave nothing to count.
func measureSome(t *testing.T, mode string, args ...string) (r Result, err error) {
	t.Helper()
	for _, d := range []string{"50ms", "1s", "10s"} {
		if r, err = measure(t, mode, append(args, "-d", d)...); r.Messages > 0 && r.Server > 0 {
			break
		}
	}
	return r, err
}

func TestEcho(t *testing.T) {
	addr, pid := serve(t, 0), strconv.Itoa(os.Getpid())
	for _, size := range []string{"16", "125", "126", "60000"} {
		for _, rate := range []string{"0", "2000"} {
			r, err := measureSome(t, "echo", "-addr", addr, "-n", "5", "-threads", "2", "-size", size, "-warm", "10ms", "-rate", rate, "-pid", pid)
			if err != nil {
				t.Fatalf("%s bytes, rate %s: %v", size, rate, err)
			}
			if r.Messages == 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.CPU() <= 0 || r.Own <= 0 {
				t.Errorf("%s bytes, rate %s: %+v", size, rate, r)
			}
		}
	}
}

// The two ends of a long measurement are compared, and the server is asked what
// it has allocated and collected meanwhile.
func TestEchoTenths(t *testing.T) {
	var asked atomic.Uint64
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		fmt.Fprintf(w, "go_heap_allocs_total %d\ngo_gc_cycles_total %d\ngo_gc_cpu_seconds_total %f\n", 1000*n, 2*n, float64(n)/4)
	}))
	defer metrics.Close()
	args := []string{"-addr", serve(t, 0), "-n", "2", "-warm", "10ms", "-tenths", "-metrics", metrics.Listener.Addr().String(), "-pid", strconv.Itoa(os.Getpid())}
	var r Result
	for _, d := range []string{"50ms", "1s", "10s"} { // a busy machine may answer nothing in 5 ms
		asked.Store(0)
		var err error
		if r, err = measure(t, "echo", append(args, "-d", d)...); err != nil {
			t.Fatal(err)
		}
		if r.First > 0 && r.Last > 0 {
			break
		}
	}
	if r.First <= 0 || r.Last <= 0 || r.Allocs != 1000 || r.Collections != 2 || r.Collecting != 250*time.Millisecond {
		t.Errorf("%+v; want both tenths, 1000 allocations, 2 collections of 250ms", r)
	}
	metrics.Close()
	if _, err := measure(t, "echo", append(args, "-d", "20ms")...); err == nil {
		t.Error("without /metrics there is a result")
	}
}

func TestClock(t *testing.T) {
	c := &clock{come: make(chan []sample, 1), seconds: 2}
	at := func(server, own time.Duration, allocs uint64) sample {
		return sample{server: process.Usage{1: server}, own: own, garbage: garbage{allocs: allocs}}
	}
	c.come <- []sample{at(100e3, 10, 5), at(300e3, 0, 0), at(1000e3, 0, 0), at(1900e3, 40, 12)}
	var r Result
	if err := c.stop(&r); err != nil {
		t.Fatal(err)
	}
	c.tenths(&r, 20, 30)
	if want := (Result{Seconds: 2, Server: 1800e3, Own: 30, Allocs: 7, First: 10, Last: 30}); r != want {
		t.Errorf("%+v; want %+v", r, want)
	}
	c.come <- []sample{at(0, 0, 0), {err: io.ErrUnexpectedEOF}}
	if err := c.stop(&r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stop = %v, want what a reading said", err)
	}
}

func TestEchoFindsALie(t *testing.T) {
	_, err := measure(t, "echo", "-addr", serve(t, 3), "-n", "2", "-warm", "0s", "-d", "10s")
	if err == nil || !strings.Contains(err.Error(), "wrong answer") {
		t.Errorf("Run = %v, want a wrong answer", err)
	}
}

// A message that was due while the one before it was not answered is late from
// when it was due.
func TestRateCountsFromWhenDue(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	set, err := epoll.New()
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{set: set, m: newMessage(16, false), opcode: 1, echo: true, rate: 1000, stopAt: time.Hour,
		began: time.Now().Add(-10500 * time.Microsecond)}
	defer l.close()
	defer syscall.Close(pair[1])
	if err := l.add(&conn{fd: pair[0]}); err != nil {
		t.Fatal(err)
	}
	wait, err := l.issue(10500 * time.Microsecond)
	if c := l.conns[0]; err != nil || wait != 500*time.Microsecond || c.seq != 1 || c.due != 0 || c.owed != 10 {
		t.Errorf("issue = %v, %v with message %d due at %d and %d owed; want 500µs, message 1 due at 0, 10 owed", wait, err, c.seq, c.due, c.owed)
	}
	l.inFlight--
	if err := l.answered(l.conns[0]); err != nil {
		t.Fatal(err)
	}
	if c := l.conns[0]; c.due != 1e6 || c.owed != 9 || l.latency.max < 10500*time.Microsecond {
		t.Errorf("after the answer the next is due at %d, %d owed, latency %v; want 1000000, 9, at least 10.5ms", c.due, c.owed, l.latency.max)
	}
}

// Answers are counted by when they came: in all, in the first tenth, in the last.
func TestAnswersOfTenths(t *testing.T) {
	l := &loop{once: true, measureFrom: time.Hour, firstEnd: 2 * time.Hour, lastFrom: 10 * time.Hour, stopAt: 11 * time.Hour}
	for _, test := range []struct {
		at          time.Duration
		first, last uint64
		all         uint64
	}{{30 * time.Minute, 0, 0, 0}, {90 * time.Minute, 1, 0, 1}, {5 * time.Hour, 1, 0, 2}, {10*time.Hour + 30*time.Minute, 1, 1, 3}, {12 * time.Hour, 1, 1, 3}} {
		l.began = time.Now().Add(-test.at)
		if err := l.answered(&conn{}); err != nil || l.first != test.first || l.last != test.last || l.latency.count != test.all {
			t.Errorf("after an answer at %v: %d, %d of %d, %v; want %d, %d of %d", test.at, l.first, l.last, l.latency.count, err, test.first, test.last, test.all)
		}
	}
}

func TestIdle(t *testing.T) {
	r, err := measure(t, "idle", "-addr", serve(t, 0), "-n", "30", "-wait", "10ms", "-after", "10ms", "-pid", strconv.Itoa(os.Getpid()))
	if err != nil || r.Conns != 30 || r.Opened <= 0 {
		t.Errorf("Run = %+v, %v", r, err)
	}
}

func TestConnect(t *testing.T) {
	r, err := measureSome(t, "connect", "-addr", serve(t, 0), "-n", "3", "-warm", "1ms", "-pid", strconv.Itoa(os.Getpid()))
	if err != nil || r.Messages == 0 || r.P50 <= 0 {
		t.Errorf("Run = %+v, %v", r, err)
	}
}

func TestParse(t *testing.T) {
	for _, args := range []string{"echo -n 0", "echo -size 15", "echo -d 0s", "echo -rate -1", "idle x", "broadcast", "broadcast -publish x -n 2 -slow 2"} {
		fields := strings.Fields(args)
		if _, err := Parse(fields[0], fields[1:]); err == nil {
			t.Errorf("Parse took %q", args)
		}
	}
}
