package websocket

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A streamMaker makes what clients send: right most of the time, so that much
// is read before the fault.
type streamMaker struct {
	*rand.Rand
	open bool // a message is
	text bool
	rest string // of a character that the last fragment has begun
}

// one reports true once in n times.
func (m *streamMaker) one(n int) bool { return m.IntN(n) == 0 }

// stream is some frames, and then perhaps damage.
func (m *streamMaker) stream() (wire []byte) {
	m.open, m.rest = false, ""
	for range 1 + m.IntN(20) {
		wire = m.frame(wire)
	}
	for len(wire) > 0 && m.one(4) {
		at := m.IntN(len(wire))
		switch m.IntN(4) {
		case 0:
			wire[at] ^= 1 << m.IntN(8)
		case 1:
			wire = slices.Delete(wire, at, at+1)
		case 2:
			wire = slices.Insert(wire, at, byte(m.Uint32()))
		case 3:
			wire = wire[:at]
		}
	}
	return wire
}

func (m *streamMaker) frame(wire []byte) []byte {
	op, fin := m.opcode()
	payload := m.payload(op, fin)
	first := byte(op)
	if fin != m.one(500) {
		first |= 0x80
	}
	if m.one(500) {
		first |= 0x10 << m.IntN(3)
	}
	length, form := uint64(len(payload)), 0
	switch {
	case length > 0xffff || m.one(300):
		form = 127
	case length > 125 || m.one(300):
		form = 126
	}
	if m.one(500) {
		length = m.Uint64() >> m.IntN(64)
	}
	second := byte(0x80)
	if m.one(300) {
		second = 0
	}
	switch form {
	case 127:
		wire = binary.BigEndian.AppendUint64(append(wire, first, second|127), length)
	case 126:
		wire = binary.BigEndian.AppendUint16(append(wire, first, second|126), uint16(length))
	default:
		wire = append(wire, first, second|byte(length&127))
	}
	key := m.Uint32()
	if m.one(20) {
		key = 0
	}
	if second != 0 {
		wire = binary.BigEndian.AppendUint32(wire, key)
	}
	for i, c := range []byte(payload) {
		wire = append(wire, c^byte(key>>(24-8*(i%4))))
	}
	return wire
}

// opcode chooses a frame that may follow, most of the time.
func (m *streamMaker) opcode() (op Opcode, fin bool) {
	switch {
	case m.one(150):
		return Opcode(m.IntN(16)), true
	case m.one(60):
		return opClose, true
	case m.one(5):
		return opPing + Opcode(m.IntN(2)), true
	case m.open != m.one(200):
		op = opContinuation
	default:
		op = Text + Opcode(m.IntN(2))
		m.text = op == Text
	}
	fin = m.one(2)
	m.open = !fin
	return op, fin
}

// characters are of each length, at the borders of each rule of UTF-8.
var characters = []string{"a", "\x00", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "κ", "€", "😀"}

func (m *streamMaker) payload(op Opcode, fin bool) string {
	var b []byte
	switch {
	case op == opClose && m.one(8):
		return string(make([]byte, m.IntN(2)))
	case op == opClose:
		codes := []int{999, 1000, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 2999, 3000, 4999, 5000, m.IntN(1 << 16)}
		b = binary.BigEndian.AppendUint16(nil, uint16(codes[m.IntN(len(codes))]))
	case op.control() || op == Binary || op == opContinuation && !m.text:
		sizes := []int{0, 1, m.IntN(30), m.IntN(30), 124 + m.IntN(5)}
		if !op.control() {
			sizes = append(sizes, 250+m.IntN(20))
		}
		if m.one(3000) {
			sizes = []int{65534 + m.IntN(4)}
		}
		b = make([]byte, sizes[m.IntN(len(sizes))])
		for i := range b {
			b[i] = byte(m.Uint32())
		}
		return string(b)
	}
	b, m.rest = append(b, m.rest...), ""
	for range m.IntN(8) {
		b = append(b, characters[m.IntN(len(characters))]...)
	}
	if m.one(60) {
		b = append(b, byte(m.Uint32()))
	}
	if c := characters[m.IntN(len(characters))]; !fin && !op.control() && m.one(3) {
		cut := m.IntN(len(c))
		b, m.rest = append(b, c[:cut]...), c[cut:]
	}
	return string(b)
}

// cuts makes pieces of wire, of any size.
func (m *streamMaker) cuts(wire string) (pieces []string) {
	most := []int{1, 4, 20, 1000, 1 << 20}[m.IntN(5)]
	for len(wire) > 0 {
		n := min(1+m.IntN(most), len(wire))
		pieces, wire = append(pieces, wire[:n]), wire[n:]
	}
	return pieces
}

// checkVerdict holds a decoder against the referee and gives how many frames
// that has read.
func checkVerdict(t *testing.T, maxMessage int64, wire []byte, pieces []string) int {
	want := referee(wire, uint64(maxMessage))
	got, err := decode(t, &decoder{maxMessage: maxMessage}, pieces...)
	if !slices.Equal(got, want.events) || int(code(err)) != want.fail {
		t.Errorf("limit %d, %.2000x cut in %d: %.2000q, %v; want %.2000q, code %d", maxMessage, wire, len(pieces), got, err, want.events, want.fail)
	}
	return want.frames
}

// WS_FPM_LONG=1 makes it ten million frames.
func TestDecoderAgreesWithTheReferee(t *testing.T) {
	goal := 200_000
	switch {
	case os.Getenv("WS_FPM_LONG") == "1":
		goal = 10_000_000
	case raced:
		goal = 30_000 // nothing runs beside it
	}
	m := &streamMaker{Rand: rand.New(rand.NewPCG(6455, 3629))}
	began := time.Now()
	frames, streams, faults, events := 0, 0, map[int]int{}, 0
	for ; frames < goal && !t.Failed(); streams++ {
		limit := []int64{16, 126, 256, 1000, 70000}[m.IntN(5)]
		wire := m.stream()
		frames += checkVerdict(t, limit, wire, m.cuts(string(wire)))
		if streams%64 == 0 { // what the streams are worth
			v := referee(wire, uint64(limit))
			faults[v.fail]++
			events += len(v.events)
		}
	}
	t.Logf("%d frames in %d streams in %v; of every 64th stream: %d events, ends %v",
		frames, streams, time.Since(began).Round(time.Millisecond), events, faults)
	for _, code := range []int{0, 1002, 1007, 1009} {
		if faults[code] == 0 {
			t.Errorf("no stream ended with %d: they prove little", code)
		}
	}
}

// What real clients sent, recorded by the tests of the whole program, which
// renew it with -update.
func TestDecoderAgreesWithTheRefereeAboutRealClients(t *testing.T) {
	captures, err := filepath.Glob("testdata/client_*.hex")
	if err != nil || len(captures) < 3 {
		t.Fatalf("captures %q, %v; want those of at least three clients", captures, err)
	}
	m := &streamMaker{Rand: rand.New(rand.NewPCG(1, 2))}
	for _, name := range captures {
		t.Run(filepath.Base(name), func(t *testing.T) {
			wire := readCapture(t, name)
			v := referee(wire, 1<<20)
			if v.fail != 0 || len(v.events) < 5 || v.frames < len(v.events) {
				t.Fatalf("%d events in %d frames, code %d; want a good conversation", len(v.events), v.frames, v.fail)
			}
			t.Logf("%d bytes, %d frames, %d events", len(wire), v.frames, len(v.events))
			rounds := 8
			if raced {
				rounds = 2
			}
			for range rounds {
				checkVerdict(t, 1<<20, wire, m.cuts(string(wire)))
				damaged := slices.Clone(wire)
				damaged[m.IntN(len(wire))] ^= 1 << m.IntN(8)
				checkVerdict(t, 1<<20, damaged, m.cuts(string(damaged)))
			}
		})
	}
}
