// Package websocket implements the server side of RFC 6455, and of RFC 7692.
//
// What the protocol allows is decided by code that sees bytes and gives back
// values: frames (frame.go, mask.go), messages (decoder.go, utf8.go), what we
// send (encode.go), the closing handshake (close.go), whose pages may connect
// (origin.go) and what comes of an offer to deflate messages (extensions.go). It
// does no I/O, takes no lock, knows no time and starts no goroutine; the buffers
// that long messages gather in are from pools (payloads.go). Deflating and
// inflating (deflate.go, inflate.go) is such code too, but for the pools that keep
// what compress/flate needs. The opening handshake (handshake.go) is
// decided in the same way from a request that net/http has parsed, or, if it is
// of the plainest form, request.go.
//
// Sockets, locks, time and the poller are in the other files; they carry bytes
// to that code and its decisions to the peer.
package websocket
