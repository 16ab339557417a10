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

// addresses bounds the connections of each client address. An entry lives as
// long as it matters: while connections are open or have just been opened.
type addresses struct {
	most int // connections at one time

	mu     sync.Mutex // guards what follows
	known  map[netip.Prefix]*visitor
	purged int // entries left by the last purge
}

// A visitor is what one address does.
type visitor struct {
	open int
	paid time.Time // when the connections it has opened are paid for, at newPerSecond
}

func newAddresses(most int) *addresses {
	return &addresses{most: most, known: map[netip.Prefix]*visitor{}}
}

// visitorKey is what counts as one address: one of IPv4, and of IPv6 the /64
// that one subscriber has. Addresses that stand for many clients, or for a
// proxy of our own, are not counted: local ones, and trusted ones.
func (t Trust) visitorKey(addr string) (key netip.Prefix, counted bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.IsLoopback() || t.has(a) {
		return netip.Prefix{}, false
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	key, err = a.WithZone("").Prefix(bits)
	return key, err == nil
}

// enter counts one more connection of key, or refuses it.
func (t *addresses) enter(key netip.Prefix, now time.Time) (ok bool) {
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
		return false
	}
	v.open++
	v.paid = v.paid.Add(interval)
	return true
}

// leave takes note that a connection of key has ended.
func (t *addresses) leave(key netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[key].open--
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
