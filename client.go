package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"ws-fpm/websocket"
)

// A client is the least WebSocket client that can ask one question: the demo
// asks it of its own server, over the way that a browser takes.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	stop func() bool // ends the watch on the context
}

// maxAnswer is the longest answer that the client takes, in bytes.
const maxAnswer = 16 << 20

// dialWebSocket connects. The end of ctx ends the connection too.
func dialWebSocket(ctx context.Context, address, path string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if err := c.handshake(address, path); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() {
	c.stop()
	c.conn.Close()
}

// handshake does the client's part of RFC 6455, section 4.1.
func (c *client) handshake(host, path string) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	request, err := http.NewRequest(http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return err
	}
	request.Header = http.Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-WebSocket-Key":     {key},
		"Sec-WebSocket-Version": {"13"},
	}
	if err := request.Write(c.conn); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.r, request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	if response.Header.Get("Sec-WebSocket-Accept") != websocket.AcceptKey(key) {
		return errors.New("the server does not speak WebSocket")
	}
	return nil
}

// send sends a short text.
func (c *client) send(text string) error {
	if len(text) > 125 {
		return errors.New("text too long for the smallest frame")
	}
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, make([]byte, 4)...)
	key := frame[2:6]
	rand.Read(key)
	for i := range len(text) {
		frame = append(frame, text[i]^key[i%4])
	}
	_, err := c.conn.Write(frame)
	return err
}

// receive returns the next message, of as many frames as it has.
func (c *client) receive() (string, error) {
	var message []byte
	for {
		var head [2]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return "", err
		}
		length, err := c.length(head[1])
		if err != nil {
			return "", err
		}
		if length > uint64(maxAnswer-len(message)) {
			return "", errors.New("answer too long")
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(c.r, payload); err != nil {
			return "", err
		}
		switch opcode := head[0] & 0xF; {
		case opcode == 8:
			return "", fmt.Errorf("closed: %q", payload)
		case opcode > 8:
			continue // a ping or pong: we do not stay long enough to answer
		}
		message = append(message, payload...)
		if head[0]&0x80 != 0 {
			return string(message), nil
		}
	}
}

// length reads the rest of a frame's length, of which b is the first byte.
func (c *client) length(b byte) (uint64, error) {
	var long [8]byte
	switch b {
	case 126:
		_, err := io.ReadFull(c.r, long[6:])
		return binary.BigEndian.Uint64(long[:]), err
	case 127:
		_, err := io.ReadFull(c.r, long[:])
		return binary.BigEndian.Uint64(long[:]), err
	}
	return uint64(b), nil
}
