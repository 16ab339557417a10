package fpm

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// call runs a script by FastCGI and gives all it printed, headers and errors
// included, or the reason why that is not known.
func call(network, address, file string) string {
	conn, err := net.Dial(network, address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var params []byte
	for _, pair := range [][2]string{
		{"SCRIPT_FILENAME", file}, {"REQUEST_METHOD", "GET"}, {"CONTENT_LENGTH", "0"},
	} {
		params = append(params, byte(len(pair[0])), byte(len(pair[1])))
		params = append(params, pair[0]+pair[1]...)
	}
	record := func(kind byte, content []byte) []byte {
		b := append([]byte{1, kind, 0, 1}, 0, 0, 0, 0)
		binary.BigEndian.PutUint16(b[4:], uint16(len(content)))
		return append(b, content...)
	}
	request := record(1, []byte{0, 1, 0, 0, 0, 0, 0, 0})
	request = append(request, record(4, params)...)
	request = append(request, record(4, nil)...)
	request = append(request, record(5, nil)...)
	if _, err := conn.Write(request); err != nil {
		return err.Error()
	}
	var out strings.Builder
	for {
		var header [8]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return out.String() + " (cut off: " + err.Error() + ")"
		}
		content := make([]byte, int(binary.BigEndian.Uint16(header[4:]))+int(header[6]))
		if _, err := io.ReadFull(conn, content); err != nil {
			return out.String() + " (cut off: " + err.Error() + ")"
		}
		if header[1] == 3 {
			return out.String()
		}
		out.Write(content[:len(content)-int(header[6])])
	}
}

// run runs a script on a server.
func run(t *testing.T, s *Server, text string) string {
	t.Helper()
	network, address := s.Addr()
	return call(network, address, script(t, text))
}
