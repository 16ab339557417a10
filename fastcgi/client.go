// Package fastcgi is a client for FastCGI 1.0 application servers, php-fpm
// first of all: it sends requests over a bounded pool of connections, never
// lets a request run twice, and reads the CGI replies.
package fastcgi

import (
	"context"
)

// A Class is a request's place in the queue for a connection.
type Class uint8

// Requests of an earlier class are served first; within a class, first come,
// first served.
const (
	Message Class = iota
	Connect
	Disconnect
)

// A Request is one call of the application. Its memory is the caller's again
// when [Client.Do] returns: it has been copied by then.
type Request struct {
	Params []Params // sent in this order, before CONTENT_LENGTH and REQUEST_METHOD
	Get    bool     // a GET without body; else a POST
	Body   []byte
	Class  Class
}

// A Client sends requests to one FastCGI server. All its methods may be called
// from several goroutines at once.
type Client struct {
	opts Options
	n    counters
}

// New returns a client. It connects when the first request comes.
func New(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Client{opts: o}, nil
}

// Do sends req and returns the reply once its head is complete. The caller
// reads the reply to its end or closes it.
//
// The end of ctx ends the waiting of Do; it does not reach a reply that Do has
// returned. A request that was already sent then runs on.
func (c *Client) Do(ctx context.Context, req *Request) (*Response, error) {
	return nil, &Error{Outcome: NotExecuted, Kind: KindClosed, Op: "sending", Err: errClientClosed}
}

// Close refuses further requests, closes idle connections, and lets requests
// in hand finish until ctx ends; then it closes their connections as well.
// It returns ctx's error if it came to that.
func (c *Client) Close(ctx context.Context) error { return nil }

// Stats returns a snapshot.
func (c *Client) Stats() Stats { return c.n.snapshot() }
