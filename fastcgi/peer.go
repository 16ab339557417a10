package fastcgi

// What follows is called by connections, under their own lock.

// mayKeep reports whether a request with a body of n bytes leaves its
// connection open.
func (c *Client) mayKeep(n int) bool {
	if c.opts.KeepAlive == 0 || n > c.opts.KeepAliveBody {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.pool.peer.noKeepAlive && !c.pool.closing
}

func (c *Client) mayShare() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.pool.peer.noSharing
}

func (c *Client) learnNoSharing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.peer.noSharing = true
}

func (c *Client) learnNoKeepAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.peer.noKeepAlive = true
}

// answered notes an answer to FCGI_GET_VALUES and reports whether the server
// is known to keep a connection afterwards.
func (c *Client) answered() (proven bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.peer.silences = 0
	return c.pool.peer.proven
}

// proven notes that a connection outlived the answer.
func (c *Client) proven() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool.peer.proven = true
}

// closedBehindAnswer notes that a connection did not.
func (c *Client) closedBehindAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pool.peer
	if p.closings++; !p.proven && p.closings >= closingsTaught {
		p.noKeepAlive = true
	}
}

// unanswered notes that FCGI_GET_VALUES was not answered in time. That
// teaches nothing about a server that has answered before.
func (c *Client) unanswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pool.peer
	if p.silences++; !p.proven && p.silences >= silencesTaught {
		p.noKeepAlive = true
	}
}

func (c *Client) someoneWaits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pool.line.len() > 0
}

func (c *Client) takeStream() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool.streams >= c.opts.MaxStreams {
		return false
	}
	c.pool.streams++
	return true
}
