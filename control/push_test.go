package control

import (
	"fmt"
	"strings"
	"testing"
)

// What is sent, and to whom, and what is refused with which field named. Nothing
// of a request that is refused is done.
func TestPush(t *testing.T) {
	const other = "ffffffffffffffffffffffffffffffff"
	const badID = `{"error":"id: want 32 lowercase hexadecimal digits"}`
	const badChannel = `{"error":"channel: want 1 to 200 characters of A-Z, a-z, 0-9 and _.:/@-, no segment empty, . or .."}`
	const badUser = `{"error":"user: want UTF-8 without control characters"}`
	const notText = `{"error":"body: want UTF-8, or Content-Type: application/octet-stream"}`
	const long = "a long way"
	tests := []struct {
		name, method, target, body string
		media                      string // Content-Type; "": none
		status                     int
		answer                     string
		did                        string
	}{
		{"to a connection", "POST", "/connections/" + someID, "hi", "", 204, "", `send ` + someID + ` true "hi"`},
		{"as curl does", "POST", "/connections/" + someID, "hi", "application/x-www-form-urlencoded", 204, "", `send ` + someID + ` true "hi"`},
		{"as JSON", "POST", "/connections/" + someID, "{}", "Application/JSON; charset=utf-8", 204, "", `send ` + someID + ` true "{}"`},
		{"as bytes", "POST", "/connections/" + someID, "\x00\xff", "application/octet-stream", 204, "", `send ` + someID + ` false "\x00\xff"`},
		{"nothing is a message too", "POST", "/connections/" + someID, "", "image/png", 204, "", `send ` + someID + ` false ""`},
		{"to one that is gone", "POST", "/connections/" + other, "hi", "", 410, `{"error":"id: this connection is gone"}`, `send ` + other + ` true "hi"`},
		{"to an id that is none", "POST", "/connections/x", "hi", "", 400, badID, ""},
		{"text that is not UTF-8", "POST", "/connections/" + someID, "\xff", "text/plain", 400, notText, ""},
		{"with a parameter that means nothing", "POST", "/connections/" + someID + "?exclude=" + other, "hi", "", 400, `{"error":"query: want no parameters"}`, ""},

		{"to a channel", "POST", "/channels/news", "hi", "", 200, `{"delivered":3}`, `publish news  true "hi"`},
		{"to all but one", "POST", "/channels/news?exclude=" + other, "hi", "", 200, `{"delivered":3}`, `publish news ` + other + ` true "hi"`},
		{"to a channel with slashes", "POST", "/channels/a/b@c:d", "hi", "", 200, `{"delivered":3}`, `publish a/b@c:d  true "hi"`},
		{"escaped", "POST", "/channels/a%2fb%40c", "hi", "", 200, `{"delivered":3}`, `publish a/b@c  true "hi"`},
		{"200 bytes", "POST", "/channels/" + strings.Repeat("c", 200), "", "", 200, `{"delivered":3}`, `publish ` + strings.Repeat("c", 200) + `  true ""`},
		{"201 bytes", "POST", "/channels/" + strings.Repeat("c", 201), "", "", 400, badChannel, ""},
		{"a newline", "POST", "/channels/a%0ab", "hi", "", 400, badChannel, ""},
		{"NUL", "POST", "/channels/a%00", "hi", "", 400, badChannel, ""},
		{"a star", "POST", "/channels/*", "hi", "", 400, badChannel, ""},
		{"two dots", "POST", "/channels/..", "hi", "", 400, badChannel, ""},
		{"two dots, escaped", "POST", "/channels/%2e%2e", "hi", "", 400, badChannel, ""},
		{"two dots in the middle", "POST", "/channels/a/../b", "hi", "", 400, badChannel, ""},
		{"two dots in the middle, escaped", "POST", "/channels/a%2f..%2fb", "hi", "", 400, badChannel, ""},
		{"an empty segment", "POST", "/channels/a//b", "hi", "", 400, badChannel, ""},
		{"a slash at the end", "POST", "/channels/a/", "hi", "", 400, badChannel, ""},
		{"a slash at the end, escaped", "POST", "/channels/a%2f", "hi", "", 400, badChannel, ""},
		{"no name", "POST", "/channels/", "hi", "", 400, badChannel, ""},
		{"not UTF-8", "POST", "/channels/a%ff", "hi", "", 400, badChannel, ""},
		{"a semicolon", "POST", "/channels/a;exclude=self", "hi", "", 400, badChannel, ""},
		{"an exclude that is none", "POST", "/channels/a?exclude=x", "hi", "", 400, `{"error":"exclude: want 32 lowercase hexadecimal digits"}`, ""},
		{"an empty exclude", "POST", "/channels/a?exclude=", "hi", "", 400, `{"error":"exclude: want 32 lowercase hexadecimal digits"}`, ""},
		{"exclude twice", "POST", "/channels/a?exclude=" + someID + "&exclude=" + other, "hi", "", 400, `{"error":"exclude: want it once"}`, ""},
		{"a misspelt parameter", "POST", "/channels/a?exlude=" + someID, "hi", "", 400, `{"error":"query: want no parameters but exclude"}`, ""},
		{"text that is none", "POST", "/channels/a", "\xff", "application/json", 400, notText, ""},
		{"to all channels", "POST", "/channels", "hi", "", 405, `{"error":"method: want GET or HEAD"}`, ""},

		{"to a user", "POST", "/users/42", "hi", "", 200, `{"delivered":2}`, `user 42 true "hi"`},
		{"to a user with a slash", "POST", "/users/a%2fb%20c", "hi", "", 200, `{"delivered":2}`, `user a/b c true "hi"`},
		{"to a user of two segments", "POST", "/users/a/b", "hi", "", 404, `{"error":"path: there is no such thing"}`, ""},
		{"to a user with a newline", "POST", "/users/a%0a", "hi", "", 400, badUser, ""},
		{"to a user that is not UTF-8", "POST", "/users/%ff", "hi", "", 400, badUser, ""},
		{"a user's text that is none", "POST", "/users/a", "\xff", "", 400, notText, ""},
		{"closing a user", "DELETE", "/users/42?code=4003&reason=bye", "", "", 200, `{"closed":2}`, `close user 42 4003 "bye"`},
		{"closing a user with a bad code", "DELETE", "/users/42?code=1002", "", "", 400, `{"error":"code: want 1000, 1008, 1011, 1013 or 3000 to 4999"}`, ""},

		{"the channels", "GET", "/channels", "", "", 200, `{"channels":[{"name":"news","connections":3}],"total":7}`, `channels "" 100`},
		{"those with a prefix", "GET", "/channels?prefix=a%2fb&limit=5", "", "", 200, `{"channels":[{"name":"news","connections":3}],"total":7}`, `channels "a/b" 5`},
		{"a prefix that ends a segment", "GET", "/channels?prefix=room/", "", "", 200, `{"channels":[{"name":"news","connections":3}],"total":7}`, `channels "room/" 100`},
		{"a prefix that is none", "GET", "/channels?prefix=a*", "", "", 400, `{"error":"prefix: want the beginning of a channel's name"}`, ""},
		{"a limit of none", "GET", "/channels?limit=0", "", "", 400, `{"error":"limit: want 1 to 1000"}`, ""},
		{"a limit of one too many", "GET", "/channels?limit=1001", "", "", 400, `{"error":"limit: want 1 to 1000"}`, ""},
		{"the highest limit", "GET", "/channels?limit=1000", "", "", 200, `{"channels":[{"name":"news","connections":3}],"total":7}`, `channels "" 1000`},
		{"a channel", "GET", "/channels/a/b", "", "", 200, `{"name":"a/b","connections":["` + someID + `"],"total":9}`, `list "" "a/b" 100`},
		{"a channel's bad name", "GET", "/channels/a//b", "", "", 400, badChannel, ""},
		{"connections", "GET", "/connections?user=42&channel=a&limit=3", "", "", 200, `{"connections":[{"id":"` + someID + `","since":1,"route":"/ws","user":"","attributes":{},"channels":[],"remote_address":""}],"total":9}`, `list "42" "a" 3`},
		{"connections of an empty user", "GET", "/connections?user=", "", "", 400, badUser, ""},
		{"connections of a channel that is none", "GET", "/connections?channel=*", "", "", 400, badChannel, ""},
		{"connections by something else", "GET", "/connections?route=/ws", "", "", 400, `{"error":"query: want no parameters but channel and user and limit"}`, ""},

		{"a batch", "POST", "/batch", `{"operations":[{"connection":"` + someID + `","text":"1"},{"connection":"` + other + `","binary":"AP8="},{"user":"u","text":"3"},{"channel":"c","exclude":"` + other + `","text":""},{"user":"u","close":{"code":4000}}]}`, "application/json", 200,
			`{"results":[{"delivered":1},{"delivered":0,"error":"connection: this connection is gone"},{"delivered":2},{"delivered":3},{"closed":2}]}`,
			`send ` + someID + ` true "1"; send ` + other + ` false "\x00\xff"; user u true "3"; publish c ` + other + ` true ""; close user u 4000 ""`},
		{"a batch with a fault does nothing", "POST", "/batch", `{"operations":[{"user":"u","text":"1"},{"channel":"a b","text":"2"}]}`, "", 400, strings.Replace(badChannel, "channel:", "operations[1].channel:", 1), ""},
		{"a batch with a parameter", "POST", "/batch?x=1", `{"operations":[{"user":"u","text":"1"}]}`, "", 400, `{"error":"query: want no parameters"}`, ""},
		{"the longest body", "POST", "/users/u", long, "", 200, `{"delivered":2}`, ""},
	}
	for _, network := range []string{"tcp", "unix"} {
		f, c := on(t, network, withToken)
		for _, test := range tests {
			t.Run(network+"/"+test.name, func(t *testing.T) {
				f.conns.done = nil
				header := []string{"Authorization", "Bearer " + secret}
				if test.media != "" {
					header = append(header, "Content-Type", test.media)
				}
				if test.body == long {
					test.body = strings.Repeat("x", maxBody)
					test.did = fmt.Sprintf("user u true %q", test.body)
				}
				got := c.call(t, test.method, test.target, strings.NewReader(test.body), header...)
				if got.status != test.status || strings.TrimSuffix(got.body, "\n") != test.answer {
					t.Errorf("%d %s; want %d %s", got.status, got.body, test.status, test.answer)
				}
				if did := strings.Join(f.conns.done, "; "); did != test.did {
					t.Errorf("did %.300s; want %.300s", did, test.did)
				}
			})
		}
		f.wantRefused(t, nil)
		if got := c.call(t, "POST", "/channels/news", strings.NewReader(strings.Repeat("x", maxBody+1)), "Authorization", "Bearer "+secret); got.status != 413 {
			t.Errorf("1 MiB + 1: %d %s; want 413", got.status, got.body)
		}
		for _, token := range []string{"", "x", secret + "x", strings.Repeat("t", 4000)} {
			if got := c.call(t, "POST", "/channels/news", strings.NewReader("x"), "Authorization", "Bearer "+token); got.status != 401 {
				t.Errorf("token %.9q: %d; want 401", token, got.status)
			}
		}
		if got := c.call(t, "POST", "/channels/news", strings.NewReader("x"), "Authorization", "Bearer "+secret, "Content-Type", "a/b", "Content-Type", "text/plain"); got.status != 400 || !strings.Contains(got.body, "Content-Type: want it once") {
			t.Errorf("two types: %d %s", got.status, got.body)
		}
	}
}

func TestParseBatch(t *testing.T) {
	const id = someID
	many := func(n int) string {
		return `{"operations":[` + strings.TrimSuffix(strings.Repeat(`{"user":"u","text":""},`, n), ",") + `]}`
	}
	for _, test := range []struct{ name, body, problem string }{
		{"as many as there may be", many(1000), ""},
		{"one too many", many(1001), "operations: want 1 to 1000"},
		{"none", many(0), "operations: want 1 to 1000"},
		{"an empty object", `{}`, "operations: want 1 to 1000"},
		{"nothing", ``, `body: want {"operations":[...]}`},
		{"no object", `[]`, "body: cannot unmarshal array"},
		{"cut short", `{"operations":[{"user":"u"`, "body: unexpected EOF"},
		{"something behind it", many(1) + `{}`, "body: want one JSON object and nothing behind it"},
		{"a field that means nothing", `{"operations":[{"user":"u","txt":"x"}]}`, `body: unknown field "txt"`},
		{"not UTF-8", "{\"operations\":[{\"user\":\"u\",\"text\":\"\xff\"}]}", "body: want UTF-8"},
		{"base64 that is none", `{"operations":[{"user":"u","binary":"*"}]}`, "body: illegal base64"},
		{"a number for a text", `{"operations":[{"user":"u","text":1}]}`, "body: cannot unmarshal number"},
		{"nobody", `{"operations":[{"text":"x"}]}`, "operations[0].connection: want one of connection, user and channel"},
		{"two", `{"operations":[{"user":"u","channel":"c","text":"x"}]}`, "operations[0].connection: want one of"},
		{"nothing to send", `{"operations":[{"user":"u"}]}`, "operations[0].text: want one of text, binary and close"},
		{"two things to send", `{"operations":[{"user":"u","text":"","binary":""}]}`, "operations[0].text: want one of"},
		{"an empty binary", `{"operations":[{"user":"u","binary":""}]}`, ""},
		{"exclude without a channel", `{"operations":[{"user":"u","text":"","exclude":"` + id + `"}]}`, "operations[0].exclude: want it with channel only"},
		{"exclude that is none", `{"operations":[{"channel":"c","text":"","exclude":""}]}`, "operations[0].exclude: want 32"},
		{"closing a channel", `{"operations":[{"channel":"c","close":{}}]}`, "operations[0].close: want it with connection or user only"},
		{"closing with a code that is not for programs", `{"operations":[{"user":"u","close":{"code":1001}}]}`, "operations[0].close.code: want 1000"},
		{"closing with a reason that is too long", `{"operations":[{"user":"u","close":{"reason":"` + strings.Repeat("r", 124) + `"}}]}`, "operations[0].close.reason: want at most 123 bytes"},
		{"closing with no code", `{"operations":[{"connection":"` + id + `","close":{}}]}`, ""},
		{"an id that is none", `{"operations":[{"user":"u","text":""},{"connection":"x","text":""}]}`, "operations[1].connection: want 32"},
		{"a user that is none", `{"operations":[{"user":"\u0000","text":""}]}`, "operations[0].user: want UTF-8"},
		{"a channel that is none", `{"operations":[{"channel":"a,b","text":""}]}`, "operations[0].channel: want 1 to 200"},
	} {
		t.Run(test.name, func(t *testing.T) {
			operations, problem := parseBatch([]byte(test.body))
			if (problem == "") != (test.problem == "") || !strings.Contains(problem, test.problem) || problem != "" && operations != nil {
				t.Errorf("%d operations, %q; want %q", len(operations), problem, test.problem)
			}
		})
	}
}

// FuzzBatch: what is taken as a batch has one target and one thing to do in each
// operation, and never more operations than there may be.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"operations":[{"user":"u","text":"x"},{"channel":"c","exclude":"` + someID + `","binary":"AP8="}]}`))
	f.Add([]byte(`{"operations":[{"connection":"` + someID + `","close":{"code":4000,"reason":"r"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		operations, problem := parseBatch(body)
		if (problem == "") == (operations == nil) || len(operations) > maxOperations {
			t.Fatalf("%d operations, problem %q", len(operations), problem)
		}
		for _, o := range operations {
			if count(o.Connection != nil, o.User != nil, o.Channel != nil) != 1 || count(o.Text != nil, o.Binary != nil, o.Close != nil) != 1 {
				t.Fatalf("took %+v", o)
			}
			if o.Close == nil {
				o.message()
			}
		}
	})
}
