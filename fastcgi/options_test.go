package fastcgi

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) { return nil, io.EOF }
	for _, test := range []struct {
		name string
		opts Options
		want string // part of the error; "" means none
	}{
		{"a unix socket", Options{Network: "unix", Address: "/x"}, ""},
		{"TCP", Options{Network: "tcp", Address: "127.0.0.1:9000"}, ""},
		{"a dialler of one's own", Options{Dial: dial}, ""},
		{"nothing", Options{}, "Network"},
		{"UDP", Options{Network: "udp", Address: "x"}, "Network"},
		{"no address", Options{Network: "unix"}, "Address"},
		{"a negative timeout, which elsewhere means none", Options{Dial: dial, Timeout: -1}, "Timeout is negative"},
		{"a negative queue", Options{Dial: dial, Queue: -1}, "Queue is negative"},
		{"more streams than connections", Options{Dial: dial, MaxConns: 2, MaxStreams: 3}, "MaxStreams"},
		{"as many streams as connections", Options{Dial: dial, MaxConns: 2, MaxStreams: 2}, ""},
	} {
		c, err := New(test.opts)
		switch {
		case test.want == "" && (c == nil || err != nil):
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (c != nil || err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v; want an error about %s", test.name, err, test.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) { return nil, io.EOF }
	o, err := Options{Dial: dial}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.MaxConns != 4 || o.MaxStreams != 2 || o.KeepAlive != 0 || o.KeepAliveBody != 8192 ||
		o.ConnectTimeout != time.Second || o.Timeout != 30*time.Second || o.StreamTimeout != 30*time.Second ||
		o.MaxStream != 10*time.Minute || o.Queue != 1024 || o.QueueTimeout != 5*time.Second || o.Multiplex ||
		o.MaxHead != 16384 || o.MaxHeadLines != 100 || o.MaxStderr != 8192 {
		t.Errorf("%+v", o)
	}
	if o, _ := (Options{Dial: dial, MaxConns: 1}).withDefaults(); o.MaxStreams != 1 {
		t.Errorf("MaxStreams of one connection is %d, want 1", o.MaxStreams)
	}
}

func TestErrorText(t *testing.T) {
	err := error(&Error{Outcome: NotExecuted, Kind: KindConnect, Op: "connecting", Err: io.ErrUnexpectedEOF})
	if got, want := err.Error(), "fastcgi: connecting: unexpected EOF"; got != want || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, want %q, and to wrap its cause", got, want)
	}
	seen := map[string]bool{}
	for k := KindRequest; k <= KindCanceled; k++ {
		seen[k.String()] = true
	}
	for o := Unknown; o <= Executed; o++ {
		seen[o.String()] = true
	}
	if len(seen) != int(KindCanceled)+3 {
		t.Errorf("%d different words: %v", len(seen), seen)
	}
}
