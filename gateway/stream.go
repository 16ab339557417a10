package gateway

import (
	"bytes"
	"errors"
	"strings"

	"ws-fpm/fastcgi"
	"ws-fpm/websocket"
)

// errLongEvent is an event of a stream that is longer than a reply may be.
var errLongEvent = errors.New("gateway: event of a stream over the limit")

// A format is how a streamed reply is divided into messages.
type format uint8

const (
	whole  format = iota // it is not: the body is one message
	sse                  // text/event-stream, as the HTML standard has it
	ndjson               // application/x-ndjson: each line is a message
)

// formatOf tells a streamed reply by its media type.
func formatOf(h fastcgi.Header) format {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "text/event-stream":
		return sse
	case "application/x-ndjson":
		return ndjson
	}
	return whole
}

// maxFraming is what a line may have besides the bytes of an event: a byte
// order mark and the name of the field.
const maxFraming = len("\xef\xbb\xbfdata: ")

// A splitter divides a streamed reply into messages, however it comes in
// parts. An event may be max bytes long; what is kept is at most one line and
// one event.
type splitter struct {
	format format
	max    int

	line    []byte // of a line that is not complete
	skipLF  bool   // the last byte was a CR: an LF now belongs to it
	begun   bool   // a byte order mark can come no more
	data    []byte // of the SSE event so far
	hasData bool
	close   bool // the event is ws-close
}

// An item is one thing that a stream says: a message, or an order to close.
type item struct {
	message []byte
	close   *websocket.Closing
}

// feed takes the next bytes and calls emit with each item they complete. The
// item's message is good until emit returns. Feed stops at the first error,
// its own or emit's.
func (s *splitter) feed(b []byte, emit func(item) error) error {
	for len(b) > 0 {
		if s.skipLF {
			s.skipLF = false
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		end := s.lineEnd(b)
		part := b[:max(end, 0)]
		if end < 0 {
			part = b
		}
		if len(s.line)+len(part) > s.max+maxFraming {
			return errLongEvent
		}
		s.line = append(s.line, part...)
		if end < 0 {
			return nil
		}
		s.skipLF = s.format == sse && b[end] == '\r'
		b = b[end+1:]
		if err := s.endLine(emit); err != nil {
			return err
		}
	}
	return nil
}

// end takes the end of a complete reply: a last line without its line end
// counts, and so does a last event without its empty line.
func (s *splitter) end(emit func(item) error) error {
	if len(s.line) > 0 {
		if err := s.endLine(emit); err != nil {
			return err
		}
	}
	if s.format == sse {
		return s.dispatch(emit)
	}
	return nil
}

// lineEnd is the index of the first line end in b, or -1. A lone CR ends a line
// of SSE.
func (s *splitter) lineEnd(b []byte) int {
	if s.format == sse {
		return bytes.IndexAny(b, "\r\n")
	}
	return bytes.IndexByte(b, '\n')
}

func (s *splitter) endLine(emit func(item) error) error {
	line := s.line
	s.line = s.line[:0]
	if !s.begun {
		s.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	if s.format == sse {
		return s.field(line, emit)
	}
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return nil
	}
	if len(line) > s.max {
		return errLongEvent
	}
	return emit(item{message: line})
}

// field takes a line of SSE. Fields other than data and event are for a
// browser's EventSource and mean nothing here.
func (s *splitter) field(line []byte, emit func(item) error) error {
	if len(line) == 0 {
		return s.dispatch(emit)
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if s.hasData {
			s.data = append(s.data, '\n')
		}
		if len(s.data)+len(value) > s.max {
			return errLongEvent
		}
		s.data = append(s.data, value...)
		s.hasData = true
	case "event":
		s.close = string(value) == "ws-close"
	}
	return nil
}

// dispatch ends an event of SSE.
func (s *splitter) dispatch(emit func(item) error) error {
	data, hasData, isClose := s.data, s.hasData, s.close
	s.data, s.hasData, s.close = s.data[:0], false, false
	if !hasData {
		return nil
	}
	if !isClose {
		return emit(item{message: data})
	}
	how, reason := parseClose(string(data))
	if reason != "" {
		return errors.New("gateway: event ws-close: " + reason)
	}
	return emit(item{close: how})
}
