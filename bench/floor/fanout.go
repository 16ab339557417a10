//go:build linux

package floor

import (
	"bytes"
	"strconv"
	"syscall"

	"ws-fpm/bench/epoll"
)

// A fanout has subscribers and takes POSTs.
type fanout struct {
	set         *epoll.Set
	subscribers []int // descriptors
	publishers  map[int]bool
	pending     map[int][]byte // what came of a handshake or a POST
	buf         []byte
	frame       []byte
}

// Fanout writes what is POSTed to publish to all who are connected to listen,
// for ever: a loop that only writes.
func Fanout(listen, publish string) error {
	set, err := epoll.New()
	if err != nil {
		return err
	}
	var listeners [2]int
	for i, address := range []string{listen, publish} {
		if listeners[i], err = epoll.Listen(address); err != nil {
			return err
		}
		if err := set.Add(listeners[i], epoll.In); err != nil {
			return err
		}
	}
	f := &fanout{set: set, publishers: map[int]bool{}, pending: map[int][]byte{}, buf: make([]byte, 64<<10)}
	for {
		events, err := set.Wait()
		if err != nil {
			return err
		}
		for _, e := range events {
			switch fd := int(e.Fd); fd {
			case listeners[0], listeners[1]:
				f.accept(fd, fd == listeners[1])
			default:
				f.read(fd)
			}
		}
	}
}

func (f *fanout) accept(listener int, publisher bool) {
	for {
		fd, err := epoll.Accept(listener)
		if err != nil {
			return
		}
		if publisher {
			f.publishers[fd] = true
		}
		f.pending[fd] = nil
		f.set.Add(fd, epoll.In)
	}
}

func (f *fanout) read(fd int) {
	n, err := epoll.Read(fd, f.buf)
	if err == syscall.EAGAIN {
		return
	}
	if n == 0 {
		syscall.Close(fd)
		delete(f.publishers, fd)
		delete(f.pending, fd)
		for i, s := range f.subscribers {
			if s == fd {
				f.subscribers = append(f.subscribers[:i], f.subscribers[i+1:]...)
				break
			}
		}
		return
	}
	b := append(f.pending[fd], f.buf[:n]...)
	f.pending[fd] = b[:0]
	switch {
	case !f.publishers[fd]:
		answer := switching(b)
		if answer == nil {
			f.pending[fd] = b
			return
		}
		epoll.Write(fd, answer)
		f.subscribers = append(f.subscribers, fd)
	case posted(b) == nil:
		f.pending[fd] = b
	default:
		body := posted(b)
		f.frame = append(appendHeader(f.frame[:0], len(body)), body...)
		for _, s := range f.subscribers {
			epoll.Write(s, f.frame)
		}
		epoll.Write(fd, []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	}
}

// posted gives the body of a POST, or nothing if b does not hold a whole one.
func posted(b []byte) []byte {
	const field = "\r\nContent-Length: "
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	_, value, found := bytes.Cut(head, []byte(field))
	if !found {
		return nil
	}
	value, _, _ = bytes.Cut(value, []byte("\r\n"))
	length, err := strconv.Atoi(string(value))
	if err != nil || length == 0 || len(body) < length {
		return nil
	}
	return body[:length]
}
