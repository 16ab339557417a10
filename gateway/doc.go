// Package gateway is the product: it turns what happens on WebSocket
// connections into requests to php-fpm, and PHP's replies into messages.
//
//	handshake.go   an HTTP request becomes a session, or gets its refusal
//	session.go     a session: one message in PHP at a time, the rest waits
//	event.go       one event: its params, the request, the reply
//
// What decides without doing is apart and pure: path.go (which route), peer.go
// (who the client is), params.go (what PHP is told), reply.go (what PHP's
// answer means).
package gateway
