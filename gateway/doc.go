// Package gateway is the product: it turns what happens on WebSocket
// connections into requests to php-fpm, and PHP's replies into messages.
//
//	newcomers.go   connections that are not upgraded yet, and how many there may be
//	front.go       clients are received in the loops: the plainest handshakes there,
//	               and refusals for want of room
//	plain.go       which those are, read without net/http
//	guest.go       whether an HTTP request may become a session
//	handshake.go   it becomes one, or gets its refusal
//	connect.go     PHP is asked who may come in
//	session.go     a session: one message in PHP at a time, the rest waits
//	ending.go      how a session ends: by its client, by PHP, by us
//	event.go       one event: its params, the request, the reply
//	streaming.go   a reply that is sent bit by bit
//	push.go        what comes to a client from elsewhere: channels, users, the control API
//	farewell.go    the events that no client waits for: disconnect and start
//	drain.go       a shutdown: all are let go, one after the other
//	reconfigure.go other options, without closing a connection
//	call.go        one event without a client, to be looked at
//
// What decides without doing is apart and pure: path.go (which route), peer.go
// (who the client is), params.go (what PHP is told), reply.go, attributes.go,
// channels.go, cookies.go and stream.go (what PHP's answer means).
package gateway
