package websocket

import "time"

// sweep looks at the clocks of every connection once in a sweepCycle, in
// small steps, so that no connection needs a timer. Arrivals, which stand in
// the order of their time, are looked at in each step.
func (s *Server) sweep() {
	tick := time.NewTicker(sweepCycle / sweepSteps)
	defer tick.Stop()
	var conns []*Conn
	for step := 0; ; step = (step + 1) % sweepSteps {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		for _, l := range s.loops {
			conns = tenantsOf(conns[:0], &l.table, step, sweepSteps)
			for _, c := range conns {
				c.check(s.now())
			}
			clear(conns) // or the list would keep them alive
		}
		s.mu.Lock()
		acceptors := s.acceptors
		s.mu.Unlock()
		for _, a := range acceptors {
			a.sweep(s.now())
		}
	}
}

// check enforces what is timed on c.
func (c *Conn) check(now int64) {
	defer c.rescue()
	stats := &c.server.stats
	if c.dead.Load() {
		return // its reader will end it
	}
	if at := c.blocked.Load(); at != 0 && now-at >= int64(writeTimeout) {
		c.stall()
		return
	}
	if by := c.closeBy.Load(); by != 0 {
		if now >= by {
			c.cut(&stats.closeTimeouts)
			c.Kill()
		}
		return
	}
	if begun := c.begun.Load(); begun != 0 && now-begun >= int64(messageTimeout) && !c.failed.Load() {
		if c.late.CompareAndSwap(false, true) {
			c.cut(&stats.messageTimeouts)
		}
		c.nudge()
		return
	}
	if at := c.expires.Load(); at != 0 && now >= at {
		c.Close(StatusPolicy, "expired")
		return
	}
	heard := c.heard.Load()
	switch {
	case c.unread():
		c.pinged = 0 // a pong would not be read
	case c.pinged == 0:
		if now-heard >= c.server.ping.Load() && c.ping() {
			stats.pings.Add(1)
			c.pinged = now
		}
	case heard >= c.pinged:
		c.pinged = 0
	case now-c.pinged >= c.server.pong.Load():
		c.cut(&stats.pongTimeouts)
		c.Kill()
	}
}
