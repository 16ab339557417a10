package fastcgi

import "io"

// A Response is the reply to one request. One goroutine at a time may use it.
// It has to be read to its end or closed.
type Response struct {
	Status int    // 200 if PHP did not say, 302 if it sent only a Location
	Reason string // what followed the status code, often ""
	Header Header // without Status, Content-Length and Transfer-Encoding
}

// Read reads from the body, as PHP flushes it. It gives io.EOF only after the
// server said that the request is complete; a reply cut short is an *Error.
func (r *Response) Read(p []byte) (int, error) { return 0, io.EOF }

// AppendBody appends what is left of the body to b. If that is more than max
// bytes the reply is given up, as by [Response.Close], and the error is of
// KindTooBig. On error it gives back b as it was.
func (r *Response) AppendBody(b []byte, max int) ([]byte, error) { return b, nil }

// Stream makes this a streamed reply: from now on StreamTimeout and MaxStream
// bound it instead of Timeout. If MaxStreams replies are streamed already, the
// error is of KindBusy and the reply stays a plain one.
//
// The server's socket is not read while 64 KiB wait to be read from a reply.
func (r *Response) Stream() error { return nil }

// Close gives up what is left of the reply. A plain one is discarded until its
// request ends, for at most Timeout; the connection can then be used again. A
// streamed one's connection is closed at once, which ends PHP at its next
// write. Closing a reply that is at its end, or twice, does nothing.
func (r *Response) Close() error { return nil }

// Stderr returns what the request wrote to FCGI_STDERR, up to MaxStderr bytes,
// and how many bytes more there were. It is complete once the reply has ended.
func (r *Response) Stderr() (text []byte, dropped int) { return nil, 0 }
