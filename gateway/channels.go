package gateway

import (
	"slices"
	"strings"

	"ws-fpm/fastcgi"
	"ws-fpm/hub"
)

// maxChannels is how many channels one connection may listen to.
const maxChannels = 128

// maxChannelsParam is the longest WS_CHANNELS, in bytes; it is cut between two
// names.
const maxChannelsParam = 4 << 10

// A publication is one WS-Publish: where the body of a reply goes.
type publication struct {
	channels    []string
	excludeSelf bool
}

// orders are what a reply asks for about channels.
type orders struct {
	unsubscribeAll         bool
	unsubscribe, subscribe []string
	publish                []publication
	reply                  bool // what is published is the client's answer too
}

// readOrders reads WS-Subscribe, WS-Unsubscribe and WS-Publish.
func readOrders(h fastcgi.Header) (o orders, reason string) {
	for _, f := range h {
		if !hasPrefixFold(f.Name, "WS-") {
			continue
		}
		var names []string
		switch strings.ToUpper(f.Name) {
		case "WS-SUBSCRIBE":
			if names, reason = channelList(f.Value); reason != "" {
				return orders{}, "WS-Subscribe: " + reason
			}
			o.subscribe = append(o.subscribe, names...)
		case "WS-UNSUBSCRIBE":
			if strings.TrimSpace(f.Value) == "*" {
				o.unsubscribeAll = true
				continue
			}
			if names, reason = channelList(f.Value); reason != "" {
				return orders{}, "WS-Unsubscribe: " + reason + ", or * alone"
			}
			o.unsubscribe = append(o.unsubscribe, names...)
		case "WS-PUBLISH":
			if reason = o.readPublish(f.Value); reason != "" {
				return orders{}, "WS-Publish: " + reason
			}
		}
	}
	return o, ""
}

// readPublish reads one WS-Publish: channels, and behind them what holds for
// all of that line.
func (o *orders) readPublish(value string) (reason string) {
	list, params, _ := strings.Cut(value, ";")
	p := publication{}
	if p.channels, reason = channelList(list); reason != "" {
		return reason
	}
	if params != "" {
		for param := range strings.SplitSeq(params, ";") {
			switch strings.ToLower(strings.ReplaceAll(strings.TrimSpace(param), " ", "")) {
			case "exclude=self":
				p.excludeSelf = true
			case "reply":
				o.reply = true
			default:
				return "want channels, then ; exclude=self or ; reply"
			}
		}
	}
	if len(p.channels) > 0 {
		o.publish = append(o.publish, p)
	}
	return ""
}

// channelList reads names between commas. Nothing at all is a list of none, as
// an empty array of PHP makes it.
func channelList(value string) (names []string, reason string) {
	if strings.TrimSpace(value) == "" {
		return nil, ""
	}
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		if !hub.ValidName(name) {
			return nil, "want names of channels"
		}
		names = append(names, name)
	}
	return names, ""
}

// moves reports whether the connection's channels may change.
func (o *orders) moves() bool {
	return o.unsubscribeAll || len(o.unsubscribe) > 0 || len(o.subscribe) > 0
}

// apply gives the channels of a connection that listens to current: first it
// leaves, then it comes.
func (o *orders) apply(current []string) (next []string, reason string) {
	if !o.unsubscribeAll {
		for _, name := range current {
			if !slices.Contains(o.unsubscribe, name) {
				next = append(next, name)
			}
		}
	}
	for _, name := range o.subscribe {
		if !slices.Contains(next, name) {
			next = append(next, name)
		}
		if len(next) > maxChannels {
			return nil, "WS-Subscribe: more than 128 channels of one connection"
		}
	}
	return next, ""
}

// channelsParam is WS_CHANNELS.
func channelsParam(names []string) string {
	var b strings.Builder
	for _, name := range names {
		if b.Len()+1+len(name) > maxChannelsParam {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
	}
	return b.String()
}
