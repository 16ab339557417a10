package websocket

import (
	"fmt"
	"strings"
	"testing"
)

// A state that does not exist is our own mistake, and every question about it
// says so instead of answering.
func TestUnknownStatesAreBugs(t *testing.T) {
	const unknown = 99
	for _, test := range []struct {
		name string
		ask  func()
	}{
		{"maySendMessage", func() { closeState(unknown).maySendMessage() }},
		{"maySendControl", func() { closeState(unknown).maySendControl(opPing) }},
		{"owesClose", func() { closeState(unknown).owesClose() }},
		{"awaitsClose", func() { closeState(unknown).awaitsClose() }},
		{"endsTCP", func() { closeState(unknown).endsTCP() }},
		{"the client's close frame", func() { (&closing{state: unknown}).received(StatusNormal, "") }},
		{"our close frame", func() { (&closing{state: unknown}).sent(StatusNormal, "") }},
		{"failing", func() { (&closing{state: unknown}).failed(StatusNormal, "") }},
		{"a side", func() { _ = Side(unknown).String() }},
		{"a decoder's next", func() { (&decoder{phase: unknown}).next([]byte("x")) }},
		{"a decoder's pending", func() { (&decoder{phase: unknown}).pending() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if s := fmt.Sprint(recover()); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("recover() = %q, want a BUG", s)
				}
			}()
			test.ask()
		})
	}
}

// The text is for our log: it says who broke the rules, and which.
func TestProtocolErrorText(t *testing.T) {
	_, _, err := (&decoder{maxMessage: 16}).next([]byte("\x81\x00"))
	if want := "websocket: reading from peer: frame not masked"; err == nil || err.Error() != want {
		t.Errorf("next: %v; want %s", err, want)
	}
}
