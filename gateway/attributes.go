package gateway

import (
	"slices"
	"strings"

	"ws-fpm/fastcgi"
)

// Limits of what replies may bind to one connection.
const (
	maxAttributes     = 128
	maxAttributeBytes = 16 << 10 // of the user, and of all names and values, together
)

// Attributes are what PHP's replies have bound to a connection: its user, named
// values and channels, which every later event gives back as WS_USER, WS_ATTR_*
// and WS_CHANNELS.
// A value of this type is never changed, only replaced.
type attributes struct {
	user   string
	list   []attribute // sorted by name
	params fastcgi.Params

	channels []string // that it listens to, given back as WS_CHANNELS
}

// An attribute's name is that of its param, WS_ATTR_ and upper-case letters,
// digits and underscores.
type attribute struct{ name, value string }

// same reports whether a reply has changed nothing of b.
func (a attributes) same(b attributes) bool {
	return a.user == b.user && sameSlice(a.list, b.list) && sameSlice(a.channels, b.channels)
}

func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// apply gives the attributes after a reply with the fields of h: WS-User and
// WS-Set-<Name>, of which the last of each name counts and an empty one
// deletes. A reason means that h is wrong and nothing of it counts.
func (a attributes) apply(h fastcgi.Header) (next attributes, reason string) {
	next = attributes{user: a.user, list: slices.Clone(a.list), channels: a.channels}
	changed := false
	for _, f := range h {
		if !hasPrefixFold(f.Name, "WS-") {
			continue
		}
		name := strings.ToUpper(f.Name)
		switch set, isSet := strings.CutPrefix(name, "WS-SET-"); {
		case name == "WS-USER":
			next.user, changed = f.Value, true
		case isSet && !plainName(set):
			return attributes{}, "WS-Set- with a name not of A-Z, 0-9 and -"
		case isSet:
			next.set("WS_ATTR_"+strings.ReplaceAll(set, "-", "_"), f.Value)
			changed = true
		}
	}
	if !changed {
		return a, ""
	}
	return next.encode()
}

// listen gives the attributes after a reply with those orders. A reason means
// what it means for apply.
func (a attributes) listen(o *orders) (next attributes, reason string) {
	if !o.moves() {
		return a, ""
	}
	next = attributes{user: a.user, list: a.list}
	if next.channels, reason = o.apply(a.channels); reason != "" {
		return attributes{}, reason
	}
	return next.encode()
}

func (a *attributes) set(name, value string) {
	i, found := slices.BinarySearchFunc(a.list, name, func(t attribute, name string) int {
		return strings.Compare(t.name, name)
	})
	switch {
	case found && value == "":
		a.list = slices.Delete(a.list, i, i+1)
	case found:
		a.list[i].value = value
	case value != "":
		a.list = slices.Insert(a.list, i, attribute{name, value})
	}
}

// encode checks the limits and makes the params.
func (a attributes) encode() (attributes, string) {
	size := len(a.user)
	for _, t := range a.list {
		size += len(t.name) - len("WS_ATTR_") + len(t.value)
	}
	switch {
	case len(a.list) > maxAttributes:
		return attributes{}, "more than 128 attributes"
	case size > maxAttributeBytes:
		return attributes{}, "user and attributes of more than 16 KiB"
	}
	var e environment
	if a.user != "" {
		e.addText("WS_USER", a.user)
	}
	for _, t := range a.list {
		e.addText(t.name, t.value)
	}
	if len(a.channels) > 0 {
		e.add("WS_CHANNELS", channelsParam(a.channels))
	}
	if e.err != nil {
		return attributes{}, "WS-User or WS-Set- with a control character"
	}
	a.params = slices.Clip(e.params)
	return a, ""
}
