package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every code there is, received in a close frame.
func TestEveryStatusCode(t *testing.T) {
	allowed := map[int]bool{}
	for _, span := range [][2]int{{1000, 1003}, {1007, 1014}, {3000, 4999}} {
		for c := span[0]; c <= span[1]; c++ {
			allowed[c] = true
		}
	}
	for c := range 1 << 16 {
		payload := binary.BigEndian.AppendUint16(nil, uint16(c))
		got, reason, err := parseClose(payload)
		switch {
		case allowed[c] != StatusCode(c).Valid():
			t.Errorf("StatusCode(%d).Valid() = %t", c, !allowed[c])
		case allowed[c] && (int(got) != c || reason != "" || err != nil):
			t.Errorf("parseClose(%d) = %d, %q, %v", c, got, reason, err)
		case !allowed[c] && (got != 0 || err == nil || err.Code != StatusProtocolError):
			t.Errorf("parseClose(%d) = %d, _, %v; want 1002", c, got, err)
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		code          StatusCode
		reason        string
		fault         StatusCode
	}{
		{"empty", "", StatusNoCode, "", 0},
		{"half a code", "\x03", 0, "", StatusProtocolError},
		{"code alone", "\x03\xe8", StatusNormal, "", 0},
		{"with a reason", "\x03\xe9Bye é", StatusGoingAway, "Bye é", 0},
		{"with the longest reason", "\x0f\xa0" + strings.Repeat("r", 123), 4000, strings.Repeat("r", 123), 0},
		{"reason is not UTF-8", "\x03\xe8\xff", 0, "", StatusInvalidData},
		{"reason ends inside a character", "\x03\xe8\xc3", 0, "", StatusInvalidData},
		{"both code and reason are bad", "\x00\x00\xff", 0, "", StatusProtocolError},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason, err := parseClose([]byte(test.payload))
			var fault StatusCode
			if err != nil {
				fault = err.Code
			}
			if got != test.code || reason != test.reason || fault != test.fault {
				t.Errorf("parseClose = %d, %q, %v; want %d, %q, fault %d", got, reason, err, test.code, test.reason, test.fault)
			}
			if err != nil {
				return
			}
			if back := appendClose(nil, got, reason); string(back) != test.payload {
				t.Errorf("appendClose = %q, want %q", back, test.payload)
			}
		})
	}
}

func TestAppendCloseReason(t *testing.T) {
	r := strings.Repeat
	for _, test := range []struct{ name, reason, want string }{
		{"below the limit", r("a", 122), r("a", 122)},
		{"at the limit", r("a", 123), r("a", 123)},
		{"above the limit", r("a", 124), r("a", 123)},
		{"last character ends at the limit", r("a", 121) + "é", r("a", 121) + "é"},
		{"last character is cut by the limit", r("a", 122) + "é", r("a", 122)},
		{"all of a 4-byte character beyond", r("a", 123) + "😀", r("a", 123)},
		{"a 4-byte character but its last byte", r("a", 120) + "😀", r("a", 120)},
		{"not UTF-8", "a\xffb", "a\ufffdb"},
		{"not UTF-8, so that mending makes it too long", r("a", 122) + "\xff", r("a", 122)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := appendClose([]byte("x"), StatusNormal, test.reason)
			if want := "x\x03\xe8" + test.want; string(got) != want {
				t.Errorf("appendClose = %q, want %q", got, want)
			}
			appendControl(nil, opClose, got[1:]) // it fits
		})
	}
	if got := appendClose(nil, StatusNoCode, "reason"); len(got) != 0 {
		t.Errorf("appendClose without a code = %q, want nothing", got)
	}
}

func TestAppendCloseRefusesOurOwnMistakes(t *testing.T) {
	for _, code := range []StatusCode{0, 999, StatusAbnormal, 1015, 2999, 5000} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			defer func() {
				if s := fmt.Sprint(recover()); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("recover() = %q, want a BUG", s)
				}
			}()
			appendClose(nil, code, "")
		})
	}
}

// FuzzClose: whatever parses is given back byte for byte.
//
// A mutant it kills: parseClose that takes a reason as it comes.
func FuzzClose(f *testing.F) {
	for _, seed := range []string{"", "\x03", "\x03\xe8", "\x03\xe8bye", "\x03\xed", "\x03\xe8\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > maxControl {
			return // the frame was refused
		}
		code, reason, err := parseClose(payload)
		if err != nil {
			return
		}
		if back := appendClose(nil, code, reason); !bytes.Equal(back, payload) || !utf8.ValidString(reason) {
			t.Errorf("parseClose(%q) = %d, %q, which came back as %q", payload, code, reason, back)
		}
	})
}
