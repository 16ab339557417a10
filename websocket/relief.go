package websocket

import (
	"cmp"
	"maps"
	"slices"
)

// Pressed reports whether the queues of all connections hold so much, four
// fifths of Options.Buffers, that nobody else should be let in.
func (s *Server) Pressed() bool { return s.budget.full(newcomersLevel) }

// relieveLater has the connections that hold most closed. It takes no lock that
// a handler could hold.
func (s *Server) relieveLater() {
	if s.budget.relieving.CompareAndSwap(false, true) {
		s.spawn(s.relieve)
	}
}

// relievedBand is how much less than the first a connection may hold, as a
// divisor, to be closed for the same look at all of them. Others may hold more by
// then: who holds little is not to go for what they have taken meanwhile.
const relievedBand = 8

// relieve closes the connections that hold most until there is room again. That
// is more room than was missing, so that a look at all connections does not
// follow each byte that comes.
func (s *Server) relieve() {
	b := &s.budget
	for idle := 0; idle < 2; idle++ {
		var most int64
		for _, c := range s.holders() {
			n, _ := c.holds.load()
			most = max(most, n)
			if !b.over(relievedLevel) || n < most/relievedBand {
				break
			}
			if n > 0 && b.choose(c) {
				c.shedLoad(&s.stats.shed)
				idle = -1
			}
		}
		b.relieving.Store(false)
		// Who came over the level meanwhile has relied on us.
		if !b.over(shedLevel) || !b.relieving.CompareAndSwap(false, true) {
			return
		}
	}
	b.relieving.Store(false) // nobody to go: they are going
}

// overflowLocked closes c, for which a message was queued where there is no room.
// To choose others takes time, in which whoever writes would go on, so what waits
// is forgotten at once, and the rest is done later: a handler may hold locks.
func (c *Conn) overflowLocked() {
	s := c.server
	news := s.budget.choose(c)
	c.giveUpLocked(StatusTryAgain)
	c.dropLocked(&s.stats.droppedShed)
	c.sendCloseLocked(appendClose(nil, StatusTryAgain, "overloaded"))
	if news {
		s.spawn(func() { c.shedLoad(&s.stats.shed) })
	}
	if c.heldOut > 0 && s.budget.crowded(c) { // see shedLoad
		c.breakLocked()
		s.spawn(c.Kill)
	}
}

// holders gives the connections that hold anything, the largest first.
func (s *Server) holders() []*Conn {
	type holder struct {
		c    *Conn
		held int64
	}
	var list []holder
	add := func(c *Conn) {
		if n, shed := c.holds.load(); n > 0 && !shed {
			list = append(list, holder{c, n})
		}
	}
	var conns []*Conn
	for _, l := range s.loops {
		for i := range sweepSteps {
			conns = tenantsOf(conns[:0], &l.table, i, sweepSteps)
			for _, c := range conns {
				add(c)
			}
		}
	}
	s.budget.mu.Lock()
	gone := slices.Collect(maps.Keys(s.budget.gone))
	s.budget.mu.Unlock()
	for _, c := range gone {
		add(c)
	}
	slices.SortFunc(list, func(a, b holder) int { return cmp.Compare(b.held, a.held) })
	conns = conns[:0]
	for _, h := range list {
		conns = append(conns, h.c)
	}
	return conns
}
