package websocket

import "sync"

// A ticket names a tenant of a table. It outlives the tenant without harm: a
// slot's next one has another generation.
type ticket struct{ slot, generation uint32 }

// A table holds the tenants of a loop.
type table struct {
	mu    sync.Mutex // guards what follows
	slots []slot
	free  []uint32
	conns int // tenants that are a *Conn
}

type slot struct {
	tenant     tenant // nil: free
	generation uint32
}

func (t *table) add(tenant tenant) ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) == 0 {
		t.free = append(t.free, uint32(len(t.slots)))
		t.slots = append(t.slots, slot{})
	}
	n := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.slots[n].tenant = tenant
	t.countLocked(tenant, 1)
	return ticket{n, t.slots[n].generation}
}

func (t *table) remove(k ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countLocked(t.slots[k.slot].tenant, -1)
	t.slots[k.slot] = slot{generation: t.slots[k.slot].generation + 1}
	t.free = append(t.free, k.slot)
}

// replace gives the slot of k, which is not free, and k itself to tenant.
func (t *table) replace(k ticket, tenant tenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countLocked(t.slots[k.slot].tenant, -1)
	t.slots[k.slot].tenant = tenant
	t.countLocked(tenant, 1)
}

func (t *table) countLocked(tenant tenant, n int) {
	if _, is := tenant.(*Conn); is {
		t.conns += n
	}
}

// find returns the tenant that k was given to, or nil if it has gone.
func (t *table) find(k ticket) tenant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(k.slot) >= len(t.slots) || t.slots[k.slot].generation != k.generation {
		return nil
	}
	return t.slots[k.slot].tenant
}

// len is the number of connections.
func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns
}

// tenantsOf appends to list the tenants of one kind in one of several equal
// parts of t, so that a walk over all of them never holds the lock for long.
func tenantsOf[T tenant](list []T, t *table, i, parts int) []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.slots[len(t.slots)*i/parts : len(t.slots)*(i+1)/parts] {
		if one, is := s.tenant.(T); is {
			list = append(list, one)
		}
	}
	return list
}
