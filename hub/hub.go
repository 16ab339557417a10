// Package hub knows who is connected and who listens to which channel, and
// hands a message to all of them. It knows nothing of what a message is or how
// it reaches anybody: a member takes an encoded frame and never waits.
//
//	hub.go     members by their id
//	seat.go    what one member has bound: a user, channels
//	groups.go  names and who is behind them: channels, users
//
// No entry outlives its last member: a channel exists while somebody listens.
package hub

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A Member is who frames are for.
type Member[F any] interface {
	// Deliver takes a frame, or reports false if it cannot. It never waits.
	// It is called by several goroutines at once and may be called once more
	// after a channel was left, if a publish was under way.
	Deliver(frame F) bool
}

// Options configure a Hub. The zero value is safe and ready to use; no value
// means "no limit".
type Options struct {
	// PerMember bounds the channels of one member. Zero means 128.
	PerMember int

	// Channels bounds all channels together. Zero means 100,000.
	Channels int
}

func (o Options) withDefaults() (Options, error) {
	o.PerMember = cmp.Or(o.PerMember, 128)
	o.Channels = cmp.Or(o.Channels, 100000)
	if o.PerMember < 0 || o.Channels < 0 {
		return o, fmt.Errorf("hub: a negative option: PerMember %d, Channels %d", o.PerMember, o.Channels)
	}
	return o, nil
}

// shards is the number of parts of each table, so that cores seldom wait for
// one another. A power of two.
const shards = 32

// A Hub holds members. Its methods may be called by several goroutines at once.
type Hub[F any] struct {
	opts     Options
	seed     maphash.Seed
	ids      [shards]idShard[F]
	channels groups[F]
	users    groups[F]
	count    counters
}

type idShard[F any] struct {
	mu    sync.Mutex // guards what follows
	seats map[string]*Seat[F]
}

// New makes a hub without members.
func New[F any](o Options) (*Hub[F], error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Hub[F]{opts: o, seed: maphash.MakeSeed()}
	h.channels.seed, h.channels.most = h.seed, int64(o.Channels)
	h.users.seed, h.users.most = h.seed, 1<<62 // each has a member, and those are bounded where they come in
	return h, nil
}

// Join makes m a member by that id. The seat is the caller's memory, so that
// a member without user and channels costs nothing else but an entry of a map;
// it must not be copied. An id that is in use already is a fault of the program.
func (h *Hub[F]) Join(s *Seat[F], id string, m Member[F]) {
	s.id, s.member = id, m
	part := h.idShard(id)
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.seats[id] != nil {
		panic("BUG: two members of the same id")
	}
	if part.seats == nil {
		part.seats = map[string]*Seat[F]{}
	}
	part.seats[id] = s
}

// Find gives the seat of the member with that id, or nil.
func (h *Hub[F]) Find(id string) *Seat[F] {
	part := h.idShard(id)
	part.mu.Lock()
	defer part.mu.Unlock()
	return part.seats[id]
}

func (h *Hub[F]) idShard(id string) *idShard[F] {
	return &h.ids[maphash.String(h.seed, id)%shards]
}

// Members is the number of members.
func (h *Hub[F]) Members() (n int) {
	for i := range h.ids {
		part := &h.ids[i]
		part.mu.Lock()
		n += len(part.seats)
		part.mu.Unlock()
	}
	return n
}

// All gives some members, at most that many, and the number of all.
func (h *Hub[F]) All(most int) (list []Member[F], total int) {
	for i := range h.ids {
		part := &h.ids[i]
		part.mu.Lock()
		total += len(part.seats)
		for _, s := range part.seats {
			if len(list) >= most {
				break
			}
			list = append(list, s.member)
		}
		part.mu.Unlock()
	}
	return list, total
}

// Send hands f to the member with that id. It reports false if there is none,
// or if it did not take it.
func (h *Hub[F]) Send(id string, f F) bool {
	s := h.Find(id)
	return s != nil && h.count.delivered(s.member.Deliver(f))
}

// Publish hands f to all members that listen to the channel, but for except,
// which may be nil. It gives the number of those that took it.
//
// No lock is held while members take it. What one goroutine publishes, one
// after the other, each member gets in that order. Who joins meanwhile does not
// get f; who stays gets it once.
func (h *Hub[F]) Publish(channel string, f F, except *Seat[F]) (took int) {
	h.count.publishes.Add(1)
	return h.channels.deliver(channel, f, except, &h.count)
}

// SendToUser hands f to all members bound to that user. It gives the number of
// those that took it.
func (h *Hub[F]) SendToUser(user string, f F) (took int) {
	return h.users.deliver(user, f, nil, &h.count)
}

// Listeners gives some members that listen to the channel, at most that many,
// and the number of all.
func (h *Hub[F]) Listeners(channel string, most int) (list []Member[F], total int) {
	return h.channels.members(channel, most)
}

// OfUser gives some members bound to that user, at most that many, and the
// number of all.
func (h *Hub[F]) OfUser(user string, most int) (list []Member[F], total int) {
	return h.users.members(user, most)
}

// A Channel is one that somebody listens to.
type Channel struct {
	Name    string
	Members int
}

// Channels gives the channels whose names begin with prefix, by name, at most
// that many, and the number of all such.
func (h *Hub[F]) Channels(prefix string, most int) (list []Channel, total int) {
	return h.channels.list(prefix, most)
}

// Stats is what a Hub has done, and what it holds.
type Stats struct {
	Channels  int64 // that somebody listens to
	Users     int64 // that somebody is bound to
	Listening int64 // pairs of a member and a channel

	Publishes uint64 // to channels
	Taken     uint64 // frames that members took
	Refused   uint64 // frames that members did not take

	TooManyChannels uint64 // subscriptions refused: the member has as many as it may
	ChannelsFull    uint64 // subscriptions refused: there are as many channels as there may be
}

type counters struct {
	publishes, taken, refused     atomic.Uint64
	tooManyChannels, channelsFull atomic.Uint64
}

func (c *counters) delivered(ok bool) bool {
	if ok {
		c.taken.Add(1)
	} else {
		c.refused.Add(1)
	}
	return ok
}

// Stats gives a snapshot; its figures are each right but not of one instant.
func (h *Hub[F]) Stats() Stats {
	return Stats{
		Channels:        h.channels.count.Load(),
		Users:           h.users.count.Load(),
		Listening:       h.channels.places.Load(),
		Publishes:       h.count.publishes.Load(),
		Taken:           h.count.taken.Load(),
		Refused:         h.count.refused.Load(),
		TooManyChannels: h.count.tooManyChannels.Load(),
		ChannelsFull:    h.count.channelsFull.Load(),
	}
}
