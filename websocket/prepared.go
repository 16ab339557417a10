package websocket

import (
	"sync"
	"sync/atomic"
)

// A Prepared is a message for many connections: it is encoded once for all of
// them, and what their sockets do not take at once they share too. It never
// changes, so several goroutines may use it at once.
type Prepared struct {
	server  *Server
	op      Opcode
	payload []byte // the end of whole.b
	whole   encoded

	mu  sync.Mutex // guards what follows
	cut map[int]*encoded
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
	e := p.cut[fragment]
	if e == nil {
		p.server.stats.encoded.Add(1)
		e = &encoded{b: appendMessage(nil, p.op, p.payload, fragment)}
		if p.cut == nil {
			p.cut = map[int]*encoded{}
		}
		p.cut[fragment] = e
	}
	return e
}

// WritePrepared is WriteMessage for a message that others get too. It copies
// nothing, be it written or queued.
func (c *Conn) WritePrepared(p *Prepared) error {
	e := p.in(c.fragment)
	return c.writeMessage(e.b, e)
}
