package fastcgi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A peer is a scripted FastCGI server at the other end of pipes.
type server struct {
	t *testing.T

	// serve handles the nth connection, from 0 on. Nil means php(nil).
	serve func(n int, s *session)

	// unbuffered servers take nothing from a connection before they read it,
	// as if the socket's buffers were full.
	unbuffered bool

	mu      sync.Mutex
	dials   int
	refuse  error // dialling fails with it
	open    int   // connections now
	maxOpen int
	runs    []string // bodies of the requests that were run, in order
}

func (p *server) dial(context.Context) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.dials
	p.dials++
	if p.refuse != nil {
		return nil, p.refuse
	}
	p.open++
	p.maxOpen = max(p.maxOpen, p.open)
	ours, theirs := net.Pipe()
	serve := p.serve
	if serve == nil {
		serve = func(_ int, s *session) { s.php(nil) }
	}
	s := &session{Conn: theirs, peer: p}
	if !p.unbuffered {
		s.in = newInbox(theirs)
	}
	go func() {
		defer theirs.Close()
		serve(n, s)
	}()
	return &countedConn{Conn: ours, peer: p}, nil
}

func (p *server) setRefuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = err
}

func (p *server) count() (dials, open, maxOpen int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials, p.open, p.maxOpen
}

func (p *server) ran() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.runs...)
}

// client returns a client of p. The test closes it.
func (p *server) client(o Options) *Client {
	p.t.Helper()
	o.Dial = p.dial
	c, err := New(o)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// acceptFrom serves whoever comes to l, until that is closed.
func (p *server) acceptFrom(l net.Listener, wg *sync.WaitGroup, serve func(*session)) {
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				serve(&session{Conn: nc, peer: p})
			})
		}
	})
}

type countedConn struct {
	net.Conn
	peer *server
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.peer.mu.Lock()
		c.peer.open--
		c.peer.mu.Unlock()
	})
	return c.Conn.Close()
}

// A session is one connection seen from the server.
type session struct {
	net.Conn
	peer *server
	in   *inbox // nil: unbuffered
}

func (s *session) Read(b []byte) (int, error) {
	if s.in == nil {
		return s.Conn.Read(b)
	}
	return s.in.Read(b)
}

// An inbox is what the kernel does for a socket: it takes in what comes.
type inbox struct {
	mu   sync.Mutex
	more sync.Cond
	buf  bytes.Buffer
	err  error
}

func newInbox(c net.Conn) *inbox {
	in := new(inbox)
	in.more.L = &in.mu
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			in.mu.Lock()
			in.buf.Write(b[:n])
			in.err = err
			in.more.Broadcast()
			in.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return in
}

func (in *inbox) Read(b []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.buf.Len() == 0 {
		if in.err != nil {
			return 0, in.err
		}
		in.more.Wait()
	}
	return in.buf.Read(b)
}

type record struct {
	typ     uint8
	id      uint16
	content []byte
}

func (s *session) record() (record, error) {
	var hdr [headerLen]byte
	if _, err := io.ReadFull(s, hdr[:]); err != nil {
		return record{}, err
	}
	body := make([]byte, int(binary.BigEndian.Uint16(hdr[4:]))+int(hdr[6]))
	if _, err := io.ReadFull(s, body); err != nil {
		return record{}, err
	}
	return record{hdr[1], binary.BigEndian.Uint16(hdr[2:]), body[:binary.BigEndian.Uint16(hdr[4:])]}, nil
}

// A call is one request as the server understood it.
type call struct {
	id     uint16
	keep   bool
	params map[string]string
	body   []byte
}

var errNotRequest = errors.New("not a request's record")

// request reads a whole request. GET_VALUES before it are skipped.
func (s *session) request() (call, error) {
	var c call
	var params []byte
	for ended := 0; ended < 2; {
		r, err := s.record()
		if err != nil {
			return call{}, err
		}
		switch r.typ {
		case typeBegin:
			c.id, c.keep = r.id, r.content[2]&flagKeepConn != 0
		case typeParams, typeStdin:
			if r.id != c.id {
				return call{}, fmt.Errorf("record of request %d in request %d", r.id, c.id)
			}
			switch {
			case len(r.content) == 0:
				ended++
			case r.typ == typeParams:
				params = append(params, r.content...)
			default:
				c.body = append(c.body, r.content...)
			}
		case typeGetValues:
		default:
			return call{}, errNotRequest
		}
	}
	c.params = map[string]string{}
	for len(params) > 0 {
		name, value, n, err := parsePair(params)
		if err != nil {
			return call{}, err
		}
		c.params[string(name)] = string(value)
		params = params[n:]
	}
	s.peer.mu.Lock()
	s.peer.runs = append(s.peer.runs, string(c.body))
	s.peer.mu.Unlock()
	return c, nil
}

// php behaves as php-fpm 8.2: one request at a time, GET_VALUES answered
// between them. reply says what is sent for the nth request of a connection;
// nil means that the body comes back.
func (s *session) php(reply func(n int, c call) []byte) {
	for n := 0; ; n++ {
		c, err := s.request()
		if err != nil {
			return
		}
		out := echo(c)
		if reply != nil {
			out = reply(n, c)
		}
		if _, err := s.Write(out); err != nil || !c.keep {
			return
		}
		if r, err := s.record(); err != nil || r.typ != typeGetValues {
			return
		}
		s.Write(resultRecord("0"))
	}
}

func echo(c call) []byte { return whole(c.id, "", string(c.body)) }

// whole is a complete reply.
func whole(id uint16, head, body string) []byte {
	b := rec(typeStdout, id, head+"Content-type: text/plain\r\n\r\n"+body)
	return append(b, endRecord(id, statusComplete)...)
}

func rec(typ uint8, id uint16, content string) []byte {
	var b []byte
	for {
		n := min(len(content), 65535)
		b = append(appendHeader(b, typ, id, n), content[:n]...)
		if content = content[n:]; content == "" {
			return b
		}
	}
}

func padded(typ uint8, id uint16, content string, padding int) []byte {
	b := rec(typ, id, content)
	b[6] = byte(padding)
	return append(b, bytes.Repeat([]byte{0xee}, padding)...)
}

// endRecord has garbage where php-fpm has it.
func endRecord(id uint16, status uint8) []byte {
	return rec(typeEnd, id, string([]byte{0, 0, 0, 0, status, 'm', 'l', ';'}))
}

func resultRecord(value string) []byte {
	return rec(typeResult, 0, string(appendPair(nil, mpxsConns, value)))
}

// params is a parameter block.
func params(t testing.TB, pairs ...string) Params {
	t.Helper()
	var p Params
	for i := 0; i < len(pairs); i += 2 {
		var err error
		if p, err = AppendParam(p, pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// closeNow ends c and everything it holds, at the end of a synctest bubble.
func closeNow(c *Client) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Close(ctx)
	time.Sleep(time.Hour) // until servers that sleep have ended
}

// post sends body and returns the whole reply.
func post(c *Client, body string) (string, error) {
	ctx, req := context.Background(), &Request{Body: []byte(body)}
	got := make(wholes, 1)
	if viaStart && c.Start(ctx, req, 1<<20, got) {
		w := <-got
		return w.body, w.err
	}
	r, err := c.Do(ctx, req)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := r.AppendBody(nil, 1<<20)
	return string(b), err
}

// wholes receive replies that have come whole.
type wholes chan struct {
	body string
	err  error
}

func (got wholes) Received(r *Response, err error) {
	w := struct {
		body string
		err  error
	}{"", err}
	switch {
	case err != nil:
	case !r.Whole():
		return
	default:
		room := r.RoomAndBody()
		for i := range BodyRoom { // it is ours
			room[i] = 'R'
		}
		w.body = string(r.Body())
	}
	got <- w
}

// failure describes an error as tests compare it.
func failure(err error) string {
	if err == nil {
		return "none"
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return "not an *Error: " + err.Error()
	}
	return e.Outcome.String() + ", " + e.Kind.String()
}

var errRefused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}

// perform is c.Do or, in the second round of all tests, Start with a receiver that
// takes the reply as soon as there is one.
func perform(c *Client, ctx context.Context, req *Request) (*Response, error) {
	got := make(outcomes, 1)
	if !viaStart || !c.Start(ctx, req, 1<<30, got) {
		return c.Do(ctx, req)
	}
	o := <-got
	return o.r, o.err
}

// viaStart is whether this is the second round.
var viaStart bool

type outcomes chan struct {
	r   *Response
	err error
}

func (got outcomes) Received(r *Response, err error) {
	if err != nil {
		r = nil
	} else {
		r.Detach()
	}
	got <- struct {
		r   *Response
		err error
	}{r, err}
}
