package websocket

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

// referee decodes wire as the specification reads, one rule after the other,
// slowly and sharing no code with decoder. It returns the events and the code
// to fail with, zero for none.
func referee(wire []byte, maxMessage uint64) (events []string, fail int) {
	var kind, empty int
	var message []byte
	for len(wire) > 0 {
		// Section 5.2, the first byte.
		fin, rsv, op := wire[0]>>7, wire[0]>>4&7, int(wire[0]&15)
		if rsv != 0 || op >= 3 && op <= 7 || op >= 11 {
			return events, 1002
		}
		// Sections 5.4 and 5.5: who may be fragmented, and what may follow.
		control := op >= 8
		if control && fin == 0 || op == 0 && kind == 0 || !control && op != 0 && kind != 0 {
			return events, 1002
		}
		if len(wire) < 2 {
			return events, 0
		}
		masked, length := wire[1]>>7 == 1, uint64(wire[1]&127)
		if control && length > 125 {
			return events, 1002
		}
		wire = wire[2:]
		if length == 126 {
			if len(wire) < 2 {
				return events, 0
			}
			length = uint64(wire[0])<<8 | uint64(wire[1])
			if length < 126 {
				return events, 1002
			}
			wire = wire[2:]
		} else if length == 127 {
			if len(wire) < 8 {
				return events, 0
			}
			length = 0
			for _, c := range wire[:8] {
				length = length<<8 | uint64(c)
			}
			if length>>63 == 1 || length < 65536 {
				return events, 1002
			}
			wire = wire[8:]
		}
		if !masked {
			return events, 1002
		}
		if len(wire) < 4 {
			return events, 0
		}
		key := wire[:4]
		wire = wire[4:]

		if !control && uint64(len(message))+length > maxMessage {
			return events, 1009
		}
		if op == 0 && length == 0 {
			if empty++; empty > 128 {
				return events, 1008
			}
		}
		if op == 1 || op == 2 {
			kind, empty = op, 0
		}
		var payload []byte
		for i := 0; i < len(wire) && uint64(i) < length; i++ {
			payload = append(payload, wire[i]^key[i%4])
		}
		wire = wire[len(payload):]
		whole := uint64(len(payload)) == length

		switch {
		case !control:
			message = append(message, payload...)
			begun, complete := refereeUTF8(message)
			if kind == 1 && (!begun || whole && fin == 1 && !complete) {
				return events, 1007
			}
			if whole && fin == 1 {
				events = append(events, fmt.Sprintf("%s %q", []string{1: "text", 2: "binary"}[kind], message))
				kind, message = 0, nil
			}
		case !whole:
		case op == 8:
			switch c := 1000; {
			case len(payload) == 1:
				return events, 1002
			case len(payload) >= 2:
				c = int(binary.BigEndian.Uint16(payload))
				if !slices.Contains([]int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}, c) && (c < 3000 || c > 4999) {
					return events, 1002
				}
				if _, complete := refereeUTF8(payload[2:]); !complete {
					return events, 1007
				}
			}
			return append(events, fmt.Sprintf("close %q", payload)), 0
		default:
			events = append(events, fmt.Sprintf("%s %q", []string{9: "ping", 10: "pong"}[op], payload))
		}
	}
	return events, 0
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

// FuzzDecoder: how the bytes are cut never changes what they mean, which is
// what a literal reading of the specification makes of them.
func FuzzDecoder(f *testing.F) {
	hello := frame(last, Text, "Hello")
	for _, seed := range []string{
		hello,
		frame(more, Text, "Hel") + frame(last, opPing, "p") + frame(last, opContinuation, "lo"),
		frame(more, Text, "κ\xcf") + frame(last, opContinuation, "\x83") + hello,
		frame(more, Binary, "") + frame(more, opContinuation, "") + frame(last, opContinuation, "x") + hello,
		frame(last, Text, "κόσμε\xf4\x90"),
		frame(last, opPong, "\xff") + frame(last, opClose, "\x03\xe8bye") + hello,
		frame(last, opClose, "\x03\xed"),
		frame(last, Binary, string(make([]byte, 300))),
		"\x82\xfe\x00\x7d\x00\x00\x00\x00",
		"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00\x01\x02\x03\x04",
		"\x81\x05Hello",
	} {
		f.Add([]byte(seed), uint16(3), uint16(4))
	}
	f.Fuzz(func(t *testing.T, wire []byte, i, j uint16) {
		const limit = 256
		want, fail := referee(wire, limit)
		first := min(int(i), len(wire))
		second := min(first+int(j), len(wire))
		s := string(wire)
		single := make([]string, len(s))
		for i := range single {
			single[i] = s[i : i+1]
		}
		for _, cut := range []struct {
			name   string
			pieces []string
		}{
			{"whole", []string{s}},
			{"byte by byte", single},
			{fmt.Sprintf("at %d and %d", first, second), []string{s[:first], s[first:second], s[second:]}},
		} {
			got, err := decode(t, &decoder{maxMessage: limit}, cut.pieces...)
			if !slices.Equal(got, want) || int(code(err)) != fail {
				t.Errorf("%x %s: %q, %v; want %q, code %d", wire, cut.name, got, err, want, fail)
			}
		}
	})
}
