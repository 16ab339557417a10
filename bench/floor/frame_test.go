package floor

import (
	"bytes"
	"strings"
	"testing"
)

func masked(payload string) []byte {
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b := appendHeader(nil, len(payload))
	b[1] |= 0x80
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

func TestFrame(t *testing.T) {
	for _, size := range []int{1, 7, 8, 125, 126, 65535, 65536} {
		want := strings.Repeat("0123456789", size/10+1)[:size]
		wire := masked(want)
		for _, cut := range []int{0, 1, 2, 5, 6, 9, 13, len(wire) - 1} {
			if got, err := frame(bytes.Clone(wire[:min(cut, len(wire)-1)])); got != nil || err != nil {
				t.Errorf("%d bytes cut at %d: frame = %q, %v; want nothing", size, cut, got, err)
			}
		}
		if got, err := frame(bytes.Clone(wire)); string(got) != want || err != nil {
			t.Errorf("%d bytes: frame = %.50q, %v", size, got, err)
		}
	}
	for _, b := range []string{"\x88\x80aaaa", "\x81\x05hello"} {
		if _, err := frame([]byte(b)); err == nil {
			t.Errorf("frame(%q) took it", b)
		}
	}
}

func TestSwitching(t *testing.T) {
	request := "GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if got := switching([]byte(request)); !strings.Contains(string(got), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		t.Errorf("switching = %q", got)
	}
	for i := range request {
		if got := switching([]byte(request[:i])); got != nil {
			t.Errorf("switching(%q) = %q, want nothing", request[:i], got)
		}
	}
}
