package control

import (
	"net/url"
	"strings"
	"testing"
)

const someID = "0123456789abcdef0123456789abcdef"

func TestCheckID(t *testing.T) {
	tests := []struct {
		name, id string
		ok       bool
	}{
		{"32 digits", someID, true},
		{"all of one", strings.Repeat("f", 32), true},
		{"31 digits", someID[1:], false},
		{"33 digits", someID + "0", false},
		{"nothing", "", false},
		{"capitals", strings.ToUpper(someID), false},
		{"a letter too high", someID[1:] + "g", false},
		{"below the digits", someID[1:] + "/", false},
		{"above the digits", someID[1:] + ":", false},
		{"below the letters", someID[1:] + "`", false},
		{"a newline at the end", someID[1:] + "\n", false},
		{"a NUL", someID[1:] + "\x00", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problem := checkID(test.id)
			if (problem == "") != test.ok || problem != "" && !strings.HasPrefix(problem, "id: ") {
				t.Errorf("checkID(%q) = %q; want ok %v", test.id, problem, test.ok)
			}
		})
	}
}

func TestParseClosing(t *testing.T) {
	at := strings.Repeat("r", maxReason)
	tests := []struct {
		name, query string
		code        uint16
		reason      string
		problem     string // its beginning
	}{
		{"nothing is a normal close", "", 1000, "", ""},
		{"a code", "code=4001", 4001, "", ""},
		{"a code and a reason", "code=1008&reason=too+loud", 1008, "too loud", ""},
		{"a reason alone", "reason=bye", 1000, "bye", ""},
		{"an empty reason", "reason=", 1000, "", ""},
		{"a reason below the limit", "reason=" + at[1:], 1000, at[1:], ""},
		{"a reason at the limit", "reason=" + at, 1000, at, ""},
		{"a reason above the limit", "reason=" + at + "r", 0, "", "reason: want at most 123 bytes"},
		{"the limit is in bytes", "reason=" + at[1:] + "%C3%A9", 0, "", "reason: want at most 123 bytes"},
		{"a reason of other letters", "reason=%C3%A9", 1000, "é", ""},
		{"a reason that is not UTF-8", "reason=%ff", 0, "", "reason: want UTF-8"},
		{"an empty code", "code=", 0, "", "code: "},
		{"a code twice", "code=1000&code=1000", 0, "", "code: want it once"},
		{"a reason twice", "reason=a&reason=b", 0, "", "reason: want it once"},
		{"a misspelt name", "reasn=a", 0, "", "query: "},
		{"a token", "token=x", 0, "", "query: "},
		{"the first fault by name", "reason=%ff&code=1", 0, "", "code: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			query, err := url.ParseQuery(test.query)
			if err != nil {
				t.Fatal(err)
			}
			code, reason, problem := parseClosing(query)
			if code != test.code || reason != test.reason || !strings.HasPrefix(problem, test.problem) || (problem == "") != (test.problem == "") {
				t.Errorf("parseClosing(%q) = %d, %q, %q; want %d, %q, %q", test.query, code, reason, problem, test.code, test.reason, test.problem)
			}
		})
	}
}

// Every code there is, and spellings that are none.
func TestParseCode(t *testing.T) {
	allowed := map[uint16]bool{1000: true, 1008: true, 1011: true, 1013: true}
	for code := range 1 << 16 {
		want := allowed[uint16(code)] || 3000 <= code && code < 5000
		got, problem := parseCode(itoa(code))
		if (problem == "") != want || want && got != uint16(code) {
			t.Errorf("parseCode(%d) = %d, %q; want ok %v", code, got, problem, want)
		}
	}
	for _, s := range []string{"", "x", "01000", "+4001", "4001 ", " 4001", "4001.0", "0x0fa1", "66536", "4_01", "-001", "99999999999999999999"} {
		if code, problem := parseCode(s); problem == "" {
			t.Errorf("parseCode(%q) = %d; want a problem", s, code)
		}
	}
}
