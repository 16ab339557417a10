//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"ws-fpm/bench/epoll"
)

// A publisher POSTs messages over one connection, one at a time.
type publisher struct {
	fd      int
	request []byte // head and room for the body
	body    int    // where that begins
	answer  []byte // as far as it has come
	waiting bool
}

func newPublisher(address, target string, size int) (*publisher, error) {
	fd, err := epoll.Dial(address)
	if err != nil {
		return nil, err
	}
	p := &publisher{fd: fd}
	p.request = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", target, size)
	p.body = len(p.request)
	p.request = append(p.request, make([]byte, size)...)
	return p, nil
}

func (p *publisher) idle() bool { return !p.waiting }

func (p *publisher) send(body []byte) error {
	copy(p.request[p.body:], body)
	p.waiting, p.answer = true, p.answer[:0]
	if n, err := epoll.Write(p.fd, p.request); err != nil || n < len(p.request) {
		return fmt.Errorf("publishing: %d of %d bytes: %v", n, len(p.request), err)
	}
	return nil
}

// read takes a part of the answer.
func (p *publisher) read(buf []byte) error {
	n, err := epoll.Read(p.fd, buf)
	if err == syscall.EAGAIN {
		return nil
	}
	if n == 0 || err != nil {
		return fmt.Errorf("publishing: closed after %d bytes of an answer: %v", len(p.answer), err)
	}
	p.answer = append(p.answer, buf[:n]...)
	whole, err := answered(p.answer)
	p.waiting = p.waiting && !whole
	return err
}

// answered reports whether b holds the whole answer to a POST. One that is no
// success is an error.
func answered(b []byte) (whole bool, err error) {
	head, body, found := bytes.Cut(b, []byte("\r\n\r\n"))
	if !found {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 2")) {
		return false, fmt.Errorf("publishing: %.200q", b)
	}
	length := 0
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, fmt.Errorf("publishing: %q", line)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return false, errors.New("publishing: the answer has no length, which this program needs")
		}
	}
	return len(body) >= length, nil
}
