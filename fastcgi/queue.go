package fastcgi

import "time"

const classes = int(Disconnect) + 1

// A waiter is a request that waits for a connection.
type waiter struct {
	class Class
	alone bool // wants a connection that carries nothing else
	since time.Time

	// got receives what the waiter was granted: a connection with room or,
	// nil, the right to open one. It never blocks the sender.
	got chan *conn

	// Of a started request, for which nobody waits: itself, and the grant.
	request *Response
	cn      *conn

	granted    bool
	prev, next *waiter
}

// A fifo is a list of waiters: first come, first served, unless one leaves.
type fifo struct {
	first, last *waiter
	n           int
}

func (q *fifo) push(w *waiter) {
	w.prev = q.last
	if q.last != nil {
		q.last.next = w
	} else {
		q.first = w
	}
	q.last = w
	q.n++
}

func (q *fifo) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.prev, w.next = nil, nil
	q.n--
}

// takeStarted takes out the started requests for which want is true, and links
// them by next.
func (l *line) takeStarted(want func(*Response) bool) (taken *waiter) {
	for i := range l.waiting {
		for w := l.waiting[i].last; w != nil; {
			earlier := w.prev
			if w.request != nil && want(w.request) {
				l.waiting[i].remove(w)
				w.next = taken
				taken = w
			}
			w = earlier
		}
	}
	return taken
}

func (l *line) eachStarted(f func(*Response)) {
	for i := range l.waiting {
		for w := l.waiting[i].first; w != nil; w = w.next {
			if w.request != nil {
				f(w.request)
			}
		}
	}
}

// A line is the requests that wait, by class, and what each class holds.
type line struct {
	waiting  [classes]fifo
	holding  [classes]int // connections that carry a request of that class
	maxConns int
	aged     time.Duration // a request that has waited this long goes first
}

func (l *line) len() int {
	n := 0
	for i := range l.waiting {
		n += l.waiting[i].n
	}
	return n
}

// share is how many connections a class may hold while others wait: events
// at a connection's ends must not keep its messages from being answered.
func (l *line) share(c Class) int {
	switch c {
	case Message:
		return l.maxConns
	case Connect:
		return max(1, l.maxConns/2)
	case Disconnect:
		return max(1, l.maxConns/4)
	}
	panic("BUG: fastcgi: no such class")
}

// may reports whether a request of class c may be served now, if there is a
// connection for it and nobody before it. Disconnect never exceeds its share.
func (l *line) may(c Class) bool {
	return c != Disconnect || l.holding[c] < l.share(c)
}

// head returns who is served next. A connect or disconnect that has waited
// too long overtakes messages while its class is below its share, so that
// a flood of messages does not shut out every newcomer.
func (l *line) head(now time.Time) *waiter {
	for _, c := range [...]Class{Connect, Disconnect} {
		w := l.waiting[c].first
		if w != nil && now.Sub(w.since) >= l.aged && l.holding[c] < l.share(c) {
			return w
		}
	}
	for c := Message; int(c) < classes; c++ {
		if w := l.waiting[c].first; w != nil && l.may(c) {
			return w
		}
	}
	return nil
}
