package hub

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// groups are names with members behind them.
type groups[F any] struct {
	seed   maphash.Seed
	most   int64
	count  atomic.Int64 // groups; atomic, for each shard has a part of them
	places atomic.Int64 // of all groups
	parts  [shards]part[F]
}

type part[F any] struct {
	mu     sync.Mutex // guards what follows, and all there is in the groups
	groups map[string]*group[F]
}

// A group is the members behind one name. A member keeps its place as long as
// somebody walks over the list, so that nobody is passed over or met twice.
type group[F any] struct {
	name  string
	list  []*place[F] // nil: a hole
	holes []uint32    // where those are
	live  int         // places that are not holes
	turn  uint64      // of the newest walk
	walks int         // in progress
}

// A place is one member's in a group.
type place[F any] struct {
	seat  *Seat[F]
	group *group[F]
	at    uint32
	since uint64 // the turn that was the newest when it came
}

func (g *groups[F]) part(name string) *part[F] {
	return &g.parts[maphash.String(g.seed, name)%shards]
}

// add gives s a place behind name. It reports false if there are as many names
// as there may be.
func (g *groups[F]) add(name string, s *Seat[F]) (p *place[F], ok bool) {
	part := g.part(name)
	part.mu.Lock()
	defer part.mu.Unlock()
	in := part.groups[name]
	if in == nil {
		if g.count.Add(1) > g.most {
			g.count.Add(-1)
			return nil, false
		}
		in = &group[F]{name: strings.Clone(name)} // name may be a piece of something long
		if part.groups == nil {
			part.groups = map[string]*group[F]{}
		}
		part.groups[in.name] = in
	}
	g.places.Add(1)
	p = &place[F]{seat: s, group: in, since: in.turn}
	in.put(p)
	return p, true
}

// put puts p into a hole, or at the end.
func (in *group[F]) put(p *place[F]) {
	in.live++
	if last := len(in.holes) - 1; last >= 0 {
		p.at, in.holes = in.holes[last], in.holes[:last]
		in.list[p.at] = p
		return
	}
	p.at = uint32(len(in.list))
	in.list = append(in.list, p)
}

// remove takes p out of the group behind name, and the group out of the table
// if nobody is left.
func (g *groups[F]) remove(name string, p *place[F]) {
	part := g.part(name)
	part.mu.Lock()
	defer part.mu.Unlock()
	g.places.Add(-1)
	in := p.group
	in.list[p.at] = nil
	if in.live--; in.live == 0 {
		delete(part.groups, name)
		if len(part.groups) == 0 {
			part.groups = nil // a map never shrinks
		}
		in.list, in.holes = nil, nil
		g.count.Add(-1)
		return
	}
	in.holes = append(in.holes, p.at)
	in.tighten()
}

// tighten closes the holes if most of the list is holes, so that a group which
// was large once costs no more than what is left of it.
func (in *group[F]) tighten() {
	if in.walks > 0 || len(in.list) < 16 || in.live*4 > len(in.list) {
		return
	}
	list := make([]*place[F], 0, in.live*2)
	for _, p := range in.list {
		if p != nil {
			p.at = uint32(len(list))
			list = append(list, p)
		}
	}
	in.list, in.holes = list, nil
}

// stride is how many members a walk takes under the lock at a time.
const stride = 256

// A walk goes over the members that a group has when it begins. Its next takes
// some of them, none when it is at the end; stop is called then, or before.
type walk[F any] struct {
	part *part[F]
	in   *group[F] // nil: there is no such group
	turn uint64
	at   int
}

func (g *groups[F]) walk(name string) walk[F] {
	part := g.part(name)
	part.mu.Lock()
	defer part.mu.Unlock()
	w := walk[F]{part: part, in: part.groups[name]}
	if w.in != nil {
		w.in.walks++
		w.in.turn++
		w.turn = w.in.turn
	}
	return w
}

func (w *walk[F]) next(into []*Seat[F]) (n int) {
	if w.in == nil {
		return 0
	}
	w.part.mu.Lock()
	defer w.part.mu.Unlock()
	for n < len(into) && w.at < len(w.in.list) {
		p := w.in.list[w.at]
		w.at++
		if p != nil && p.since < w.turn {
			into[n] = p.seat
			n++
		}
	}
	return n
}

func (w *walk[F]) stop() {
	if w.in == nil {
		return
	}
	w.part.mu.Lock()
	defer w.part.mu.Unlock()
	w.in.walks--
	w.in.tighten()
}

// deliver hands f to the members behind name, but for except.
func (g *groups[F]) deliver(name string, f F, except *Seat[F], count *counters) (took int) {
	w := g.walk(name)
	defer w.stop()
	var some [stride]*Seat[F]
	refused := 0
	for n := w.next(some[:]); n > 0; n = w.next(some[:]) {
		for _, s := range some[:n] {
			switch {
			case s == except:
			case s.member.Deliver(f):
				took++
			default:
				refused++
			}
		}
	}
	count.taken.Add(uint64(took))
	count.refused.Add(uint64(refused))
	return took
}

// members gives some of the members behind name, and the number of all.
func (g *groups[F]) members(name string, most int) (list []Member[F], total int) {
	part := g.part(name)
	part.mu.Lock()
	defer part.mu.Unlock()
	in := part.groups[name]
	if in == nil {
		return nil, 0
	}
	for _, p := range in.list {
		if len(list) >= most {
			break
		}
		if p != nil {
			list = append(list, p.seat.member)
		}
	}
	return list, in.live
}

// list gives the groups whose names begin with prefix.
func (g *groups[F]) list(prefix string, most int) (list []Channel, total int) {
	for i := range g.parts {
		part := &g.parts[i]
		part.mu.Lock()
		for name, in := range part.groups {
			if strings.HasPrefix(name, prefix) {
				list = append(list, Channel{name, in.live})
			}
		}
		part.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Channel) int { return cmp.Compare(a.Name, b.Name) })
	return list[:min(most, len(list))], len(list)
}
