package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"ws-fpm/fastcgi"
)

// A route is a prefix that is served, or was: its connections outlive it.
type route struct {
	prefix string
	now    atomic.Pointer[terms] // what the next event goes by; replaced as a whole

	// Gateway.mu guards what follows.
	sessions  int
	gone      bool // not served any more
	announced bool // PHP was sent a start
}

// Terms are a Route in force.
type terms struct {
	Route
	params fastcgi.Params // what every event of the route repeats
	events fastcgi.Params // WS_EVENTS, which a connection keeps
	late   *mailbox       // of the route's backend
}

func (t *terms) has(event string) bool { return slices.Contains(t.Events, event) }

// terms makes the terms of each route, but for the mailbox.
func (o *Options) terms(boot string) (list []*terms, err error) {
	prefixes := map[string]bool{}
	for _, r := range o.Routes {
		if r, err = r.withDefaults(); err != nil {
			return nil, err
		}
		if prefixes[r.Prefix] {
			return nil, fmt.Errorf("gateway: two routes %s", r.Prefix)
		}
		prefixes[r.Prefix] = true
		t := &terms{Route: r}
		if t.params, err = routeParams(&r, o.Software, boot, o.API); err == nil {
			t.events, err = fastcgi.AppendParam(nil, "WS_EVENTS", strings.Join(r.Events, ","))
		}
		if err != nil {
			return nil, fmt.Errorf("gateway: route %s: %w", r.Prefix, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// A setup is what a Gateway goes by. It is never changed.
type setup struct {
	Options
	routes []*route // the longest prefix first
}

// find returns the route for a decoded path, or nil.
func (s *setup) find(path string) *route {
	for _, r := range s.routes {
		if matches(r.prefix, path) {
			return r
		}
	}
	return nil
}

func byLength(a, b *route) int { return cmp.Compare(len(b.prefix), len(a.prefix)) }
