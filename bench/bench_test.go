//go:build linux

package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
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
		{"two answers", long + long, "opcode 1", "", true},
		{"a close", frameOf(0x88, "\x03\xe8"), "closed with 03e8", "", false},
		{"a mask", "\x81\x85", "masked", "", false},
		{"a reserved bit", "\xc1\x00", "reserved", "", false},
	} {
		for _, step := range []int{len(test.wire), 1, 3} {
			c, complete, failed := &conn{}, false, ""
			for part := range slices.Chunk([]byte(test.wire), step) {
				done, err := c.feed(part, []byte(want), 1)
				if complete = complete || done; err != nil {
					failed = err.Error()
					break
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

func TestParseStat(t *testing.T) {
	got, err := parseStat("1 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 250 50 7 7 20 0")
	if want := 3 * time.Second; got != want || err != nil {
		t.Errorf("parseStat = %v, %v; want %v", got, err, want)
	}
	if _, err := parseStat("1 (a) S 1"); err == nil {
		t.Error("parseStat took a short line")
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

func TestEcho(t *testing.T) {
	addr, pid := serve(t, 0), os.Getpid()
	for _, size := range []string{"16", "125", "126", "60000"} {
		var out strings.Builder
		err := run([]string{"echo", "-addr", addr, "-n", "5", "-threads", "2", "-size", size, "-warm", "10ms", "-d", "50ms",
			"-pid", strconv.Itoa(pid)}, &out)
		if err != nil {
			t.Fatalf("%s bytes: %v", size, err)
		}
		if ok, _ := regexp.MatchString(`messages   [1-9].*\nlatency .*\nserver .*\ngenerator `, out.String()); !ok {
			t.Errorf("%s bytes: printed %q", size, out.String())
		}
	}
}

func TestEchoFindsALie(t *testing.T) {
	err := run([]string{"echo", "-addr", serve(t, 3), "-n", "2", "-warm", "0s", "-d", "1s"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "wrong answer") {
		t.Errorf("run = %v, want a wrong answer", err)
	}
}

func TestIdle(t *testing.T) {
	var out strings.Builder
	err := run([]string{"idle", "-addr", serve(t, 0), "-n", "20", "-wait", "10ms", "-pid", strconv.Itoa(os.Getpid())}, &out)
	if err != nil || !strings.Contains(out.String(), "bytes per connection") {
		t.Errorf("run = %v, printed %q", err, out.String())
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {"echo", "-n", "0"}, {"echo", "-size", "15"}, {"echo", "-d", "0s"}, {"idle", "x"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("run(%q) took it", args)
		}
	}
}
