package websocket

import (
	"compress/flate"
	"errors"
	"io"
	"sync"
)

// inflateRoom is the size, in bytes, of the message that an inflater has room
// for. A larger one is inflated twice: once to learn that it is right and how
// long it is, and then into a buffer of that size. So a message that is
// refused costs time, but no memory.
const inflateRoom = 64 << 10

// maxFinals is the number of blocks with BFINAL set accepted in one message.
// RFC 7692 allows any number; each costs as much as a new message does.
const maxFinals = 128

var errFinals = errors.New("websocket: inflating: too many final blocks")

// inflaters are those not in use. One holds no more than its room and what
// compress/flate keeps, which is its window.
var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.flate = flate.NewReader(&f.in)
	return f
}}

// An inflater gives back what a client deflated (RFC 7692, section 7.2.2), one
// message after the other. None of them can see what was in an earlier one.
type inflater struct {
	in     deflated
	flate  io.ReadCloser
	finals int
	room   [inflateRoom]byte
}

// measure inflates payload, which is a message or only its beginning, and
// returns the length in bytes of what it holds. It goes no further than to the
// first fault: more than limit bytes, or a text that cannot be UTF-8. A message
// of at most inflateRoom bytes is in f.room then.
func (f *inflater) measure(payload []byte, whole bool, op Opcode, limit int64) (size int64, fault *ProtocolError) {
	f.begin(payload, whole)
	var text textCheck
	for {
		at := f.room[:]
		if size < inflateRoom {
			at = f.room[size:]
		}
		n, err := f.read(at)
		size += int64(n)
		switch {
		case size > limit:
			return 0, &ProtocolError{StatusTooBig, "message over the limit when inflated"}
		case op == Text && !text.add(at[:n]):
			return 0, &ProtocolError{StatusInvalidData, "text is not UTF-8"}
		case err == nil:
		case !whole && (err == io.EOF || err == io.ErrUnexpectedEOF):
			return size, nil
		case err == errFinals:
			return 0, &ProtocolError{StatusPolicy, "too many final blocks"}
		case err != io.EOF:
			return 0, &ProtocolError{StatusInvalidData, "message is not deflated"}
		case op == Text && !text.complete():
			return 0, &ProtocolError{StatusInvalidData, "text ends inside a character"}
		default:
			return size, nil
		}
	}
}

// fill inflates payload, of which measure gave len(b), into b.
func (f *inflater) fill(b, payload []byte) {
	f.begin(payload, true)
	for len(b) > 0 {
		n, err := f.read(b)
		if b = b[n:]; err != nil && len(b) > 0 {
			panic("BUG: inflated twice with different results")
		}
	}
}

func (f *inflater) begin(payload []byte, whole bool) {
	f.in = deflated{payload: payload, whole: whole}
	f.finals = 0
	f.reset()
}

func (f *inflater) reset() {
	if err := f.flate.(flate.Resetter).Reset(&f.in, nil); err != nil {
		panic("BUG: resetting a flate reader: " + err.Error())
	}
}

// read inflates the next bytes into b. Behind a block with BFINAL set others
// may follow, from the next whole byte on (RFC 7692, section 7.2.1).
func (f *inflater) read(b []byte) (n int, err error) {
	for {
		n, err = f.flate.Read(b)
		if err != io.EOF || f.in.spent() {
			return n, err
		}
		if f.finals++; f.finals > maxFinals {
			return n, errFinals
		}
		f.reset()
		if n > 0 {
			return n, nil
		}
	}
}

// What a client has taken off the end of a message, and what we put behind
// that so that compress/flate finds an end: empty blocks, the second final.
const (
	tail = "\x00\x00\xff\xff"
	end  = "\x01\x00\x00\xff\xff"
)

// A deflated is what compress/flate reads of a message.
type deflated struct {
	payload []byte
	whole   bool // tail and end follow it
	at      int  // bytes read of all of them
}

func (d *deflated) spent() bool {
	if d.whole {
		return d.at == len(d.payload)+len(tail)+len(end)
	}
	return d.at == len(d.payload)
}

// ReadByte is how compress/flate reads the header of a block. The end has to
// be read as one: a byte, then the rest by Read. Whatever else reads it is
// within a block that the message does not have the rest of.
func (d *deflated) ReadByte() (byte, error) {
	var c byte
	switch past := d.at - len(d.payload); {
	case past < 0:
		c = d.payload[d.at]
	case !d.whole, past > len(tail):
		return 0, io.EOF
	case past < len(tail):
		c = tail[past]
	default:
		c = end[0]
	}
	d.at++
	return c, nil
}

// Read is how compress/flate reads blocks that are stored as they are.
func (d *deflated) Read(b []byte) (n int, err error) {
	switch past := d.at - len(d.payload); {
	case past < 0:
		n = copy(b, d.payload[d.at:])
	case !d.whole, past == len(tail):
		return 0, io.EOF
	case past < len(tail):
		n = copy(b, tail[past:])
	default:
		n = copy(b, end[past-len(tail):])
	}
	d.at += n
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
