package websocket

import (
	"fmt"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
	"testing"
)

// What follows reads RFC 6455 to the letter, one rule after the other, slowly
// and with nothing of this package: TestRefereeStandsAlone sees to that. The
// code under test is held against it.

// A verdict is what the referee makes of the bytes a client sent.
type verdict struct {
	events []string // "text", "binary", "ping", "pong" or "close", and the payload
	fail   int      // the code to fail with; zero: no fault so far
	frames int      // begun, the one at fault included
}

// A refereedMessage is the one being received.
type refereedMessage struct {
	kind    int // its opcode; zero: none is being received
	empty   int // its continuation frames without payload
	payload []byte
}

// referee reads wire with messages of at most maxMessage bytes.
func referee(wire []byte, maxMessage uint64) (v verdict) {
	var m refereedMessage
	for len(wire) > 0 {
		v.frames++
		f, rest, fail, cut := refereeHeader(wire, m.kind != 0)
		if v.fail = fail; fail != 0 || cut {
			return v
		}
		if f.op < 8 && uint64(len(m.payload))+f.length > maxMessage {
			v.fail = 1009
			return v
		}
		if f.op == 0 && f.length == 0 {
			if m.empty++; m.empty > 128 {
				v.fail = 1008
				return v
			}
		}
		// Section 5.3: octet i of the payload is masked with octet i modulo 4.
		var payload []byte
		for i := 0; i < len(rest) && uint64(i) < f.length; i++ {
			payload = append(payload, rest[i]^f.key[i%4])
		}
		wire = rest[len(payload):]
		whole := uint64(len(payload)) == f.length
		if f.op < 8 {
			v.data(&m, f, payload, whole)
		} else if whole {
			v.control(f.op, payload)
		}
		if v.fail != 0 || whole && f.op == 8 {
			return v
		}
	}
	return v
}

// data takes a data frame, or as much of it as there is.
func (v *verdict) data(m *refereedMessage, f refereedFrame, payload []byte, whole bool) {
	if f.op != 0 {
		*m = refereedMessage{kind: f.op}
	}
	m.payload = append(m.payload, payload...)
	last := whole && f.fin
	if m.kind == 1 {
		begun, complete := refereeUTF8(m.payload)
		if !begun || last && !complete {
			v.fail = 1007
			return
		}
	}
	if last {
		v.events = append(v.events, fmt.Sprintf("%s %q", []string{1: "text", 2: "binary"}[m.kind], m.payload))
		*m = refereedMessage{}
	}
}

// control takes a whole control frame.
func (v *verdict) control(op int, payload []byte) {
	if op == 8 {
		if v.fail = refereeClose(payload); v.fail != 0 {
			return
		}
	}
	v.events = append(v.events, fmt.Sprintf("%s %q", []string{8: "close", 9: "ping", 10: "pong"}[op], payload))
}

// A refereedFrame is a frame without its payload.
type refereedFrame struct {
	fin    bool
	op     int
	length uint64
	key    [4]byte
}

// refereeHeader reads a header (section 5.2). A fault counts as soon as its
// byte is there; cut says that wire ends before the header.
func refereeHeader(wire []byte, inMessage bool) (f refereedFrame, rest []byte, fail int, cut bool) {
	rsv, op := wire[0]>>4&7, int(wire[0]&15)
	f = refereedFrame{fin: wire[0]>>7 == 1, op: op}
	switch {
	case rsv != 0, // no extension was agreed on
		op >= 3 && op <= 7, op >= 11, // reserved
		op >= 8 && !f.fin,                                    // section 5.5: control frames are not fragmented
		op == 0 && !inMessage, 0 < op && op < 8 && inMessage: // section 5.4
		return f, nil, 1002, false
	}
	if len(wire) < 2 {
		return f, nil, 0, true
	}
	masked := wire[1]>>7 == 1
	f.length = uint64(wire[1] & 127)
	if op >= 8 && f.length > 125 {
		return f, nil, 1002, false
	}
	more, least := 0, uint64(0)
	switch f.length {
	case 126:
		more, least = 2, 126
	case 127:
		more, least = 8, 65536
	}
	rest = wire[2:]
	if len(rest) < more {
		return f, nil, 0, true
	}
	if more > 0 {
		f.length = 0
		for _, c := range rest[:more] {
			f.length = f.length<<8 | uint64(c)
		}
		rest = rest[more:]
	}
	// The top bit is zero, the form the shortest, and a client masks (5.1).
	if f.length>>63 == 1 || f.length < least || !masked {
		return f, nil, 1002, false
	}
	if len(rest) < 4 {
		return f, nil, 0, true
	}
	copy(f.key[:], rest)
	return f, rest[4:], 0, false
}

// refereeClose reads the body of a close frame (sections 5.5.1 and 7.4) and
// gives the code to fail with.
func refereeClose(payload []byte) int {
	if len(payload) == 0 {
		return 0
	}
	if len(payload) == 1 {
		return 1002
	}
	code := int(payload[0])<<8 | int(payload[1])
	registered := []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}
	if !slices.Contains(registered, code) && (code < 3000 || code > 4999) {
		return 1002
	}
	if _, complete := refereeUTF8(payload[2:]); !complete {
		return 1007
	}
	return 0
}

// refereeUTF8 is the grammar of RFC 3629, section 4: whether b begins a text,
// and whether it is one.
func refereeUTF8(b []byte) (begun, complete bool) {
	type span struct{ low, high byte }
	tail := span{0x80, 0xbf}
	rules := [][]span{
		{{0x00, 0x7f}},
		{{0xc2, 0xdf}, tail},
		{{0xe0, 0xe0}, {0xa0, 0xbf}, tail},
		{{0xe1, 0xec}, tail, tail},
		{{0xed, 0xed}, {0x80, 0x9f}, tail},
		{{0xee, 0xef}, tail, tail},
		{{0xf0, 0xf0}, {0x90, 0xbf}, tail, tail},
		{{0xf1, 0xf3}, tail, tail, tail},
		{{0xf4, 0xf4}, {0x80, 0x8f}, tail, tail},
	}
	for len(b) > 0 {
		match, size := false, 0
		for _, rule := range rules {
			fits := true
			for i := 0; i < min(len(rule), len(b)); i++ {
				fits = fits && rule[i].low <= b[i] && b[i] <= rule[i].high
			}
			if fits {
				match, size = true, len(rule)
			}
		}
		if !match {
			return false, false
		}
		if size > len(b) {
			return true, false
		}
		b = b[size:]
	}
	return true, true
}

// Whatever this file names is its own, Go's, or of the standard library.
func TestRefereeStandsAlone(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "referee_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range types.Universe.Names() {
		known[name] = true
	}
	for _, spec := range f.Imports {
		known[path.Base(strings.Trim(spec.Path.Value, `"`))] = true
	}
	for _, id := range f.Unresolved {
		if !known[id.Name] {
			t.Errorf("%s is not of this file", id.Name)
		}
	}
}
