// Package lean is a FastCGI client of the kind that somebody writes who wants
// speed and nothing else: a fixed number of kept connections, one write per
// request, no limits, no checks, no headers of the client's.
package lean

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"net"
	"strconv"
)

// A Client is a pool of connections to php-fpm.
type Client struct {
	socket string
	params []byte // of every request
	idle   chan *conn
}

// A conn belongs to one request at a time.
type conn struct {
	net net.Conn
	out []byte
	in  []byte // what was read
}

// Flags parses the flags that all peers have and makes a client of them.
func Flags() (listen string, client *Client) {
	l := flag.String("listen", "127.0.0.1:8080", "`address`, host:port")
	socket := flag.String("php", "/tmp/ws-fpm-bench.sock", "php-fpm's unix socket")
	script := flag.String("script", "/none.php", "SCRIPT_FILENAME")
	conns := flag.Int("conns", 4, "connections to php-fpm")
	flag.Parse()
	return *l, New(*socket, *script, *conns)
}

// New makes a client with so many connections, which it opens when it needs them.
func New(socket, script string, conns int) *Client {
	c := &Client{socket: socket, idle: make(chan *conn, conns)}
	for _, p := range [][2]string{
		{"SCRIPT_FILENAME", script}, {"SCRIPT_NAME", "/ws.php"}, {"REQUEST_METHOD", "POST"},
		{"REQUEST_URI", "/ws"}, {"CONTENT_TYPE", "text/plain"}, {"SERVER_PROTOCOL", "HTTP/1.1"},
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"REDIRECT_STATUS", "200"},
	} {
		c.params = appendParam(c.params, p[0], p[1])
	}
	for range conns {
		c.idle <- &conn{}
	}
	return c
}

// Do runs the script with a body and hands what it printed to use, which may
// not keep it.
func (c *Client) Do(body []byte, use func([]byte) error) error {
	k := <-c.idle
	defer func() { c.idle <- k }()
	if k.net == nil {
		n, err := net.Dial("unix", c.socket)
		if err != nil {
			return err
		}
		k.net = n
	}
	k.out = k.request(k.out[:0], c.params, body)
	if _, err := k.net.Write(k.out); err != nil {
		return k.fail(err)
	}
	answer, err := k.answer()
	if err != nil {
		return k.fail(err)
	}
	return use(answer)
}

func (k *conn) fail(err error) error {
	k.net.Close()
	k.net = nil
	return err
}

func (k *conn) request(b, params, body []byte) []byte {
	var digits [20]byte
	length := strconv.AppendInt(digits[:0], int64(len(body)), 10)
	size := len(params) + 2 + len("CONTENT_LENGTH") + len(length)
	b = append(b, 1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0) // BEGIN_REQUEST, responder, KEEP_CONN
	b = append(b, 1, 4, 0, 1, byte(size>>8), byte(size), 0, 0)
	b = append(b, params...)
	b = append(b, byte(len("CONTENT_LENGTH")), byte(len(length)))
	b = append(b, "CONTENT_LENGTH"...)
	b = append(b, length...)
	b = append(b, 1, 4, 0, 1, 0, 0, 0, 0)
	for len(body) > 0 {
		n := min(len(body), 65535)
		b = append(b, 1, 5, 0, 1, byte(n>>8), byte(n), 0, 0)
		b = append(b, body[:n]...)
		body = body[n:]
	}
	return append(b, 1, 5, 0, 1, 0, 0, 0, 0)
}

// answer reads until END_REQUEST, and joins what the script printed at the
// start of the buffer that it read into.
func (k *conn) answer() ([]byte, error) {
	if cap(k.in) == 0 {
		k.in = make([]byte, 0, 16<<10)
	}
	k.in = k.in[:0]
	body, next := 0, 0 // k.in[:body] is joined, a record begins at next
	for {
		if len(k.in) == cap(k.in) {
			k.in = append(k.in, make([]byte, cap(k.in))...)[:len(k.in)]
		}
		n, err := k.net.Read(k.in[len(k.in):cap(k.in)])
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		k.in = k.in[:len(k.in)+n]
		for len(k.in)-next >= 8 {
			kind := k.in[next+1]
			length := int(binary.BigEndian.Uint16(k.in[next+4:]))
			whole := 8 + length + int(k.in[next+6])
			if len(k.in)-next < whole {
				break
			}
			if kind == 6 {
				body += copy(k.in[body:], k.in[next+8:next+8+length])
			}
			next += whole
			if kind == 3 {
				_, answer, found := bytes.Cut(k.in[:body], []byte("\r\n\r\n"))
				if !found {
					return nil, errors.New("an answer without a head")
				}
				return answer, nil
			}
		}
	}
}

func appendParam(b []byte, name, value string) []byte {
	for _, n := range []int{len(name), len(value)} {
		if n < 128 {
			b = append(b, byte(n))
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
		}
	}
	return append(append(b, name...), value...)
}
