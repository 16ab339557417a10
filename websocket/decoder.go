package websocket

// maxEmptyFrames is the number of continuation frames without payload accepted
// in one message. A fragment that carries bytes is paid for by maxMessage; one
// that carries none could go on for ever.
const maxEmptyFrames = 128

// minBuffer is the least room, in bytes, made for a message that did not come
// in one piece, unless its frame says that less will do.
const minBuffer = 512

// When bytes are read straight into the message's buffer.
const (
	minDirect = 16 << 10  // bytes that are there, and as many of the frame that are to come
	maxDirect = 256 << 10 // the most read at one visit
)

// An event is what a run of bytes amounted to: a whole message (Text, Binary)
// or a control frame (opPing, opPong, opClose). The zero event is none.
type event struct {
	op       Opcode
	deflated bool   // the payload is to be inflated, and then judged
	payload  []byte // good until the next call of next or release
}

// A decoder turns the bytes a client sends into events (RFC 6455, section 5).
// Between messages it holds no buffer. Only the first two fields are to be set.
type decoder struct {
	maxMessage int64 // longest message accepted, in bytes
	mayDeflate bool  // the client may deflate messages (RFC 7692)

	phase   decoderPhase
	headLen uint8
	head    [maxHeader]byte // head[:headLen] is a header not yet complete

	// The frame being read.
	op     Opcode
	fin    bool
	keyPos uint8
	key    [4]byte
	left   uint64 // bytes of its payload still to come
	ctl    []byte // payload of a control frame that came in parts

	// The message being read.
	kind  Opcode // Text or Binary; opContinuation between messages
	empty uint8  // its continuation frames without payload
	zip   bool   // it is deflated
	look  int    // length from which on it is looked at while it comes
	text  textCheck
	msg   []byte // payload of a message that came in parts; between messages, one that is lent

	err *ProtocolError // why phase is decoderFailed
}

// A decoderPhase says what the next byte belongs to.
type decoderPhase uint8

const (
	decoderHeader  decoderPhase = iota // a header, or nothing yet
	decoderPayload                     // the payload of a frame
	decoderClosed                      // nothing: a close frame was the last
	decoderFailed                      // nothing: the peer broke a rule
)

// next consumes bytes from the front of b, unmasking in place, and says how
// many. It returns as soon as one event is complete; the zero event says that
// all of b was consumed and more is needed.
//
// A payload is part of b where the frame lies in b as a whole, else in a buffer
// that release lets go, and so does next.
//
// An error is a *ProtocolError, or nil. It is given with the first byte that
// proves the fault, and again by each later call; then nothing is consumed.
// After a close frame all bytes are consumed and none is looked at (section
// 5.5.1). A close frame that breaks section 7.4 is an error.
func (d *decoder) next(b []byte) (ev event, n int, err error) {
	d.release()
	for {
		switch d.phase {
		case decoderHeader:
			size, fault := d.readHeader(b[n:])
			if fault != nil {
				return event{}, 0, d.fail(fault)
			}
			n += size
			if d.phase == decoderHeader {
				return event{}, n, nil
			}
		case decoderPayload:
			end := n + int(min(uint64(len(b)-n), d.left))
			ev, fault := d.readPayload(b[n:end:end])
			if fault != nil {
				return event{}, 0, d.fail(fault)
			}
			n = end
			if ev.op != opContinuation || d.phase == decoderPayload {
				return ev, n, nil
			}
		case decoderClosed:
			return event{}, len(b), nil
		case decoderFailed:
			return event{}, 0, d.err
		default:
			panic("BUG: unknown phase of a decoder")
		}
	}
}

// into says where the next bytes of the socket are to be read to, instead of to
// buf: most of a large frame straight into its message's buffer. The buffer grows
// only when it is full.
func (d *decoder) into(buf []byte) []byte {
	n := len(d.msg)
	if d.phase != decoderPayload || n < minDirect || d.left < minDirect {
		return buf
	}
	if n == cap(d.msg) {
		d.grow(n)
	}
	return d.msg[n : n+int(min(uint64(cap(d.msg)-n), d.left, maxDirect))]
}

// release lets go of the payload of the last event.
func (d *decoder) release() {
	if d.kind == opContinuation && d.msg != nil {
		givePayload(d.msg)
		d.msg = nil
	}
}

// held returns the size, in bytes, of the buffers d holds now. One that is lent
// is whose it is lent to.
func (d *decoder) held() int {
	if d.kind == opContinuation {
		return cap(d.ctl)
	}
	return cap(d.msg) + cap(d.ctl)
}

// pending reports whether the peer owes the rest of a frame or of a message.
func (d *decoder) pending() bool {
	switch d.phase {
	case decoderHeader:
		return d.headLen > 0 || d.kind != opContinuation
	case decoderPayload:
		return true
	case decoderClosed, decoderFailed:
		return false
	}
	panic("BUG: unknown phase of a decoder")
}

// readHeader reads a header from the front of b and begins its frame. If b
// ends before the header does, all of b is kept and the phase stays.
func (d *decoder) readHeader(b []byte) (n int, fault *ProtocolError) {
	head, kept := b, int(d.headLen)
	if kept > 0 {
		head = d.head[:kept+copy(d.head[kept:], b)]
	}
	if len(head) == 0 {
		return 0, nil
	}
	if fault := d.checkTurn(Opcode(head[0] & 0xF)); fault != nil {
		return 0, fault
	}
	h, size, fault := parseHeader(head, d.mayDeflate)
	if fault != nil {
		return 0, fault
	}
	if size == 0 {
		d.headLen = uint8(copy(d.head[:], head))
		return len(b), nil // maxHeader bytes are always enough, so head has all of b
	}
	d.headLen = 0
	return size - kept, d.begin(h)
}

// checkTurn says which rule of section 5.4 forbids a frame with op now.
func (d *decoder) checkTurn(op Opcode) *ProtocolError {
	inMessage := d.kind != opContinuation
	switch {
	case op == opContinuation && !inMessage:
		return violation("continuation of nothing")
	case (op == Text || op == Binary) && inMessage:
		return violation("message inside a message")
	}
	return nil
}

// begin admits the frame of h and makes it the current one.
func (d *decoder) begin(h header) *ProtocolError {
	if !h.masked {
		return violation("frame not masked") // section 5.1
	}
	if !h.op.control() {
		if h.op != opContinuation {
			d.kind, d.zip, d.look, d.empty, d.text = h.op, h.deflated, 0, 0, textCheck{}
		}
		if h.length > d.most()-uint64(len(d.msg)) {
			return &ProtocolError{StatusTooBig, "message over the limit"}
		}
		switch {
		case h.op != opContinuation:
		case h.length == 0 && d.empty == maxEmptyFrames:
			return &ProtocolError{StatusPolicy, "too many empty fragments"}
		case h.length == 0:
			d.empty++
		}
	}
	d.op, d.fin, d.key, d.keyPos, d.left = h.op, h.fin, h.key, 0, h.length
	d.phase = decoderPayload
	return nil
}

// readPayload takes the next part of the current frame's payload.
func (d *decoder) readPayload(part []byte) (event, *ProtocolError) {
	d.keyPos = uint8(mask(part, d.key, int(d.keyPos)))
	d.left -= uint64(len(part))
	if d.left == 0 {
		d.phase = decoderHeader
	}
	if d.op.control() {
		return d.control(part)
	}
	return d.data(part)
}

// control takes part of a control frame.
func (d *decoder) control(part []byte) (event, *ProtocolError) {
	if d.left > 0 {
		d.ctl = append(d.ctl, part...)
		return event{}, nil
	}
	if d.ctl != nil {
		part = append(d.ctl, part...)
		d.ctl = nil
	}
	if d.op == opClose {
		if _, _, fault := parseClose(part); fault != nil {
			return event{}, fault
		}
		d.drop(decoderClosed)
	}
	return event{op: d.op, payload: part}, nil
}

// data takes part of a message.
func (d *decoder) data(part []byte) (event, *ProtocolError) {
	last := d.fin && d.left == 0
	if d.kind == Text && !d.zip {
		if !d.text.add(part) {
			return event{}, &ProtocolError{StatusInvalidData, "text is not UTF-8"}
		}
		if last && !d.text.complete() {
			return event{}, &ProtocolError{StatusInvalidData, "text ends inside a character"}
		}
	}
	if !last {
		d.keep(part)
		return event{}, nil
	}
	if d.msg != nil {
		d.keep(part)
		part = d.msg
	}
	ev := event{d.kind, d.zip, part}
	d.kind = opContinuation
	return ev, nil
}

// most is the number of bytes of payload that the message may have on the wire.
// The fixed codes of RFC 1951 make nine bits of eight, and what is flushed or
// stored has its headers: a deflated message may be that much longer.
func (d *decoder) most() uint64 {
	n := uint64(d.maxMessage)
	if d.zip {
		n += n/8 + n/64 + 64
	}
	return n
}

// beginning is what has come of a deflated message that is not whole yet, if it
// is to be inflated now, so that a fault shows before the end.
func (d *decoder) beginning() (op Opcode, payload []byte) {
	if !d.zip || d.kind == opContinuation || len(d.msg) < d.look {
		return opContinuation, nil
	}
	return d.kind, d.msg
}

// looked takes note that the beginning was inflated to size bytes. As long as
// those are few, each byte more is reason to do so again; then it is that the
// message has doubled. So all in all it inflates twice as much: a few bytes that
// stand for very many are not inflated with each that comes behind them, of a
// ping for example.
func (d *decoder) looked(size int64) {
	d.look = len(d.msg) + 1
	if size > minBuffer {
		d.look = 2 * len(d.msg)
	}
}

// keep adds part to the message, unless it was read there: see into.
func (d *decoder) keep(part []byte) {
	n := len(d.msg)
	if spare := d.msg[n:cap(d.msg)]; len(part) > 0 && len(part) <= len(spare) && &part[0] == &spare[0] {
		d.msg = d.msg[:n+len(part)]
		return
	}
	if need := n + len(part); need > cap(d.msg) {
		d.grow(need)
	}
	d.msg = append(d.msg, part...)
}

// grow makes room for need bytes, all of which have come, and for more. The
// buffer doubles with the bytes that came: what a header claims bounds it, but
// never makes it grow.
func (d *decoder) grow(need int) {
	most := d.most()
	if d.fin {
		most = uint64(need) + d.left
	}
	room := int(min(uint64(max(need, 2*cap(d.msg), minBuffer)), most))
	if size := payloadSize(need, most); size >= minPayload && size <= maxPayload {
		room = size
	}
	next := append(takePayload(room), d.msg...)
	if d.msg != nil {
		givePayload(d.msg)
	}
	d.msg = next
}

// fail makes fault the answer from now on.
func (d *decoder) fail(fault *ProtocolError) error {
	d.drop(decoderFailed)
	d.err = fault
	return fault
}

// drop ends the decoder's work in phase and lets its buffers go.
func (d *decoder) drop(phase decoderPhase) {
	if d.msg != nil {
		givePayload(d.msg)
	}
	d.phase, d.msg, d.ctl = phase, nil, nil
}
