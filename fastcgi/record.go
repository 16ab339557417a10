package fastcgi

import (
	"encoding/binary"
	"fmt"
)

// Constants of FastCGI 1.0, section 8.
const (
	version1  = 1
	headerLen = 8

	typeBegin     = 1
	typeEnd       = 3
	typeParams    = 4
	typeStdin     = 5
	typeStdout    = 6
	typeStderr    = 7
	typeGetValues = 9
	typeResult    = 10
	typeUnknown   = 11

	roleResponder = 1
	flagKeepConn  = 1

	statusComplete   = 0
	statusCantMpx    = 1
	statusOverloaded = 2
	statusRole       = 3

	mpxsConns = "FCGI_MPXS_CONNS"
)

// maxContent is the longest record content we send: a multiple of eight, so
// that no record wants padding. php-fpm wants content and padding together to
// stay within 65535 bytes.
const maxContent = 65528

// A header is what every record begins with (FastCGI 1.0 section 3.3).
type header struct {
	typ     uint8
	id      uint16
	content uint16
	padding uint8
}

// parseHeader decodes a record header. The version is all that is checked
// here; whether the record is legal now is for the mux to say.
func parseHeader(b *[headerLen]byte) (header, error) {
	if b[0] != version1 {
		return header{}, fmt.Errorf("record of version %d", b[0])
	}
	return header{
		typ:     b[1],
		id:      binary.BigEndian.Uint16(b[2:]),
		content: binary.BigEndian.Uint16(b[4:]),
		padding: b[6],
	}, nil
}

func appendHeader(b []byte, typ uint8, id uint16, content int) []byte {
	return append(b, version1, typ, byte(id>>8), byte(id), byte(content>>8), byte(content), 0, 0)
}

// wireSize is at least how long a request is, FCGI_GET_VALUES included, if no
// record of it is cut short for a pair that does not fit.
func wireSize(blocks []Params, tail, body int) int {
	n := tail
	for _, p := range blocks {
		n += len(p)
	}
	records := 7 + n/maxContent + body/maxContent // BEGIN, the last ones, GET_VALUES
	return n + body + (records+4)*headerLen
}

func appendBegin(b []byte, id uint16, keep bool) []byte {
	var flags byte
	if keep {
		flags = flagKeepConn
	}
	b = appendHeader(b, typeBegin, id, 8)
	return append(b, 0, roleResponder, flags, 0, 0, 0, 0, 0)
}

// appendParams appends blocks and then tail as a PARAMS stream, its empty last
// record included. Pairs that fit share a record; none is split.
func appendParams(b []byte, id uint16, blocks []Params, tail Params) ([]byte, error) {
	start := -1 // of the open record
	add := func(p []byte) error {
		for len(p) > 0 {
			if start < 0 {
				start = len(b)
				b = appendHeader(b, typeParams, id, 0)
			}
			room := maxContent - (len(b) - start - headerLen)
			n := len(p)
			if n > room {
				var err error
				if n, err = pairsWithin(p, room); err != nil {
					return err
				}
			}
			switch {
			case n > 0:
				b = append(b, p[:n]...)
				p = p[n:]
			case room == maxContent:
				return fmt.Errorf("name-value pair over %d bytes", maxPair)
			default:
				closeRecord(b[start:])
				start = -1
			}
		}
		return nil
	}
	for _, p := range blocks {
		if err := add(p); err != nil {
			return nil, err
		}
	}
	if err := add(tail); err != nil {
		return nil, err
	}
	if start >= 0 {
		closeRecord(b[start:])
	}
	return appendHeader(b, typeParams, id, 0), nil
}

// closeRecord writes the content length into rec, which begins with a header.
func closeRecord(rec []byte) {
	binary.BigEndian.PutUint16(rec[4:], uint16(len(rec)-headerLen))
}

// appendStdin appends body as a STDIN stream, its empty last record included.
func appendStdin(b []byte, id uint16, body []byte) []byte {
	for len(body) > 0 {
		n := min(len(body), maxContent)
		b = appendHeader(b, typeStdin, id, n)
		b = append(b, body[:n]...)
		body = body[n:]
	}
	return appendHeader(b, typeStdin, id, 0)
}

// appendGetValues appends the question whether the server multiplexes
// (FastCGI 1.0 section 4.1).
func appendGetValues(b []byte) []byte {
	b = appendHeader(b, typeGetValues, 0, pairLen(len(mpxsConns), 0))
	return appendPair(b, mpxsConns, "")
}

// setID gives all records of a request another id; those of id 0 keep it.
func setID(wire []byte, id uint16) {
	for len(wire) >= headerLen {
		if binary.BigEndian.Uint16(wire[2:]) != 0 {
			binary.BigEndian.PutUint16(wire[2:], id)
		}
		wire = wire[headerLen+int(binary.BigEndian.Uint16(wire[4:])):]
	}
}

// dropKeep makes a request that leaves its connection open, as encode wrote it,
// one that does not.
func dropKeep(wire *[]byte) {
	b := *wire
	b[headerLen+2] &^= flagKeepConn
	*wire = b[:len(b)-len(appendGetValues(nil))]
}
