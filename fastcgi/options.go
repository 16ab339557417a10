package fastcgi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Options configure a [Client]. No value of any field means "no limit".
type Options struct {
	// Network is "unix" or "tcp"; Address is a socket's path or host:port.
	Network, Address string

	// MaxConns bounds the connections, each of which holds one worker of
	// php-fpm: in use, idle, being closed, and resting after a request that
	// never ended. Zero means 4.
	MaxConns int

	// MaxStreams bounds the replies that are streamed at once. Zero means
	// half of MaxConns, at least 1.
	MaxStreams int

	// KeepAlive is how long an idle connection stays open. Zero means that
	// each request has a connection of its own.
	KeepAlive time.Duration

	// KeepAliveBody is the longest body, in bytes, sent on a connection that
	// is kept. After a longer one the connection is closed, so that a rest
	// PHP left unread is never taken for another request. Zero means 8192.
	KeepAliveBody int

	// ConnectTimeout bounds one attempt to connect, and how long a request
	// waits for a server that is down. Zero means 1 s.
	ConnectTimeout time.Duration

	// Timeout bounds a plain reply: from the moment its request has a
	// connection until all of the reply has come. Zero means 30 s.
	Timeout time.Duration

	// StreamTimeout bounds the silence between two records of a streamed
	// reply, MaxStream its whole duration. Zero means 30 s and 10 min.
	StreamTimeout, MaxStream time.Duration

	// Queue bounds the requests that wait for a connection, QueueTimeout how
	// long each of them waits. Zero means 1024 and 5 s.
	Queue        int
	QueueTimeout time.Duration

	// Multiplex lets several requests share a connection once the server has
	// said that it multiplexes (FastCGI 1.0 section 4.1, FCGI_MPXS_CONNS).
	Multiplex bool

	// MaxHead and MaxHeadLines bound the head of a reply. Zero means 16 KiB
	// and 100 lines.
	MaxHead, MaxHeadLines int

	// MaxStderr is how much of a request's FCGI_STDERR is kept, in bytes.
	// Zero means 8 KiB.
	MaxStderr int

	// Dial opens a connection. Nil means a net.Dialer for Network and
	// Address.
	Dial func(ctx context.Context) (net.Conn, error)

	path string // of a Unix socket, if Dial was nil
}

func (o Options) withDefaults() (Options, error) {
	o.MaxConns = cmp.Or(o.MaxConns, 4)
	o.MaxStreams = cmp.Or(o.MaxStreams, max(1, o.MaxConns/2))
	o.KeepAliveBody = cmp.Or(o.KeepAliveBody, 8192)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, time.Second)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.StreamTimeout = cmp.Or(o.StreamTimeout, 30*time.Second)
	o.MaxStream = cmp.Or(o.MaxStream, 10*time.Minute)
	o.Queue = cmp.Or(o.Queue, 1024)
	o.QueueTimeout = cmp.Or(o.QueueTimeout, 5*time.Second)
	o.MaxHead = cmp.Or(o.MaxHead, 16<<10)
	o.MaxHeadLines = cmp.Or(o.MaxHeadLines, 100)
	o.MaxStderr = cmp.Or(o.MaxStderr, 8<<10)

	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxConns", int64(o.MaxConns)},
		{"MaxStreams", int64(o.MaxStreams)},
		{"KeepAlive", int64(o.KeepAlive)},
		{"KeepAliveBody", int64(o.KeepAliveBody)},
		{"ConnectTimeout", int64(o.ConnectTimeout)},
		{"Timeout", int64(o.Timeout)},
		{"StreamTimeout", int64(o.StreamTimeout)},
		{"MaxStream", int64(o.MaxStream)},
		{"Queue", int64(o.Queue)},
		{"QueueTimeout", int64(o.QueueTimeout)},
		{"MaxHead", int64(o.MaxHead)},
		{"MaxHeadLines", int64(o.MaxHeadLines)},
		{"MaxStderr", int64(o.MaxStderr)},
	} {
		if f.value < 0 {
			return o, fmt.Errorf("fastcgi: %s is negative: %d", f.name, f.value)
		}
	}
	if o.MaxStreams > o.MaxConns && !o.Multiplex {
		return o, fmt.Errorf("fastcgi: MaxStreams is %d, over MaxConns, %d", o.MaxStreams, o.MaxConns)
	}
	if o.Dial != nil {
		return o, nil
	}
	switch o.Network {
	case "unix", "tcp":
	default:
		return o, fmt.Errorf("fastcgi: Network is %q, want unix or tcp", o.Network)
	}
	if o.Address == "" {
		return o, errors.New("fastcgi: Address is empty")
	}
	if o.Network == "unix" {
		o.path = o.Address
	}
	network, address, dialer := o.Network, o.Address, new(net.Dialer)
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	return o, nil
}
