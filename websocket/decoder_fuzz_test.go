package websocket

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// FuzzDecoder: how the bytes are cut never changes what they mean, which is
// what a literal reading of the specification makes of them; nothing follows
// an error, and no more is held than came.
//
// A mutant it kills: data that checks a text only with its last part.
func FuzzDecoder(f *testing.F) {
	hello := frame(last, Text, "Hello")
	for _, seed := range []string{
		frame(more, Text, "κ\xcf") + frame(last, opContinuation, "\x83") + hello,
		frame(last, opPong, "\xff") + closeFrame(1000, "bye") + hello,
		frame(last, Binary, string(make([]byte, 300))),
		frame(more, Binary, string(make([]byte, 200))) + frame(last, opContinuation, string(make([]byte, 100))),
	} {
		f.Add([]byte(seed), uint16(3), uint16(4))
	}
	for _, wire := range seeds() {
		f.Add(wire, uint16(len(wire)/2), uint16(1))
	}
	f.Fuzz(func(t *testing.T, wire []byte, i, j uint16) {
		const limit = 256
		want := referee(wire, limit)
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
			if !slices.Equal(got, want.events) || int(code(err)) != want.fail {
				t.Errorf("%x %s: %q, %v; want %q, code %d", wire, cut.name, got, err, want.events, want.fail)
			}
		}
	})
}

// seeds are what the clients of the conformance tables send, but for what is
// long.
func seeds() (wires [][]byte) {
	for _, s := range conformance() {
		var wire []byte
		for _, st := range s.steps {
			wire = append(wire, strings.Join(st.send, "")...)
		}
		if s.lazy == nil && len(wire) <= 512 {
			wires = append(wires, wire)
		}
	}
	return wires
}
