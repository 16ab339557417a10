//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// idSize is the part of a message that is its own: connection and sequence
// number, eight hexadecimal digits each. All behind it is the same in every
// message.
const idSize = 16

// maskKey masks all we send; not zero, so that the server has work to do.
var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// conn is one WebSocket connection: a socket and how far reading and writing
// have come.
type conn struct {
	fd     int
	number uint32 // of this connection
	seq    uint32 // of the message in flight

	sent   int   // bytes of it handed to the socket
	sentAt int64 // nanoseconds, on the loop's clock
	wantW  bool  // epoll is asked for writability

	// The answer, as far as it came.
	header  [14]byte
	have    int    // bytes of the frame header
	op      byte   // of the frame
	fin     bool   // of the frame
	left    uint64 // bytes of the frame's payload still to come
	got     int    // bytes of the message's payload that came and were right
	control []byte // payload of a control frame in progress
	pong    []byte // a pong frame not sent yet
}

// open connects and shakes hands, all blocking.
func open(addr, path string, number uint32) (*conn, error) {
	fd, err := dial(addr)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, number: number}
	if err := c.handshake(addr, path); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	return c, nil
}

func dial(addr string) (int, error) {
	family, to := syscall.AF_INET, syscall.Sockaddr(nil)
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		family, to = syscall.AF_UNIX, &syscall.SockaddrUnix{Name: path}
	} else {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			return -1, err
		}
		if ip := a.IP.To4(); ip != nil {
			to = &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
		} else {
			family, to = syscall.AF_INET6, &syscall.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
		}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if family != syscall.AF_UNIX {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	if err := syscall.Connect(fd, to); err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	return fd, nil
}

// handshake sends what a browser sends, some 700 bytes.
func (c *conn) handshake(addr, path string) error {
	host := addr
	if strings.HasPrefix(addr, "unix:") {
		host = "localhost"
	}
	request := "GET " + path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n" +
		"Upgrade: websocket\r\nOrigin: http://" + host + "\r\nSec-WebSocket-Version: 13\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n" +
		"Cookie: PHPSESSID=" + strings.Repeat("0123456789abcdef", 2) + "; theme=dark; consent=" + strings.Repeat("c", 160) + "\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
	if err := writeAll(c.fd, []byte(request)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	// Byte by byte past the first piece would be slow; nothing may follow the
	// head, for nobody has spoken yet.
	var head []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		n, err := syscall.Read(c.fd, buf)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n == 0 || len(head) > 64<<10 {
			return fmt.Errorf("handshake: %d bytes of an answer, then %v", len(head), err)
		}
		head = append(head, buf[:n]...)
	}
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	switch {
	case !bytes.HasPrefix(line, []byte("HTTP/1.1 101 ")):
		return fmt.Errorf("handshake: %q", line)
	case !bytes.Contains(head, []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")):
		return errors.New("handshake: not the Sec-WebSocket-Accept of our key")
	case bytes.Contains(bytes.ToLower(head), []byte("sec-websocket-extensions:")):
		return errors.New("handshake: the server compresses, which this program cannot read")
	case !bytes.HasSuffix(head, []byte("\r\n\r\n")):
		return errors.New("handshake: the server spoke first; this program needs an echo")
	}
	return nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// A message is a frame being sent by one loop: the buffer is filled once, and
// only its id changes from message to message.
type message struct {
	plain []byte // the payload, whose first idSize bytes are the id's room
	wire  []byte // the masked frame
	body  int    // where the payload begins in wire
}

func newMessage(size int, binaryType bool) *message {
	m := &message{plain: bytes.Repeat([]byte("ws-fpm"), size/6+1)[:size]}
	first := byte(0x81)
	if binaryType {
		first = 0x82
	}
	switch {
	case size < 126:
		m.wire = append(m.wire, first, 0x80|byte(size))
	case size < 1<<16:
		m.wire = binary.BigEndian.AppendUint16(append(m.wire, first, 0x80|126), uint16(size))
	default:
		m.wire = binary.BigEndian.AppendUint64(append(m.wire, first, 0x80|127), uint64(size))
	}
	m.wire = append(m.wire, maskKey[:]...)
	m.body = len(m.wire)
	for i, b := range m.plain {
		m.wire = append(m.wire, b^maskKey[i&3])
	}
	return m
}

// set writes the id of a connection's message.
func (m *message) set(number, seq uint32) {
	id := uint64(number)<<32 | uint64(seq)
	for i := range idSize {
		b := "0123456789abcdef"[id>>(60-4*i)&15]
		m.plain[i] = b
		m.wire[m.body+i] = b ^ maskKey[i&3]
	}
}
