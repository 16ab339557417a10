package websocket

import "bytes"

// A backlog is what a socket has not taken yet, in the order in which it is
// to go out. Pongs overtake, between two frames.
type backlog struct {
	cut     []byte // of the frame being written, what is left
	cutOp   Opcode // of that frame
	cutLast bool   // it ends a message
	cutHeld int    // bytes that are let go with it
	cutFrom *encoded
	pongs   [][]byte
	queue   []entry

	size int        // bytes not written, waiting pongs apart
	held int        // bytes of the buffers they are in
	let  []*encoded // shared buffers let go, which Conn has not booked yet
}

// An entry is some whole frames: a message or the rest of one, a control frame,
// or the rest of several pongs.
type entry struct {
	b       []byte
	held    int // bytes of the buffer that b is the rest of
	message bool
	from    *encoded // that buffer, if others may have it too; it is never written to
}

// maxPongs is how many pongs wait for one socket; one more takes the place of
// the newest. RFC 6455, section 5.5.3, asks for an answer to the latest ping
// only, so a client that does not read cannot make us keep more.
const maxPongs = 16

func (l *backlog) push(b []byte, message bool, from *encoded) {
	l.queue = append(l.queue, entry{b, len(b), message, from})
	l.size += len(b)
	l.held += len(b)
}

// pushCut queues what is left of b, whose first n bytes have been written, in
// front of all else. Of several pongs the rest goes where pongs wait, or later
// ones would overtake it.
func (l *backlog) pushCut(b []byte, n int, message bool, from *encoded) {
	start, end := 0, nextFrame(b) // of the frame that byte n is in
	for end <= n {
		start, end = end, end+nextFrame(b[end:])
	}
	if frameOp(b) == opPong {
		for rest := b[end:]; len(rest) > 0; rest = rest[nextFrame(rest):] {
			l.pushPong(bytes.Clone(rest[:nextFrame(rest)]))
		}
		b = b[:end]
	}
	rest, held := b[n:], len(b)
	if from == nil {
		rest, held = bytes.Clone(rest), len(rest)
	}
	l.size += len(rest)
	l.held += held
	l.cut, l.cutOp = rest[:end-n], frameOp(b[start:])
	l.cutLast, l.cutHeld, l.cutFrom = message && end == len(b), 0, nil
	if end == len(b) {
		l.cutHeld, l.cutFrom = held, from
		return
	}
	l.queue = append([]entry{{rest[end-n:], held, message, from}}, l.queue...)
}

func (l *backlog) pushPong(frame []byte) {
	if len(l.pongs) == maxPongs {
		l.pongs = l.pongs[:maxPongs-1]
	}
	l.pongs = append(l.pongs, frame)
}

// next returns the bytes to write now, which end where a frame ends; nil if
// there are none.
func (l *backlog) next() []byte {
	switch {
	case len(l.cut) > 0:
	case len(l.pongs) > 0:
		l.cut, l.cutOp = l.pongs[0], opPong
		l.cutLast, l.cutHeld, l.cutFrom = false, len(l.pongs[0]), nil
		l.pongs = l.pongs[1:]
		l.size += len(l.cut)
		l.held += len(l.cut)
	case len(l.queue) > 0:
		e := &l.queue[0]
		n := nextFrame(e.b)
		l.cut, l.cutOp = e.b[:n], frameOp(e.b)
		l.cutLast, l.cutHeld, l.cutFrom = false, 0, nil
		if e.b = e.b[n:]; len(e.b) == 0 {
			l.cutLast, l.cutHeld, l.cutFrom = e.message, e.held, e.from
			l.queue[0] = entry{}
			l.queue = l.queue[1:]
		}
	default:
		return nil
	}
	return l.cut
}

// wrote takes note that the first n bytes of next's result were written. It
// reports whether that was the rest of a frame, and of a message.
func (l *backlog) wrote(n int) (frame, message bool) {
	l.size -= n
	l.cut = l.cut[n:]
	if len(l.cut) > 0 {
		return false, false
	}
	l.held -= l.cutHeld
	l.letGo(l.cutFrom)
	l.cutHeld, l.cutFrom = 0, nil
	return true, l.cutLast
}

func (l *backlog) letGo(from *encoded) {
	if from != nil {
		l.let = append(l.let, from)
	}
}

// drop forgets all but the frame being written and a close frame. It returns
// the number of messages that will not go out, or not as a whole.
func (l *backlog) drop() (messages int) {
	if len(l.cut) == 0 {
		l.cutHeld = 0
	} else if l.cutHeld == 0 {
		l.cutHeld, l.cutFrom = l.queue[0].held, l.queue[0].from // the buffer that cut is in
		l.queue[0].from = nil
	}
	queue := l.queue
	l.queue, l.pongs = nil, nil
	l.size, l.held = len(l.cut), l.cutHeld
	for _, e := range queue {
		l.letGo(e.from)
		switch {
		case e.message:
			messages++
		case frameOp(e.b) == opClose:
			l.push(e.b, false, nil)
		}
	}
	return messages
}

// end forgets all. It returns what drop returns.
func (l *backlog) end() (messages int) {
	messages = l.drop()
	if len(l.cut) > 0 && l.cutLast {
		messages++
	}
	l.letGo(l.cutFrom)
	*l = backlog{let: l.let}
	return messages
}

// frameOp is the opcode of the frame that b begins with.
func frameOp(b []byte) Opcode { return Opcode(b[0] & 0xF) }
