package websocket

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// A pureServer is an echo server of nothing but the code that decides: no
// socket, no time, no goroutine.
type pureServer struct {
	dec     decoder
	closing closing
	out     []byte
}

// take answers what the client sent, in s.out.
func (s *pureServer) take(b []byte) {
	for {
		ev, n, err := s.dec.next(b)
		b = b[n:]
		if fault := s.inflate(&ev); fault != nil {
			s.dec.fail(fault)
			err = fault
		}
		if err != nil {
			if code := code(err); s.closing.failed(code, "") {
				s.out = appendControl(s.out, opClose, appendClose(nil, code, ""))
			}
			return
		}
		switch ev.op {
		case opContinuation:
			return
		case Text, Binary:
			if s.closing.state.maySendMessage() {
				s.out = appendMessage(s.out, ev.op, ev.payload, 64<<10)
			}
		case opPing:
			if s.closing.state.maySendControl(opPong) {
				s.out = appendControl(s.out, opPong, ev.payload)
			}
		case opClose:
			code, reason, _ := parseClose(ev.payload)
			s.closing.received(code, reason)
			if s.closing.state.owesClose() {
				s.out = appendControl(s.out, opClose, appendClose(nil, code, ""))
				s.closing.sent(code, "")
			}
		}
	}
}

// inflate inflates a message, or what has come of one where that is due.
func (s *pureServer) inflate(ev *event) (fault *ProtocolError) {
	if ev.deflated {
		ev.payload, fault = inflate(ev.payload, ev.op, s.dec.maxMessage)
		return fault
	}
	if op, payload := s.dec.beginning(); len(payload) > 0 {
		f := inflaters.Get().(*inflater)
		defer inflaters.Put(f)
		var size int64
		size, fault = f.measure(payload, false, op, s.dec.maxMessage)
		s.dec.looked(size)
	}
	return fault
}

// run plays steps, cut by cut, and says what went otherwise than wanted.
func (s *pureServer) run(steps []step, cut func([]string) []string) error {
	var client inbox
	for i, st := range steps {
		for _, part := range cut(st.send) {
			s.take([]byte(part))
		}
		for r := bufio.NewReader(bytes.NewReader(s.out)); ; {
			f, err := readFrame(r)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if err := client.add(f); err != nil {
				return err
			}
		}
		s.out = s.out[:0]
		if d := differ(client.take(), st.want); d != "" {
			return fmt.Errorf("step %d: %s", i+1, d)
		}
	}
	return nil
}

func TestConformanceOfDecoderAndEncoder(t *testing.T) {
	t.Parallel()
	for _, s := range conformance() {
		t.Run(s.name, func(t *testing.T) {
			steps := s.play()
			length := wireLength(steps)
			if raced && length > 2<<20 {
				return // there are no two goroutines that could race
			}
			check := func(how string, cut func([]string) []string) {
				server := pureServer{dec: decoder{maxMessage: 16 << 20, mayDeflate: s.deflate != noDeflate}}
				if err := server.run(steps, cut); err != nil {
					t.Errorf("%s: %v", how, err)
				}
				if !server.closing.state.endsTCP() || server.closing.first != s.end {
					t.Errorf("%s: closed with %+v, end TCP is %t; want %+v", how, server.closing.first, server.closing.state.endsTCP(), s.end)
				}
			}
			ways := s.styles(length)
			if length <= 128<<10 && !slices.Contains(ways, perByte) {
				ways = append(ways, perByte)
			}
			for _, way := range ways {
				check(way.String(), func(send []string) []string { return way.cut(s, send) })
			}
			if length <= 400 {
				for i := range length {
					at := i // counts down over the steps
					check(fmt.Sprintf("cut at %d", i), func(send []string) []string {
						wire := strings.Join(send, "")
						here := at
						at -= len(wire)
						if here <= 0 || here >= len(wire) {
							return []string{wire}
						}
						return []string{wire[:here], wire[here:]}
					})
				}
			}
		})
	}
}
