//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// perSource is how many connections have the same address of ours: the system
// has 28,000 ports for one.
const perSource = 20000

// bindLater is IP_BIND_ADDRESS_NO_PORT: a port is chosen when it is known who
// is connected to.
const bindLater = 24

// patience is how long a connect and each step of a handshake may take.
const patience = 20 * time.Second

// A server is where connections are opened, and the request that does it.
type server struct {
	family  int
	to      syscall.Sockaddr
	addr    string
	request []byte
	head    []byte // of the answer
}

// newServer resolves an address. Without offer the request lacks the one for
// compression, which some servers take without being told to.
func newServer(addr, path string, offer bool) (*server, error) {
	s := &server{addr: addr, family: syscall.AF_INET, head: make([]byte, 0, 4096)}
	host := addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		s.family, s.to, host = syscall.AF_UNIX, &syscall.SockaddrUnix{Name: path}, "localhost"
	} else {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			return nil, err
		}
		if ip := a.IP.To4(); ip != nil {
			s.to = &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
		} else {
			s.family, s.to = syscall.AF_INET6, &syscall.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
		}
	}
	request := browserRequest(host, path)
	if offer {
		request += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	s.request = []byte(request + "\r\n")
	return s, nil
}

// browserRequest is what a browser sends, some 700 bytes with its offer.
func browserRequest(host, path string) string {
	return "GET " + path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n" +
		"Upgrade: websocket\r\nOrigin: http://" + host + "\r\nSec-WebSocket-Version: 13\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n" +
		"Cookie: PHPSESSID=" + strings.Repeat("0123456789abcdef", 2) + "; theme=dark; consent=" + strings.Repeat("c", 160) + "\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
}

// dial connects, blocking, as the client of a number.
func (s *server) dial(number int) (int, error) {
	fd, err := syscall.Socket(s.family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := syscall.NsecToTimeval(int64(patience))
	for _, option := range []int{syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO} {
		if err == nil {
			err = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, option, &limit)
		}
	}
	if err == nil && s.family != syscall.AF_UNIX {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	if source := number / perSource; err == nil && source > 0 && s.family == syscall.AF_INET {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, bindLater, 1)
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, byte(source >> 8), byte(source)}})
	}
	if err == nil {
		// Interrupted, it goes on connecting, and the next call waits for that.
		for err = syscall.EINTR; err == syscall.EINTR; {
			err = syscall.Connect(fd, s.to)
		}
	}
	if err != nil && err != syscall.EISCONN {
		syscall.Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", s.addr, err)
	}
	return fd, nil
}

// open connects and shakes hands, all blocking, and gives a non-blocking
// socket.
func (s *server) open(number int) (int, error) {
	fd, err := s.dial(number)
	if err != nil {
		return -1, err
	}
	if err = s.handshake(fd); err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (s *server) handshake(fd int) error {
	if err := writeAll(fd, s.request); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	s.head = s.head[:0]
	for !bytes.Contains(s.head, []byte("\r\n\r\n")) {
		n, err := syscall.Read(fd, s.head[len(s.head):cap(s.head)])
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return fmt.Errorf("handshake: %d bytes of an answer, then %v", len(s.head), err)
		}
		s.head = s.head[:len(s.head)+n]
	}
	line, _, _ := bytes.Cut(s.head, []byte("\r\n"))
	switch {
	case !bytes.HasPrefix(line, []byte("HTTP/1.1 101 ")):
		return fmt.Errorf("handshake: %q", line)
	case !bytes.Contains(s.head, []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")):
		return errors.New("handshake: not the Sec-WebSocket-Accept of our key")
	case bytes.Contains(bytes.ToLower(s.head), []byte("sec-websocket-extensions:")):
		return errors.New("handshake: the server compresses, which this program cannot read")
	case !bytes.HasSuffix(s.head, []byte("\r\n\r\n")):
		return errors.New("handshake: the server spoke first, though nobody has asked")
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

// raiseLimit makes sure that this process may hold so many connections.
func raiseLimit(conns int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(conns + 64); limit.Cur < need {
		limit.Cur = need
		limit.Max = max(limit.Max, need)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("%d connections need as many file descriptors: %w", conns, err)
		}
	}
	return nil
}
