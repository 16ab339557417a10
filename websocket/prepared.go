package websocket

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// A Prepared is a message for many connections: it is encoded once for all of
// them, once more for those who may have it deflated, and what their sockets do
// not take at once they share too. It never changes, so several goroutines may
// use it at once.
type Prepared struct {
	server  *Server
	op      Opcode
	payload []byte // the end of whole.b
	whole   encoded

	mu       sync.Mutex // guards what follows
	tried    bool       // to deflate it
	deflated []byte     // payload, deflated; nil: as it is
	forms    map[form]*encoded
}

// A form is a way to send a message that is not whole.
type form struct {
	fragment int // zero: in one frame
	deflated bool
}

// An encoded is a message as it goes out. It is of nobody's pool: whoever still
// has it to send keeps it alive.
type encoded struct {
	b        []byte
	outboxes atomic.Int64 // that hold it; what all hold together counts it once
}

// Prepare encodes a message. The payload is copied.
func (s *Server) Prepare(op Opcode, payload []byte) *Prepared {
	s.stats.encoded.Add(1)
	p := &Prepared{server: s, op: op}
	p.whole.b = appendMessage(make([]byte, 0, maxHeader+len(payload)), op, payload, max(1, len(payload)))
	p.payload = p.whole.b[len(p.whole.b)-len(payload):]
	return p
}

// Size is the number of bytes of the message.
func (p *Prepared) Size() int { return len(p.payload) }

// in gives the message in frames of at most fragment bytes of payload each:
// once for each size, and mostly it fits in one frame.
func (p *Prepared) in(fragment int) *encoded {
	if len(p.payload) <= fragment {
		return &p.whole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.formLocked(form{fragment, false})
}

// deflatedIn is in for a client that may have the message deflated. Whoever
// comes first deflates it; the others wait for that.
func (p *Prepared) deflatedIn(fragment int) *encoded {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tried {
		p.tried = true
		if d := p.server.deflate(p.payload); d != nil {
			p.deflated = bytes.Clone(d.out)
			d.release()
		}
	}
	switch {
	case p.deflated == nil && len(p.payload) <= fragment:
		return &p.whole
	case p.deflated == nil:
		return p.formLocked(form{fragment, false})
	case len(p.deflated) <= fragment:
		return p.formLocked(form{0, true})
	}
	return p.formLocked(form{fragment, true})
}

// formLocked gives the message in a form, made the first time that it is asked
// for.
func (p *Prepared) formLocked(f form) *encoded {
	e := p.forms[f]
	if e != nil {
		return e
	}
	p.server.stats.encoded.Add(1)
	switch {
	case !f.deflated:
		e = &encoded{b: appendMessage(nil, p.op, p.payload, f.fragment)}
	case f.fragment == 0:
		e = &encoded{b: appendDeflated(make([]byte, 0, maxHeader+len(p.deflated)), p.op, p.deflated, len(p.deflated))}
	default:
		e = &encoded{b: appendDeflated(nil, p.op, p.deflated, f.fragment)}
	}
	if p.forms == nil {
		p.forms = map[form]*encoded{}
	}
	p.forms[f] = e
	return e
}

// WritePrepared is WriteMessage for a message that others get too. It copies
// nothing, be it written or queued.
func (c *Conn) WritePrepared(p *Prepared) error {
	form := p.in
	if c.deflate {
		form = p.deflatedIn
	}
	e := form(c.fragment)
	return c.writeMessage(e.b, e)
}
