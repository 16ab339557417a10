package control

import (
	"strings"
	"testing"
)

func TestAdmits(t *testing.T) {
	const self, alice, bob, staff, web = 900, 1000, 1001, 50, 33
	lists := map[uint32][]uint32{alice: {alice, staff}, bob: {bob}}
	tests := []struct {
		name  string
		allow Allow
		peer  peer
		want  bool
	}{
		{"no lists leave it to the socket's mode", Allow{}, peer{bob, bob}, true},
		{"a user in the list", Allow{Users: []uint32{alice, bob}}, peer{bob, bob}, true},
		{"a user who is not", Allow{Users: []uint32{alice}}, peer{bob, bob}, false},
		{"a user whose group has the number of an allowed user", Allow{Users: []uint32{alice}}, peer{bob, alice}, false},
		{"a user whose number is that of an allowed group", Allow{Groups: []uint32{bob}}, peer{bob, web}, true}, // by the database
		{"an unknown user whose number is that of an allowed group", Allow{Groups: []uint32{77}}, peer{77, web}, false},
		{"a process with an allowed group as its own", Allow{Groups: []uint32{web}}, peer{bob, web}, true},
		{"a user whom the database has in an allowed group", Allow{Groups: []uint32{staff}}, peer{alice, alice}, true},
		{"a user whom it does not", Allow{Groups: []uint32{staff}}, peer{bob, bob}, false},
		{"groups do not narrow users", Allow{[]uint32{bob}, []uint32{staff}}, peer{bob, bob}, true},
		{"root, though not in a list", Allow{Users: []uint32{alice}}, peer{0, 0}, true},
		{"root's group is nobody's but root's", Allow{Users: []uint32{alice}}, peer{bob, 0}, false},
		{"the user we are", Allow{Groups: []uint32{staff}}, peer{self, self}, true},
		{"one above the user we are", Allow{Groups: []uint32{staff}}, peer{self + 1, self}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.allow.admits(test.peer, self, func(uid uint32) []uint32 { return lists[uid] }); got != test.want {
				t.Errorf("%+v.admits(%+v) = %v; want %v", test.allow, test.peer, got, test.want)
			}
		})
	}
}

func TestBearer(t *testing.T) {
	tests := []struct {
		name   string
		fields []string
		want   string
	}{
		{"a token", []string{"Bearer secret"}, "secret"},
		{"the scheme in any case", []string{"bEARER secret"}, "secret"},
		{"spaces around it", []string{"Bearer   secret  "}, "secret"},
		{"none", nil, ""},
		{"an empty field", []string{""}, ""},
		{"no token", []string{"Bearer"}, ""},
		{"an empty token", []string{"Bearer "}, ""},
		{"two fields", []string{"Bearer secret", "Bearer secret"}, ""},
		{"another scheme", []string{"Basic secret"}, ""},
		{"no scheme", []string{"secret"}, ""},
		{"a scheme that begins like it", []string{"Bearers secret"}, ""},
		{"a tab is no space", []string{"Bearer\tsecret"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := bearer(test.fields); got != test.want {
				t.Errorf("bearer(%q) = %q; want %q", test.fields, got, test.want)
			}
		})
	}
}

// FuzzBearer: what a well-behaved caller shows is what comes out.
func FuzzBearer(f *testing.F) {
	f.Add("secret")
	f.Add("a b")
	f.Fuzz(func(t *testing.T, token string) {
		bearer([]string{token})
		if want := strings.Trim(token, " "); bearer([]string{"Bearer " + token}) != want {
			t.Errorf("bearer(Bearer %q) = %q; want %q", token, bearer([]string{"Bearer " + token}), want)
		}
	})
}
