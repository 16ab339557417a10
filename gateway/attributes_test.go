package gateway

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
)

// say gives what PHP would see of a.
func (a attributes) say() string {
	var b strings.Builder
	if a.user != "" {
		fmt.Fprintf(&b, "user=%s", a.user)
	}
	for _, t := range a.list {
		fmt.Fprintf(&b, " %s=%s", strings.TrimPrefix(t.name, "WS_ATTR_"), t.value)
	}
	return strings.TrimSpace(b.String())
}

func TestAttributes(t *testing.T) {
	for _, test := range []struct {
		name    string
		replies [][]string
		want    string // "!" begins the reason of the last reply
	}{
		{"a user", [][]string{{"WS-User: 42"}}, "user=42"},
		{"another user later", [][]string{{"WS-User: 42"}, {"WS-User: 43"}}, "user=43"},
		{"an empty user is none", [][]string{{"WS-User: 42"}, {"WS-User: "}}, ""},
		{"a name becomes that of a param", [][]string{{"WS-Set-Room-Id: 7"}}, "ROOM_ID=7"},
		{"names have no case", [][]string{{"ws-set-room: 7"}, {"WS-SET-ROOM: 8"}}, "ROOM=8"},
		{"names are sorted", [][]string{{"WS-Set-B: 2", "WS-Set-A: 1", "WS-Set-C: 3"}}, "A=1 B=2 C=3"},
		{"an empty value deletes", [][]string{{"WS-Set-A: 1", "WS-Set-B: 2"}, {"WS-Set-A: "}}, "B=2"},
		{"deleting what is not there", [][]string{{"WS-Set-A: "}}, ""},
		{"the last of a name counts", [][]string{{"WS-Set-A: 1", "WS-Set-A: 2"}}, "A=2"},
		{"set and deleted at once", [][]string{{"WS-Set-A: 1", "WS-Set-A: "}}, ""},
		{"what is not mentioned stays", [][]string{{"WS-User: 1", "WS-Set-A: 1"}, {"X: y"}, {"WS-Set-B: 2"}}, "user=1 A=1 B=2"},
		{"a tab and other alphabets are text", [][]string{{"WS-User: \u00e4\t\u2713"}}, "user=\u00e4\t\u2713"},
		{"a name of a dash alone", [][]string{{"WS-Set--: 1"}}, "_=1"},
		{"no name", [][]string{{"WS-Set-: 1"}}, "!WS-Set- with a name"},
		{"an underscore would be another name", [][]string{{"WS-Set-A_B: 1"}}, "!WS-Set- with a name"},
		{"a dot", [][]string{{"WS-Set-A.B: 1"}}, "!WS-Set- with a name"},
		{"CR", [][]string{{"WS-User: a\rb"}}, "!WS-User or WS-Set- with a control"},
		{"LF", [][]string{{"WS-Set-A: a\nb"}}, "!WS-User or WS-Set- with a control"},
		{"NUL", [][]string{{"WS-Set-A: a\x00"}}, "!WS-User or WS-Set- with a control"},
		{"DEL", [][]string{{"WS-User: \x7f"}}, "!WS-User or WS-Set- with a control"},
		{"ESC", [][]string{{"WS-User: \x1b[31m"}}, "!WS-User or WS-Set- with a control"},
	} {
		var a attributes
		var reason string
		for _, lines := range test.replies {
			if a, reason = a.apply(fields(lines...)); reason != "" && a.say() != "" {
				t.Errorf("%s: an error, and %s", test.name, a.say())
			}
		}
		got := a.say()
		if reason != "" {
			got = "!" + reason
		}
		if want, isReason := strings.CutPrefix(test.want, "!"); got != test.want && !(isReason && strings.HasPrefix(reason, want)) {
			t.Errorf("%s: %q; want %q", test.name, got, test.want)
		}
	}
}

// Nothing that was bound before changes when a reply is wrong, and a value of
// the type is never changed by making the next.
func TestAttributesAreReplaced(t *testing.T) {
	a, _ := attributes{}.apply(fields("WS-User: 1", "WS-Set-A: 1", "WS-Set-B: 2"))
	params := bytes.Clone(a.params)
	for _, h := range []fastcgi.Header{
		fields("WS-Set-A: 9", "WS-Set-B: ", "WS-Set-C: 3", "WS-User: 9"),
		fields("WS-Set-A: 9", "WS-Set-X.Y: 1"),
	} {
		a.apply(h)
		if a.say() != "user=1 A=1 B=2" || !bytes.Equal(a.params, params) {
			t.Fatalf("after %v: %s, %q", h, a.say(), a.params)
		}
	}
}

// The limits hold for what is bound after a reply, not for the reply.
func TestAttributeLimits(t *testing.T) {
	many := func(from, to int) (h fastcgi.Header) {
		for i := from; i < to; i++ {
			h = append(h, fastcgi.Field{Name: fmt.Sprintf("WS-Set-N%03d", i), Value: "v"})
		}
		return h
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		name   string
		first  fastcgi.Header
		second fastcgi.Header
		want   string
	}{
		{"127", many(0, 100), many(100, 127), ""},
		{"128", many(0, 100), many(100, 128), ""},
		{"129", many(0, 100), many(100, 129), "more than 128 attributes"},
		{"one goes and one comes", many(0, 128), fields("WS-Set-X: 1", "WS-Set-N000: "), ""},
		{"16 KiB less one", fields("WS-User: " + long(100)), fields("WS-Set-A: " + long(maxAttributeBytes-102)), ""},
		{"16 KiB", fields("WS-User: " + long(100)), fields("WS-Set-A: " + long(maxAttributeBytes-101)), ""},
		{"16 KiB and one", fields("WS-User: " + long(100)), fields("WS-Set-A: " + long(maxAttributeBytes-100)), "user and attributes of more than 16 KiB"},
		{"the name counts", fields("WS-User: " + long(100)), fields("WS-Set-AB: " + long(maxAttributeBytes-101)), "user and attributes of more than 16 KiB"},
		{"a user alone", nil, fields("WS-User: " + long(maxAttributeBytes)), ""},
		{"a user alone, one more", nil, fields("WS-User: " + long(maxAttributeBytes+1)), "user and attributes of more than 16 KiB"},
	} {
		a, reason := attributes{}.apply(test.first)
		if reason != "" {
			t.Fatalf("%s: the first reply: %s", test.name, reason)
		}
		if _, reason = a.apply(test.second); reason != test.want {
			t.Errorf("%s: %q; want %q", test.name, reason, test.want)
		}
	}
}

// FuzzAttributes: whatever PHP says, the params that come of it are WS_USER and
// WS_ATTR_ alone, each once, within the limits, without control characters.
func FuzzAttributes(f *testing.F) {
	f.Add("User", "42", "Set-Room-Id", "7")
	f.Add("set-a", "", "SET-A", "x")
	f.Add("Set-A_B", "1", "Set-", "2")
	f.Add("User", "a\nb", "Set-A", "c\x00")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		a, reason := attributes{}.apply(fastcgi.Header{{Name: "WS-" + name1, Value: value1}})
		if reason == "" {
			a, reason = a.apply(fastcgi.Header{{Name: "ws-" + name2, Value: value2}, {Name: "WS-Set-Last", Value: "1"}})
		}
		if reason != "" {
			return
		}
		params, err := decode(a.params)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for name, value := range params {
			bare, is := strings.CutPrefix(name, "WS_ATTR_")
			if name == "WS_USER" {
				bare, is = "", true
			}
			size += len(bare) + len(value)
			if !is || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				t.Errorf("param %s=%q", name, value)
			}
		}
		if size > maxAttributeBytes || len(a.list) > maxAttributes || len(params) != len(a.list)+len(a.user[:min(1, len(a.user))]) {
			t.Errorf("%d params, %d attributes, %d bytes", len(params), len(a.list), size)
		}
		if !slices.IsSortedFunc(a.list, func(x, y attribute) int { return strings.Compare(x.name, y.name) }) {
			t.Errorf("not sorted: %v", a.list)
		}
	})
}
