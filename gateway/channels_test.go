package gateway

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
	"ws-fpm/hub"
)

func TestReadOrders(t *testing.T) {
	const badName = "want names of channels"
	for _, test := range []struct {
		name   string
		fields []string
		want   orders
		reason string
	}{
		{"nothing", []string{"X: y"}, orders{}, ""},
		{"a list", []string{"WS-Subscribe: a, b:1 ,c/d"}, orders{subscribe: []string{"a", "b:1", "c/d"}}, ""},
		{"repeated fields", []string{"WS-Subscribe: a", "ws-subscribe: b,c"}, orders{subscribe: []string{"a", "b", "c"}}, ""},
		{"an empty list", []string{"WS-Subscribe: ", "WS-Unsubscribe:", "WS-Publish: "}, orders{}, ""},
		{"leaving", []string{"WS-Unsubscribe: a,b"}, orders{unsubscribe: []string{"a", "b"}}, ""},
		{"leaving all", []string{"WS-Unsubscribe: * "}, orders{unsubscribeAll: true}, ""},
		{"leaving all, and more", []string{"WS-Unsubscribe: *, a"}, orders{}, "WS-Unsubscribe: " + badName + ", or * alone"},
		{"coming to all", []string{"WS-Subscribe: *"}, orders{}, "WS-Subscribe: " + badName},
		{"an empty element", []string{"WS-Subscribe: a,,b"}, orders{}, "WS-Subscribe: " + badName},
		{"a comma at the end", []string{"WS-Subscribe: a,"}, orders{}, "WS-Subscribe: " + badName},
		{"a space in a name", []string{"WS-Subscribe: a b"}, orders{}, "WS-Subscribe: " + badName},
		{"a parameter where there are none", []string{"WS-Subscribe: a; reply"}, orders{}, "WS-Subscribe: " + badName},
		{"a line end that was let through", []string{"WS-Subscribe: a\nb"}, orders{}, "WS-Subscribe: " + badName},
		{"two dots", []string{"WS-Unsubscribe: a/../b"}, orders{}, "WS-Unsubscribe: " + badName + ", or * alone"},
		{"201 bytes", []string{"WS-Publish: " + strings.Repeat("x", 201)}, orders{}, "WS-Publish: " + badName},
		{"publishing", []string{"WS-Publish: a, b"}, orders{publish: []publication{{[]string{"a", "b"}, false}}}, ""},
		{"to the others", []string{"WS-Publish: a; exclude=self"}, orders{publish: []publication{{[]string{"a"}, true}}}, ""},
		{"and back", []string{"WS-Publish: a;reply"}, orders{publish: []publication{{[]string{"a"}, false}}, reply: true}, ""},
		{"both, in any spelling", []string{"WS-Publish: a ; Reply ;EXCLUDE = self"}, orders{publish: []publication{{[]string{"a"}, true}}, reply: true}, ""},
		{"what holds for one line only", []string{"WS-Publish: a; exclude=self", "WS-Publish: b"}, orders{publish: []publication{{[]string{"a"}, true}, {[]string{"b"}, false}}}, ""},
		{"another parameter", []string{"WS-Publish: a; exclude=other"}, orders{}, "WS-Publish: want channels, then ; exclude=self or ; reply"},
		{"a channel behind the parameters", []string{"WS-Publish: a; reply, b"}, orders{}, "WS-Publish: want channels, then ; exclude=self or ; reply"},
		{"a semicolon and nothing", []string{"WS-Publish: a;"}, orders{publish: []publication{{[]string{"a"}, false}}}, ""},
		{"a star", []string{"WS-Publish: *"}, orders{}, "WS-Publish: " + badName},
		{"a good field before a bad one", []string{"WS-Subscribe: a", "WS-Publish: b c"}, orders{}, "WS-Publish: " + badName},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason := readOrders(fields(test.fields...))
			if !reflect.DeepEqual(got, test.want) || reason != test.reason {
				t.Errorf("readOrders = %+v, %q; want %+v, %q", got, reason, test.want, test.reason)
			}
		})
	}
}

// FuzzOrders: whatever a value holds, only valid names come of it, or nothing.
func FuzzOrders(f *testing.F) {
	f.Add("a, b", "*", "room:1; exclude=self; reply")
	f.Add("a;b", "x,*", "a;;")
	f.Fuzz(func(t *testing.T, subscribe, unsubscribe, publish string) {
		o, reason := readOrders(fastcgi.Header{{Name: "WS-Subscribe", Value: subscribe}, {Name: "WS-Unsubscribe", Value: unsubscribe}, {Name: "WS-Publish", Value: publish}})
		names := slices.Concat(o.subscribe, o.unsubscribe)
		for _, p := range o.publish {
			names = append(names, p.channels...)
		}
		if reason != "" && (len(names) > 0 || o.unsubscribeAll || o.reply) {
			t.Fatalf("an error and %+v", o)
		}
		for _, name := range names {
			if !hub.ValidName(name) {
				t.Fatalf("took the name %q", name)
			}
		}
	})
}

// many gives n names of channels.
func many(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("c", i))
	}
	return names
}

func TestChannelsOfAConnection(t *testing.T) {
	for _, test := range []struct {
		name    string
		current []string
		fields  []string
		want    []string
		reason  bool
	}{
		{"the first", nil, []string{"WS-Subscribe: a"}, []string{"a"}, false},
		{"the order of coming", []string{"b"}, []string{"WS-Subscribe: c, a"}, []string{"b", "c", "a"}, false},
		{"one twice", []string{"a"}, []string{"WS-Subscribe: a, b, b"}, []string{"a", "b"}, false},
		{"leaving one", []string{"a", "b", "c"}, []string{"WS-Unsubscribe: b, x"}, []string{"a", "c"}, false},
		{"leaving all", []string{"a", "b"}, []string{"WS-Unsubscribe: *"}, nil, false},
		{"moving: it leaves first, wherever the fields stand", []string{"a", "b"}, []string{"WS-Subscribe: c", "WS-Unsubscribe: *"}, []string{"c"}, false},
		{"leaving and coming back", []string{"a", "b"}, []string{"WS-Unsubscribe: a", "WS-Subscribe: a"}, []string{"b", "a"}, false},
		{"what does not concern channels", []string{"a"}, []string{"WS-User: 1"}, []string{"a"}, false},
		{"128 channels", many(127), []string{"WS-Subscribe: x"}, append(many(127), "x"), false},
		{"one more", many(128), []string{"WS-Subscribe: x"}, nil, true},
		{"one more for one that is left", many(128), []string{"WS-Unsubscribe: c0", "WS-Subscribe: x"}, append(many(128)[1:], "x"), false},
		{"again at the limit", many(128), []string{"WS-Subscribe: c5"}, many(128), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.current)
			r, reason := readHeader(fields(test.fields...), attributes{channels: test.current})
			if !slices.Equal(r.attributes.channels, test.want) || (reason != "") != test.reason {
				t.Errorf("listens to %v, %q; want %v", r.attributes.channels, reason, test.want)
			}
			if !slices.Equal(before, test.current) {
				t.Error("the channels of before have changed")
			}
		})
	}
}

// WS_CHANNELS is cut between two names, and names all that fit.
func TestChannelsParam(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		name  string
		names []string
		want  string
	}{
		{"none", nil, ""},
		{"some", []string{"a", "b/c"}, "a,b/c"},
		{"as long as it may be", append(slices.Repeat([]string{long(127)}, 31), long(128)), strings.Repeat(long(127)+",", 31) + long(128)},
		{"one byte longer", append(slices.Repeat([]string{long(127)}, 31), long(129)), strings.TrimSuffix(strings.Repeat(long(127)+",", 31), ",")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := channelsParam(test.names); got != test.want || len(got) > maxChannelsParam {
				t.Errorf("%d bytes; want %d", len(got), len(test.want))
			}
		})
	}
	a, reason := attributes{user: "u"}.listen(&orders{subscribe: []string{"a", "b"}})
	params, err := decode(a.params)
	if reason != "" || err != nil || params["WS_CHANNELS"] != "a,b" || params["WS_USER"] != "u" {
		t.Errorf("PHP sees %v, %q, %v", params, reason, err)
	}
	if a, _ = a.listen(&orders{unsubscribeAll: true}); strings.Contains(string(a.params), "WS_CHANNELS") {
		t.Error("WS_CHANNELS without channels")
	}
}
