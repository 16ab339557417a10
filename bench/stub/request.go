// Package stub is a FastCGI responder that answers at once with what it was
// sent. It stands where php-fpm would, so that what a gateway costs can be
// seen without what PHP costs.
package stub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// Types of records, of the FastCGI specification, section 8.
const (
	typeBegin           = 1
	typeEnd             = 3
	typeParams          = 4
	typeStdin           = 5
	typeStdout          = 6
	typeGetValues       = 9
	typeGetValuesResult = 10
)

const (
	headerSize = 8
	maxContent = 0xfff8 // as php-fpm fills its records
)

// phase is how far a request has come.
type phase int

const (
	idle phase = iota
	params
	stdin
)

// A request is what one connection is being asked, and its answers not sent
// yet. It accepts what a gateway written for php-fpm sends and nothing else,
// so a gateway does not get faster here by leaving things out.
type request struct {
	head   []byte // of each answer: a CGI head, with its empty line
	phase  phase
	id     uint16
	keep   bool
	params []byte
	body   []byte // head, then what came as STDIN
	out    []byte // records to be sent
	done   int    // requests answered
}

// feed takes the records at the start of b and returns how many bytes those
// are. What remains is the beginning of a record.
func (r *request) feed(b []byte) (used int, err error) {
	for len(b)-used >= headerSize {
		h := b[used : used+headerSize]
		length := int(binary.BigEndian.Uint16(h[4:]))
		whole := headerSize + length + int(h[6])
		if h[0] != 1 {
			return used, fmt.Errorf("version %d", h[0])
		}
		if len(b)-used < whole {
			return used, nil
		}
		if err := r.record(h[1], binary.BigEndian.Uint16(h[2:]), b[used+headerSize:][:length]); err != nil {
			return used, err
		}
		used += whole
	}
	return used, nil
}

func (r *request) record(kind byte, id uint16, content []byte) error {
	switch {
	case kind == typeGetValues && id == 0:
		return r.getValues(content)
	case kind == typeBegin && r.phase == idle && id != 0:
		if len(content) != 8 || content[0] != 0 || content[1] != 1 || content[2] > 1 {
			return fmt.Errorf("begin %x: want a responder's", content)
		}
		r.phase, r.id, r.keep = params, id, content[2] == 1
		r.params, r.body = r.params[:0], append(r.body[:0], r.head...)
		return nil
	case id != r.id:
		return fmt.Errorf("record %d of request %d in request %d", kind, id, r.id)
	case kind == typeParams && r.phase == params && len(content) > 0:
		r.params = append(r.params, content...)
		return nil
	case kind == typeParams && r.phase == params:
		r.phase = stdin
		return nil
	case kind == typeStdin && r.phase == stdin && len(content) > 0:
		r.body = append(r.body, content...)
		return nil
	case kind == typeStdin && r.phase == stdin:
		r.phase = idle
		return r.answer()
	}
	return fmt.Errorf("record %d in phase %d", kind, r.phase)
}

// answer checks the request against its own params and appends the answer.
func (r *request) answer() error {
	length, script := 0, false
	for rest := r.params; len(rest) > 0; {
		name, value, next, err := pair(rest)
		if err != nil {
			return err
		}
		switch string(name) {
		case "CONTENT_LENGTH":
			if length, err = decimal(value); err != nil {
				return err
			}
		case "SCRIPT_FILENAME":
			script = len(value) > 0
		}
		rest = next
	}
	if got := len(r.body) - len(r.head); got != length {
		return fmt.Errorf("%d bytes of STDIN for a CONTENT_LENGTH of %d", got, length)
	}
	if !script {
		return errors.New("no SCRIPT_FILENAME")
	}
	for body := r.body; len(body) > 0; {
		n := min(len(body), maxContent)
		r.out = appendRecord(r.out, typeStdout, r.id, body[:n])
		body = body[n:]
	}
	r.out = appendRecord(r.out, typeEnd, r.id, make([]byte, 8))
	r.done++
	return nil
}

// getValues answers as php-fpm does.
func (r *request) getValues(content []byte) error {
	var answer []byte
	for rest := content; len(rest) > 0; {
		name, _, next, err := pair(rest)
		if err != nil {
			return err
		}
		switch string(name) {
		case "FCGI_MPXS_CONNS":
			answer = append(answer, "\x0f\x01FCGI_MPXS_CONNS0"...)
		case "FCGI_MAX_CONNS":
			answer = append(answer, "\x0e\x01FCGI_MAX_CONNS1"...)
		case "FCGI_MAX_REQS":
			answer = append(answer, "\x0d\x01FCGI_MAX_REQS1"...)
		}
		rest = next
	}
	r.out = appendRecord(r.out, typeGetValuesResult, 0, answer)
	return nil
}

// pair reads one name-value pair.
func pair(b []byte) (name, value, rest []byte, err error) {
	var lengths [2]int
	for i := range lengths {
		switch {
		case len(b) >= 1 && b[0] < 128:
			lengths[i], b = int(b[0]), b[1:]
		case len(b) >= 4:
			lengths[i], b = int(binary.BigEndian.Uint32(b)&0x7fffffff), b[4:]
		default:
			return nil, nil, nil, errors.New("a name-value pair is cut")
		}
	}
	n, v := lengths[0], lengths[1]
	if len(b) < n+v {
		return nil, nil, nil, errors.New("a name-value pair is cut")
	}
	return b[:n], b[n : n+v], b[n+v:], nil
}

func decimal(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<40 {
			return 0, fmt.Errorf("CONTENT_LENGTH is %q", b)
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

// appendRecord appends one record, padded to a multiple of eight bytes.
func appendRecord(b []byte, kind byte, id uint16, content []byte) []byte {
	padding := -len(content) & 7
	b = append(b, 1, kind, byte(id>>8), byte(id), byte(len(content)>>8), byte(len(content)), byte(padding), 0)
	b = append(b, content...)
	return append(b, "\x00\x00\x00\x00\x00\x00\x00"[:padding]...)
}

// Head is the head of an answer as php-fpm writes it, with further lines such
// as "WS-Subscribe: a".
func Head(lines ...string) []byte {
	var b bytes.Buffer
	b.WriteString("X-Powered-By: PHP/8.2.0\r\n")
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("Content-type: text/html; charset=UTF-8\r\n\r\n")
	return b.Bytes()
}

// Param appends one name-value pair, for programs that ask this stub.
func Param(b []byte, name, value string) []byte {
	for _, n := range []int{len(name), len(value)} {
		if n < 128 {
			b = append(b, byte(n))
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
		}
	}
	return append(append(b, name...), value...)
}

// Request appends a whole request with the params that php-fpm needs, for
// tests and for the floor. Body and CONTENT_LENGTH are the caller's.
func Request(b []byte, id uint16, keep bool, params, body []byte) []byte {
	flags := byte(0)
	if keep {
		flags = 1
	}
	b = appendRecord(b, typeBegin, id, []byte{0, 1, flags, 0, 0, 0, 0, 0})
	b = appendRecord(b, typeParams, id, params)
	b = appendRecord(b, typeParams, id, nil)
	for len(body) > 0 {
		n := min(len(body), maxContent)
		b = appendRecord(b, typeStdin, id, body[:n])
		body = body[n:]
	}
	return appendRecord(b, typeStdin, id, nil)
}

// ContentLength is the param of a body's length.
func ContentLength(b []byte, n int) []byte {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], int64(n), 10)
	b = append(b, 14, byte(len(d)))
	b = append(b, "CONTENT_LENGTH"...)
	return append(b, d...)
}
