package fastcgi

import (
	"errors"
	"fmt"
)

// sharedLimit is how many requests share a connection to a server that
// multiplexes.
const sharedLimit = 8

// maxManagement is the longest content of a management record, in bytes. An
// answer to the one question we ask takes 19.
const maxManagement = 1024

// A mux is the state of one connection as FastCGI 1.0 section 3 defines it:
// which requests are in flight, and so which record is legal now and whose it
// is. It is fed what was read and told what is written.
//
// An id stays in flight until its END_REQUEST, whoever still wants the reply,
// so that no record reaches a later request.
type mux struct {
	inFlight [sharedLimit]bool // by id-1: the lowest free id is used
	active   int               // how many of them are true
	shared   bool              // the server said it multiplexes
	unasked  int               // FCGI_GET_VALUES written and not answered

	hdr     [headerLen]byte
	hdrLen  int
	rec     header
	content int // bytes of rec still to come
	padding int // likewise
	small   []byte
	err     error // sticky
}

type eventKind uint8

const (
	noEvent      eventKind = iota // all of the input is used up
	evStdout                      // id wrote data
	evStderr                      // likewise
	evEnd                         // id has ended, with status
	evResult                      // FCGI_GET_VALUES was answered
	evNotOffered                  // the server does not know FCGI_GET_VALUES
)

// An event is what a part of the input meant.
type event struct {
	kind   eventKind
	id     uint16
	data   []byte // part of what was fed
	status uint8
	shares bool // evResult: the server multiplexes

	// proves: evResult came while nothing was in flight and as the answer to
	// the last question, so the server waits for a request. One that comes
	// before END_REQUEST proves nothing: php-fpm may close after END_REQUEST.
	proves bool
}

var (
	errEndLength  = errors.New("END_REQUEST not of 8 bytes")
	errManagement = errors.New("management record with a request's id")
	errUnasked    = errors.New("answer to a question that was not asked")
)

// begin takes the lowest free id. It reports false if the connection carries
// all it may: one request, until the server has said that it multiplexes.
// php-fpm silently corrupts the first when it gets a second.
func (m *mux) begin() (id uint16, ok bool) {
	limit := 1
	if m.shared {
		limit = sharedLimit
	}
	if m.active >= limit || m.err != nil {
		return 0, false
	}
	for i := range m.inFlight {
		if !m.inFlight[i] {
			m.inFlight[i] = true
			m.active++
			return uint16(i + 1), true
		}
	}
	panic("BUG: fastcgi: fewer requests in flight than ids, and no id free")
}

// ask notes that FCGI_GET_VALUES is written.
func (m *mux) ask() { m.unasked++ }

// next decodes the start of b and returns what it meant and how many bytes
// that took. With noEvent all of b is used up. An error is final.
func (m *mux) next(b []byte) (ev event, n int, err error) {
	if m.err != nil {
		return event{}, 0, m.err
	}
	for n < len(b) {
		if m.hdrLen < headerLen {
			n += m.takeHeader(b[n:])
			if m.hdrLen < headerLen {
				break
			}
			if m.err = m.openRecord(); m.err != nil {
				return event{}, n, m.err
			}
		} else if m.content > 0 {
			part := b[n:min(len(b), n+m.content)]
			n += len(part)
			m.content -= len(part)
			if ev = m.takeContent(part); ev.kind != noEvent {
				m.closeIfDone()
				return ev, n, nil
			}
		} else {
			skip := min(len(b)-n, m.padding)
			n += skip
			m.padding -= skip
		}
		if m.content == 0 {
			if ev, err = m.complete(); ev.kind != noEvent || err != nil {
				m.err = err
				m.closeIfDone()
				return ev, n, err
			}
		}
		m.closeIfDone()
	}
	return event{}, n, nil
}

func (m *mux) takeHeader(b []byte) int {
	n := copy(m.hdr[m.hdrLen:], b)
	m.hdrLen += n
	return n
}

// openRecord decides whether the record whose header just came is legal.
func (m *mux) openRecord() error {
	rec, err := parseHeader(&m.hdr)
	if err != nil {
		return err
	}
	switch rec.typ {
	case typeStdout, typeStderr, typeEnd:
		if rec.id == 0 || rec.id > sharedLimit || !m.inFlight[rec.id-1] {
			return fmt.Errorf("record of type %d for request %d, which is not in flight", rec.typ, rec.id)
		}
		if rec.typ == typeEnd && rec.content != 8 {
			return errEndLength
		}
	case typeResult, typeUnknown:
		if rec.id != 0 {
			return errManagement
		}
		if rec.content > maxManagement {
			return fmt.Errorf("management record of %d bytes", rec.content)
		}
	default:
		return fmt.Errorf("record of type %d, which no server sends", rec.typ)
	}
	m.rec, m.content, m.padding = rec, int(rec.content), int(rec.padding)
	m.small = m.small[:0]
	return nil
}

func (m *mux) takeContent(part []byte) event {
	switch m.rec.typ {
	case typeStdout:
		return event{kind: evStdout, id: m.rec.id, data: part}
	case typeStderr:
		return event{kind: evStderr, id: m.rec.id, data: part}
	default:
		m.small = append(m.small, part...) // bounded by openRecord
		return event{}
	}
}

// complete gives the meaning of a record that only counts as a whole. It is
// called once for each: its type is forgotten, the padding is not.
func (m *mux) complete() (event, error) {
	typ := m.rec.typ
	m.rec.typ = 0
	switch typ {
	case typeEnd:
		id, status := m.rec.id, m.small[4]
		if status > statusRole {
			return event{}, fmt.Errorf("END_REQUEST with protocol status %d", status)
		}
		// The last three bytes are reserved; php-fpm leaves garbage there.
		m.inFlight[id-1] = false
		m.active--
		return event{kind: evEnd, id: id, status: status}, nil
	case typeResult:
		return m.result()
	case typeUnknown:
		if m.unasked == 0 {
			return event{}, errUnasked
		}
		m.unasked--
		return event{kind: evNotOffered}, nil
	}
	return event{}, nil // a stream's record, empty or at its end
}

// result reads the answer to FCGI_GET_VALUES. One that does not carry our
// value is not the answer: Go's server sends an empty one behind each.
func (m *mux) result() (event, error) {
	for b := m.small; len(b) > 0; {
		name, value, n, err := parsePair(b)
		if err != nil {
			return event{}, err
		}
		b = b[n:]
		if string(name) != mpxsConns {
			continue
		}
		if m.unasked == 0 {
			return event{}, errUnasked
		}
		m.unasked--
		return event{
			kind:   evResult,
			shares: string(value) == "1",
			proves: m.active == 0 && m.unasked == 0,
		}, nil
	}
	return event{}, nil
}

// closeIfDone makes ready for the next header once the padding is skipped.
func (m *mux) closeIfDone() {
	if m.content == 0 && m.padding == 0 && m.rec.typ == 0 {
		m.hdrLen = 0
	}
}

// midRecord reports whether a record is incomplete, its padding apart.
func (m *mux) midRecord() bool {
	return m.hdrLen > 0 && (m.hdrLen < headerLen || m.content > 0)
}
