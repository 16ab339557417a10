package hub

import (
	"errors"
	"slices"
	"sync"
)

// Why a subscription is refused.
var (
	ErrTooManyChannels = errors.New("hub: the member listens to as many channels as it may")
	ErrChannelsFull    = errors.New("hub: there are as many channels as there may be")
	ErrGone            = errors.New("hub: the member has left")
)

// A Seat is what a hub knows of one member.
type Seat[F any] struct {
	id     string
	member Member[F]

	mu    sync.Mutex // guards what follows; taken before that of any table
	gone  bool
	bound *bound[F] // nil: neither user nor channel
}

// bound is a member's places in groups.
type bound[F any] struct {
	name     string // of the user
	user     *place[F]
	channels []*place[F]
}

// ID is the member's id.
func (s *Seat[F]) ID() string { return s.id }

// Member is who sits there.
func (s *Seat[F]) Member() Member[F] { return s.member }

func (s *Seat[F]) boundLocked() *bound[F] {
	if s.bound == nil {
		s.bound = &bound[F]{}
	}
	return s.bound
}

// tidyLocked frees what holds nothing.
func (s *Seat[F]) tidyLocked() {
	if b := s.bound; b != nil && b.user == nil && len(b.channels) == 0 {
		s.bound = nil
	}
}

// Bind binds the member to a user, in place of the one before; to nobody if
// user is empty.
func (h *Hub[F]) Bind(s *Seat[F], user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bound
	if s.gone || b == nil && user == "" || b != nil && b.name == user {
		return
	}
	b = s.boundLocked()
	if b.user != nil {
		h.users.remove(b.name, b.user)
	}
	b.name, b.user = user, nil
	if user != "" {
		b.user, _ = h.users.add(user, s)
	}
	s.tidyLocked()
}

// Subscribe makes the member listen to the channel. Again is no error.
func (h *Hub[F]) Subscribe(s *Seat[F], channel string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return ErrGone
	}
	b := s.boundLocked()
	if b.at(channel) >= 0 {
		return nil
	}
	if len(b.channels) >= h.opts.PerMember {
		h.count.tooManyChannels.Add(1)
		return ErrTooManyChannels
	}
	p, ok := h.channels.add(channel, s)
	if !ok {
		s.tidyLocked()
		h.count.channelsFull.Add(1)
		return ErrChannelsFull
	}
	b.channels = append(b.channels, p)
	return nil
}

// Unsubscribe ends that. It reports false if the member did not listen.
func (h *Hub[F]) Unsubscribe(s *Seat[F], channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bound
	if b == nil {
		return false
	}
	i := b.at(channel)
	if i < 0 {
		return false
	}
	h.channels.remove(channel, b.channels[i])
	b.channels = slices.Delete(b.channels, i, i+1)
	s.tidyLocked()
	return true
}

// at is where the channel is among the member's, or -1.
func (b *bound[F]) at(channel string) int {
	return slices.IndexFunc(b.channels, func(p *place[F]) bool { return p.group.name == channel })
}

// Subscriptions are the channels the member listens to, in the order in which
// it came to them.
func (h *Hub[F]) Subscriptions(s *Seat[F]) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound == nil {
		return nil
	}
	for _, p := range s.bound.channels {
		names = append(names, p.group.name)
	}
	return names
}

// Leave ends the membership; a second Leave does nothing. Nothing is bound to
// the seat afterwards, nor can be.
func (h *Hub[F]) Leave(s *Seat[F]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.member == nil {
		return // it never joined, or has left
	}
	s.gone = true
	part := h.idShard(s.id)
	part.mu.Lock()
	delete(part.seats, s.id)
	if len(part.seats) == 0 {
		part.seats = nil // a map never shrinks
	}
	part.mu.Unlock()
	b := s.bound
	if b == nil {
		return
	}
	s.bound = nil
	if b.user != nil {
		h.users.remove(b.name, b.user)
	}
	for _, p := range b.channels {
		h.channels.remove(p.group.name, p)
	}
}
