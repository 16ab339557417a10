package fastcgi

import "syscall"

// A Watcher waits for sockets in a goroutine that others use as well, so that
// a connection needs none of its own.
type Watcher interface {
	// Watch has ready called, by one goroutine at a time, whenever sock can be
	// read, until stop is called; one more call may come after that. Ready may
	// use buf until it returns. It returns how many bytes it has read, so that who
	// reads much can be put off, or -1 if a reply has ended with them. A nil buf
	// says that the watcher has ended.
	Watch(sock syscall.RawConn, ready func(buf []byte) (n int)) (stop func(), err error)
}

// WatchWith has w wait for the connections opened from now on, as far as they
// are sockets. The receivers of [Client.Start] then run in w's goroutines.
func (c *Client) WatchWith(w Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watcher = w
}

// watchesUnix reports whether new connections are to a Unix socket, and watched.
// Those Go's own poller need not know.
func (c *Client) watchesUnix() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watcher != nil && c.opts.path != ""
}

// watch has the client's watcher wait for cn. It reports false if a goroutine
// has to.
func (cn *conn) watch() bool {
	c := cn.client
	c.mu.Lock()
	w := c.watcher
	c.mu.Unlock()
	if w == nil || !cn.take.able() {
		return false
	}
	stop, err := w.Watch(cn.raw, cn.readable)
	cn.mu.Lock()
	closed := cn.state == connClosed
	if !closed {
		cn.stop = stop
	}
	cn.unlock()
	switch {
	case err != nil && !closed:
		c.WatchWith(nil) // it waits for none of the others either
	case err == nil && closed:
		stop()
	}
	return err == nil
}

// unwatch is called once the socket is closed, or for a goroutine to read on. It
// reports false if there is nothing to stop, or not yet: watch is about to return.
func (cn *conn) unwatch() bool {
	cn.mu.Lock()
	stop := cn.stop
	cn.stop = nil
	cn.unlock()
	if stop != nil {
		stop()
	}
	return stop != nil
}

// readable reads what has come, once: if that was not all, it is called again (see
// Watcher).
func (cn *conn) readable(buf []byte) (n int) {
	if buf == nil {
		cn.mu.Lock()
		open := cn.state != connClosed
		cn.stop = nil
		cn.unlock()
		if open {
			cn.client.work.Go(cn.readLoop)
		}
		return 0
	}
	if cn.leaveToReadLoop() {
		return 0 // it could not be stopped the last time
	}
	if cn.tcp {
		cn.raw.Control(armQuickAck)
	}
	n, err := cn.take.read(buf)
	if err == errNothing {
		return 0
	}
	if cn.received(buf[:n:n], err) {
		n = -1
	}
	cn.leaveToReadLoop()
	return n
}

// leaveToReadLoop has a goroutine read where somebody has to be waited for. It
// reports whether nobody else is to read now.
func (cn *conn) leaveToReadLoop() bool {
	if !cn.lags() {
		return false
	}
	if cn.unwatch() {
		cn.client.work.Go(cn.readLoop)
	}
	return true
}

// lags reports whether a reply's consumer has to be waited for.
func (cn *conn) lags() bool {
	cn.mu.Lock()
	defer cn.unlock()
	r := cn.reqs[0]
	return cn.state != connClosed && r != nil && !cn.mux.shared && r.unread() >= maxUnread
}
