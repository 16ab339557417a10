package websocket

import "time"

// WaitRoom waits until fewer than n bytes are queued for the client, so that
// whoever produces much can go at the client's pace. It fails with ErrClosed
// when nothing can be sent any more. One goroutine at a time may wait.
func (c *Conn) WaitRoom(n int) error {
	for {
		c.mu.Lock()
		switch {
		case c.broken || !c.closing.state.maySendMessage():
			c.mu.Unlock()
			return ErrClosed
		case c.backlog == nil || c.backlog.size < n:
			c.mu.Unlock()
			return nil
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		<-room
	}
}

// wakeLocked has WaitRoom look again.
func (c *Conn) wakeLocked() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// ExpireAfter closes the connection with 1008 after d, at most a second late.
// It replaces what an earlier call asked for.
func (c *Conn) ExpireAfter(d time.Duration) { c.expires.Store(c.server.now() + int64(d)) }
