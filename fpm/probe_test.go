package fpm

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		want         error
	}{
		{"a result", "\x01\x0a\x00\x00\x00\x12\x00\x00\x0f\x01FCGI_MPXS_CONNS0", nil},
		{"an empty result", "\x01\x0a\x00\x00\x00\x00\x00\x00", nil},
		{"nothing", "", io.EOF},
		{"half a header", "\x01\x0a\x00\x00", io.ErrUnexpectedEOF},
		{"another record", "\x01\x03\x00\x00\x00\x08\x00\x00", errNotFastCGI},
		{"another version", "\x02\x0a\x00\x00\x00\x00\x00\x00", errNotFastCGI},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", errNotFastCGI},
	} {
		l := listen(t)
		asked := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			question := make([]byte, len(getValues))
			io.ReadFull(conn, question)
			asked <- string(question)
			io.WriteString(conn, test.answer)
		}()
		if err := probe(t.Context(), "unix", l.Addr().String()); !errors.Is(err, test.want) {
			t.Errorf("%s: probe = %v, want %v", test.name, err, test.want)
		}
		if got := <-asked; got != getValues {
			t.Errorf("%s: asked %q, want %q", test.name, got, getValues)
		}
	}
}

func TestReadyAsksAgain(t *testing.T) {
	l := listen(t)
	go func() {
		for _, answer := range []string{"", "HTTP/1.1", "\x01\x0a\x00\x00\x00\x00\x00\x00"} {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(conn, make([]byte, len(getValues)))
			io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	if err := ready(t.Context(), "unix", l.Addr().String()); err != nil {
		t.Errorf("ready = %v, want nil at the third answer", err)
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := ready(ctx, "unix", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("ready without a server = nil")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
