package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// How fast one client address may open connections: so many a second, and so
// many at once.
const (
	newPerSecond = 20
	newBurst     = 100
)

// maxHandshakeShare is the part of all handshakes in progress that one client
// address may have: a sixteenth. Silent sockets of one client cannot keep the
// others out.
const maxHandshakeShare = 16

// addresses bounds the connections of each client address. An entry lives as
// long as it matters: while connections are open or have just been opened.
type addresses struct {
	mu      sync.Mutex // guards what follows
	most    int        // connections at one time
	known   map[netip.Prefix]*visitor
	purged  int // entries left by the last purge
	shaking map[netip.Prefix]int
}

// A visitor is what one address does. While it has connections, no other is made
// for that address.
type visitor struct {
	open int
	paid time.Time // when the connections it has opened are paid for, at newPerSecond
}

func newAddresses(most int) *addresses {
	return &addresses{most: most, known: map[netip.Prefix]*visitor{}, shaking: map[netip.Prefix]int{}}
}

// visitorKey is what counts as one address: one of IPv4, and of IPv6 the /64
// that one subscriber has. Addresses that stand for many clients, or for a
// proxy of our own, are not counted: local ones, and trusted ones.
func (t Trust) visitorKey(a netip.Addr) (key netip.Prefix, counted bool) {
	if !a.IsValid() || a.IsLoopback() || t.has(a) {
		return netip.Prefix{}, false
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	key, err := a.WithZone("").Prefix(bits)
	return key, err == nil
}

// allow changes how many connections an address may have. Those it has stay.
func (t *addresses) allow(most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most = most
}

// enter counts one more connection of the visitor with that key until leave, or
// gives nil: it is one too many.
func (t *addresses) enter(key netip.Prefix, now time.Time) *visitor {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.known[key]
	if v == nil {
		t.purge(now)
		v = &visitor{}
		t.known[key] = v
	}
	if v.paid.Before(now) {
		v.paid = now
	}
	const interval = time.Second / newPerSecond
	if v.open >= t.most || v.paid.Sub(now) > (newBurst-1)*interval {
		return nil
	}
	v.open++
	v.paid = v.paid.Add(interval)
	return v
}

// leave takes note that a connection of v has ended.
func (t *addresses) leave(v *visitor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.open--
}

// begin counts one more handshake of key, and reports whether it is one of at
// most n. It is counted in any case, until end.
func (t *addresses) begin(key netip.Prefix, n int) (ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shaking[key]++
	return t.shaking[key] <= n
}

// end takes note that a handshake of key is over.
func (t *addresses) end(key netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shaking[key]--; t.shaking[key] == 0 {
		delete(t.shaking, key)
	}
}

// purge forgets addresses that do nothing any more, whenever the table has
// doubled since the last time, so that it costs little and bounds the table by
// what is open and what came in the last seconds.
func (t *addresses) purge(now time.Time) {
	if len(t.known) < 2*t.purged+1024 {
		return
	}
	for key, v := range t.known {
		if v.open == 0 && !v.paid.After(now) {
			delete(t.known, key)
		}
	}
	t.purged = len(t.known)
}
