package gateway

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"

	"ws-fpm/fastcgi"
)

// decode is the reader of params that php-fpm has, written once more: it knows
// nothing of how ours are made. A name twice is an error.
func decode(p fastcgi.Params) (map[string]string, error) {
	size := func() (n int, ok bool) {
		if len(p) > 0 && p[0] < 0x80 {
			n, p = int(p[0]), p[1:]
			return n, true
		}
		if len(p) < 4 {
			return 0, false
		}
		n, p = int(binary.BigEndian.Uint32(p)&0x7fffffff), p[4:]
		return n, true
	}
	params := map[string]string{}
	for len(p) > 0 {
		name, ok := size()
		value, ok2 := size()
		if !ok || !ok2 || name+value > len(p) {
			return nil, fmt.Errorf("cut short: %x", p)
		}
		n := string(p[:name])
		if _, twice := params[n]; twice {
			return nil, fmt.Errorf("%s twice", n)
		}
		params[n], p = string(p[name:name+value]), p[name+value:]
	}
	return params, nil
}

// A tap takes note of what is sent to PHP, one connection after the other.
type tap struct {
	mu   sync.Mutex // guards what follows
	sent []byte
}

type tapped struct {
	net.Conn
	tap *tap
}

func (t *tap) dial(address string) (net.Conn, error) {
	nc, err := net.Dial("tcp", address)
	return tapped{nc, t}, err
}

func (c tapped) Write(b []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.sent = append(c.tap.sent, b...)
	c.tap.mu.Unlock()
	return c.Conn.Write(b)
}

// params gives the params of each request (FastCGI 1.0, section 3.3: the type
// is a record's second byte, the length its fifth and sixth, the padding its
// seventh).
func (t *tap) params(tb testing.TB) (requests []map[string]string) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	var p fastcgi.Params
	for b := t.sent; len(b) >= 8; {
		n, padding := int(b[4])<<8|int(b[5]), int(b[6])
		const params = 4
		switch {
		case b[1] == params && n > 0:
			p = append(p, b[8:8+n]...)
		case b[1] == params:
			decoded, err := decode(p)
			if err != nil {
				tb.Fatal(err)
			}
			requests, p = append(requests, decoded), nil
		}
		b = b[8+n+padding:]
	}
	return requests
}
