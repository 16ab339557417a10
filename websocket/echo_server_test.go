package websocket

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// With -serve an echo server runs until it is interrupted, for suites and
// clients from outside:
//
//	go test ./websocket -run TestEchoServer -timeout 0 -serve 127.0.0.1:9001
//
// The Autobahn test suite is then pointed at ws://127.0.0.1:9001 with a
// fuzzingclient.json such as
//
//	{"outdir": "reports", "servers": [{"url": "ws://127.0.0.1:9001"}],
//	 "cases": ["*"]}
var serve = flag.String("serve", "", "address on which TestEchoServer serves others")

// An echo is the handler of a connection that sends back what comes.
type echo struct{ c *Conn }

func (e *echo) Message(op Opcode, payload []byte) bool {
	e.c.WriteMessage(op, payload)
	return true
}

func (e *echo) Fail(err *ProtocolError) { e.c.Close(err.Code, "") }
func (e *echo) Shed()                   {}
func (e *echo) Ended(Closing)           {}

// startEcho serves the opening handshake and echoes on address. Messages may
// have 16 MiB, as suites want.
func startEcho(t *testing.T, address string) net.Addr {
	t.Helper()
	s, err := NewServer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		acceptEcho(s, w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); web.Serve(l) }()
	t.Cleanup(func() { web.Close(); <-done })
	return l.Addr()
}

func acceptEcho(s *Server, w http.ResponseWriter, r *http.Request) {
	h, refusal := CheckHandshake(r)
	if refusal != nil {
		for name, values := range refusal.Header {
			w.Header()[name] = values
		}
		http.Error(w, refusal.Reason, refusal.Status)
		return
	}
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	response, err := AppendResponse(nil, h.Key, "", h.Deflate, nil)
	if err == nil {
		nc.SetDeadline(time.Time{})
		_, err = nc.Write(response)
	}
	if err != nil {
		nc.Close()
		return
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	e := new(echo)
	e.c = s.NewConn(nc, e, Limits{MaxMessage: 16 << 20, Deflate: h.Deflate, MessageRate: 1_000_000, Outbox: 64 << 20})
	e.c.Start(bytes.Clone(early))
}

func TestEchoServer(t *testing.T) {
	if *serve != "" {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		t.Logf("echoing on ws://%v", startEcho(t, *serve))
		<-stop
		return
	}
	address := startEcho(t, "127.0.0.1:0").String()
	hello, ping, normal := frame(last, Text, "Hello"), frame(last, opPing, "p"), closeFrame(1000, "")
	for _, test := range []struct {
		name, request string
		status        string
		field         string     // of the response, in full
		frames        []gotFrame // after it
	}{
		{"frames behind the handshake in the same segment", goodHandshake + hello + ping + normal, "101 Switching Protocols",
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", []gotFrame{message(Text, "Hello"), message(opPong, "p"), closed(1000)}},
		{"half a frame behind it, then the rest", goodHandshake + hello[:3], "101 Switching Protocols",
			"Upgrade: websocket", []gotFrame{message(Text, "Hello"), closed(1000)}},
		{"a second request behind it is no request", goodHandshake + "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "101 Switching Protocols",
			"Connection: Upgrade", []gotFrame{closed(1002)}},
		{"another version", edit("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), "426 Upgrade Required", "Sec-Websocket-Version: 13", nil},
		{"no Upgrade", edit("Upgrade:", ""), "426 Upgrade Required", "Upgrade: websocket", nil},
		{"no Connection", edit("Connection", ""), "400 Bad Request", "Connection: close", nil},
		{"POST", edit("GET", "POST /chat HTTP/1.1"), "405 Method Not Allowed", "Allow: GET", nil},
		{"a body that is frames", edit("", "Content-Length: 11") + hello, "400 Bad Request", "Connection: close", nil},
		{"a chunked body", edit("", "Transfer-Encoding: chunked") + "0\r\n\r\n", "400 Bad Request", "Connection: close", nil},
		{"a refused handshake with a request behind it", edit("Sec-WebSocket-Key", "Sec-WebSocket-Key: short") + goodHandshake, "400 Bad Request", "Connection: close", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			nc, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(2 * patience))
			io.WriteString(nc, test.request)
			if strings.HasSuffix(test.request, hello[:3]) {
				io.WriteString(nc, hello[3:]+normal)
			}
			checkEcho(t, bufio.NewReader(nc), test.status, test.field, test.frames)
		})
	}
}

// checkEcho wants a response's head, then frames, then the end.
func checkEcho(t *testing.T, in *bufio.Reader, status, field string, frames []gotFrame) {
	t.Helper()
	head := ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if head += line; err != nil {
			t.Fatalf("head %q: %v", head, err)
		}
	}
	if !strings.HasPrefix(head, "HTTP/1.1 "+status+"\r\n") || !strings.Contains(head, "\r\n"+field+"\r\n") {
		t.Errorf("head %q; want %q, %q", head, status, field)
	}
	if !strings.HasPrefix(status, "101") {
		if rest, err := io.ReadAll(in); err != nil || strings.Contains(string(rest), "HTTP/1.1") {
			t.Errorf("after the refusal: %q, %v; want a reason and the end", rest, err)
		}
		return
	}
	for _, want := range frames {
		if got, err := readFrame(in); got != want || err != nil {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("then %q, %v; want the end", rest, err)
	}
}
