package websocket

import (
	"fmt"
	"strings"
	"testing"
)

// answers are all there is to ask of a closeState.
func answers(s closeState) string {
	var yes []string
	for _, q := range []struct {
		name   string
		answer bool
	}{
		{"message", s.maySendMessage()},
		{"ping", s.maySendControl(opPing)},
		{"pong", s.maySendControl(opPong)},
		{"close", s.maySendControl(opClose)},
		{"owes", s.owesClose()},
		{"awaits", s.awaitsClose()},
		{"ends", s.endsTCP()},
	} {
		if q.answer {
			yes = append(yes, q.name)
		}
	}
	return strings.Join(yes, " ")
}

func TestClosing(t *testing.T) {
	sent := func(c *closing) { c.sent(StatusGoingAway, "ours") }
	received := func(c *closing) { c.received(4001, "theirs") }
	failed := func(want bool) func(c *closing) {
		return func(c *closing) {
			if send := c.failed(StatusTooBig, "fault"); send != want {
				panic(fmt.Sprintf("failed reports %t", send))
			}
		}
	}
	lost := (*closing).lost

	const open = "message ping pong close"
	var (
		ours   = Closing{StatusGoingAway, "ours", ByServer}
		theirs = Closing{4001, "theirs", ByClient}
		fault  = Closing{StatusTooBig, "fault", ByServer}
		none   = Closing{StatusAbnormal, "", ByNone}
	)
	type events []func(*closing)
	for _, test := range []struct {
		name   string
		events events
		yes    string // what is answered with yes
		first  Closing
	}{
		{"open", nil, open, Closing{}},
		{"ours sent", events{sent}, "awaits", ours},
		{"theirs came", events{received}, "close owes", theirs},
		{"theirs came and was answered", events{received, sent}, "ends", theirs},
		{"ours was answered", events{sent, received}, "ends", ours},
		{"failed", events{failed(true)}, "ends", fault},
		{"failed after ours", events{sent, failed(false)}, "ends", ours},
		{"failed after theirs", events{received, failed(true)}, "ends", theirs},
		{"failed twice", events{failed(true), failed(false)}, "ends", fault},
		{"theirs came twice", events{received, received}, "close owes", theirs},
		{"theirs came again after the answer", events{received, sent, received}, "ends", theirs},
		{"theirs came after failing", events{failed(true), received}, "ends", fault},
		{"TCP ended", events{lost}, "", none},
		{"TCP ended after ours", events{sent, lost}, "", ours},
		{"TCP ended after theirs", events{received, lost}, "", theirs},
		{"TCP ended after both", events{received, sent, lost}, "", theirs},
		{"TCP ended after failing", events{failed(true), lost}, "", fault},
		{"TCP ended twice", events{lost, lost}, "", none},
		{"theirs came after TCP ended", events{lost, received}, "", none},
		{"failed after TCP ended", events{lost, failed(false)}, "", none},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c closing
			for _, event := range test.events {
				event(&c)
			}
			if got := answers(c.state); got != test.yes || c.first != test.first {
				t.Errorf("yes to %q, first %+v; want %q, %+v", got, c.first, test.yes, test.first)
			}
		})
	}
}

func TestClosingSendsOneCloseFrame(t *testing.T) {
	for _, test := range []struct {
		name  string
		state closeState
	}{
		{"after ours", closeSent},
		{"after both", closeDone},
		{"after the end", closeLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if s := fmt.Sprint(recover()); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("recover() = %q, want a BUG", s)
				}
			}()
			c := closing{state: test.state}
			c.sent(StatusNormal, "")
		})
	}
}

func TestSideString(t *testing.T) {
	for side, want := range map[Side]string{ByNone: "none", ByClient: "client", ByServer: "server"} {
		if got := side.String(); got != want {
			t.Errorf("Side(%d).String() = %q, want %q", side, got, want)
		}
	}
}
