package websocket

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

const offered = "permessage-deflate"

func TestParseExtensions(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []string
		want   Deflate
	}{
		{"no field", nil, noDeflate},
		{"empty field", []string{""}, noDeflate},
		{"field of spaces", []string{" \t"}, noDeflate},
		{"empty elements", []string{",, ,"}, noDeflate},
		{"another extension", []string{"x-webkit-deflate-frame"}, noDeflate},
		{"another extension with parameters of its own", []string{`x; a; a; b=c; d="e"`}, noDeflate},

		{"alone", []string{offered}, deflate},
		{"Chromium's and Firefox's", []string{"permessage-deflate; client_max_window_bits"}, deflate},
		{"behind an empty element", []string{", ,permessage-deflate,"}, deflate},
		{"behind another extension", []string{"x; y=z, permessage-deflate"}, deflate},
		{"before another extension", []string{"permessage-deflate,x"}, deflate},
		{"in a second line", []string{"x", offered}, deflate},
		{"both contexts given up", []string{"permessage-deflate;server_no_context_takeover;client_no_context_takeover"}, deflate},
		{"server window of 15 is confirmed", []string{"permessage-deflate; server_max_window_bits=15"}, deflateWindow},
		{"server window of 15, quoted", []string{`permessage-deflate; server_max_window_bits="15"`}, deflateWindow},
		{"server window of 15, quoted and escaped", []string{`permessage-deflate; server_max_window_bits="\1\5"`}, deflateWindow},
		{"client window of 8", []string{"permessage-deflate; client_max_window_bits=8"}, deflate},
		{"client window of 10", []string{"permessage-deflate; client_max_window_bits=10"}, deflate},
		{"client window of 15", []string{"permessage-deflate; client_max_window_bits=15"}, deflate},
		{"every parameter", []string{"permessage-deflate; client_max_window_bits=9; server_max_window_bits=15; client_no_context_takeover; server_no_context_takeover"}, deflateWindow},
		{"spaces wherever they may be", []string{"\tpermessage-deflate\t; \tserver_max_window_bits = 15 , x"}, deflateWindow},

		{"server window of 14", []string{"permessage-deflate; server_max_window_bits=14"}, noDeflate},
		{"server window of 9", []string{"permessage-deflate; server_max_window_bits=9"}, noDeflate},
		{"server window of 8", []string{"permessage-deflate; server_max_window_bits=8"}, noDeflate},
		{"server window of 7", []string{"permessage-deflate; server_max_window_bits=7"}, noDeflate},
		{"server window of 16", []string{"permessage-deflate; server_max_window_bits=16"}, noDeflate},
		{"server window of 015", []string{"permessage-deflate; server_max_window_bits=015"}, noDeflate},
		{"server window without a value", []string{"permessage-deflate; server_max_window_bits"}, noDeflate},
		{"client window of 7", []string{"permessage-deflate; client_max_window_bits=7"}, noDeflate},
		{"client window of 16", []string{"permessage-deflate; client_max_window_bits=16"}, noDeflate},
		{"client window of 08", []string{"permessage-deflate; client_max_window_bits=08"}, noDeflate},
		{"client window of 08, quoted", []string{`permessage-deflate; client_max_window_bits="08"`}, noDeflate},
		{"client window that is no number", []string{"permessage-deflate; client_max_window_bits=many"}, noDeflate},
		{"server_no_context_takeover with a value", []string{"permessage-deflate; server_no_context_takeover=1"}, noDeflate},
		{"client_no_context_takeover with a value", []string{"permessage-deflate; client_no_context_takeover=true"}, noDeflate},
		{"unknown parameter", []string{"permessage-deflate; max_window_bits=15"}, noDeflate},
		{"parameter in another case", []string{"permessage-deflate; Client_max_window_bits"}, noDeflate},
		{"name in another case", []string{"Permessage-Deflate"}, noDeflate},
		{"server_no_context_takeover twice", []string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, noDeflate},
		{"client_no_context_takeover twice", []string{"permessage-deflate; client_no_context_takeover; client_no_context_takeover"}, noDeflate},
		{"server window twice", []string{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15"}, noDeflate},
		{"client window twice, with a value and without", []string{"permessage-deflate; client_max_window_bits; client_max_window_bits=15"}, noDeflate},

		{"second offer, for the first is declined", []string{"permessage-deflate; server_max_window_bits=9, permessage-deflate"}, deflate},
		{"third offer, in a second line", []string{"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=15"}, deflateWindow},
		{"first of two good ones", []string{"permessage-deflate; server_max_window_bits=15, permessage-deflate"}, deflateWindow},
		{"first of two good ones, the plain one", []string{"permessage-deflate, permessage-deflate; server_max_window_bits=15"}, deflate},
		{"every offer is declined", []string{"permessage-deflate; server_max_window_bits=9, permessage-deflate; a=b"}, noDeflate},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := parseExtensions(test.values); got != test.want || !ok {
				t.Errorf("parseExtensions(%q) = %d, %t; want %d", test.values, got, ok, test.want)
			}
		})
	}
}

func TestParseExtensionsRefuses(t *testing.T) {
	for _, test := range []struct{ name, value string }{
		{"parameter without a name", "permessage-deflate;"},
		{"parameter without a name, before another", "permessage-deflate;; client_max_window_bits"},
		{"parameter before the name", "; client_max_window_bits"},
		{"equals sign without a value", "permessage-deflate; client_max_window_bits="},
		{"empty quoted value", `permessage-deflate; client_max_window_bits=""`},
		{"quoted value that does not end", `permessage-deflate; client_max_window_bits="15`},
		{"quoted value that ends in a backslash", `permessage-deflate; client_max_window_bits="15\`},
		{"quoted value with a space", `permessage-deflate; client_max_window_bits="1 5"`},
		{"quoted value with a comma", `x; y="a,b"`},
		{"quoted value with an escaped quote", `x; y="\""`},
		{"two names", "permessage-deflate x"},
		{"two values", "permessage-deflate; client_max_window_bits=1 5"},
		{"value of the extension itself", "permessage-deflate=15"},
		{"something behind a quoted value", `x; y="z"z`},
		{"letter that is not ASCII", "permessage-déflate"},
		{"fault behind a good offer", "permessage-deflate, ="},
		{"NUL", "x\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, values := range [][]string{{test.value}, {offered, test.value}} {
				if got, ok := parseExtensions(values); got != noDeflate || ok {
					t.Errorf("parseExtensions(%q) = %d, %t; want it refused", values, got, ok)
				}
			}
		})
	}
}

func TestDeflateValue(t *testing.T) {
	for _, test := range []struct {
		deflate Deflate
		want    string
	}{
		{noDeflate, ""},
		{deflate, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{deflateWindow, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"},
	} {
		if got := test.deflate.value(); got != test.want {
			t.Errorf("value of %d is %q, want %q", test.deflate, got, test.want)
		}
	}
}

// What RFC 6455, section 9.1, and RFC 7692, section 7.1, say, as patterns.
var (
	patternToken     = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
	patternQuoted    = `"(?:\\?[!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z])+"`
	patternParam     = patternToken + `[ \t]*(?:=[ \t]*(?:` + patternToken + `|` + patternQuoted + `)[ \t]*)?`
	patternExtension = patternToken + `[ \t]*(?:;[ \t]*` + patternParam + `)*`
	wellFormed       = regexp.MustCompile(`^[ \t,]*(?:` + patternExtension + `(?:,[ \t,]*` + patternExtension + `)*(?:,[ \t,]*)?)?$`)
	parameterKept    = regexp.MustCompile(`^(?:(?:server|client)_no_context_takeover|server_max_window_bits=15|client_max_window_bits(?:=(?:[89]|1[0-5]))?)$`)
)

// readExtensions reads values slowly: all offers, then all their parameters.
func readExtensions(values []string) (Deflate, bool) {
	var agreed []Deflate
	for _, value := range values {
		if !wellFormed.MatchString(value) {
			return noDeflate, false
		}
		plain := regexp.MustCompile(`[ \t"\\]`).ReplaceAllString(value, "") // none of them in a token
		for offer := range strings.SplitSeq(plain, ",") {
			params := strings.Split(offer, ";")
			if params[0] != "permessage-deflate" {
				continue
			}
			names, bad := map[string]bool{}, false
			for _, param := range params[1:] {
				name, _, _ := strings.Cut(param, "=")
				bad = bad || names[name] || !parameterKept.MatchString(param)
				names[name] = true
			}
			switch {
			case bad:
			case names["server_max_window_bits"]:
				agreed = append(agreed, deflateWindow)
			default:
				agreed = append(agreed, deflate)
			}
		}
	}
	return append(agreed, noDeflate)[0], true
}

// FuzzExtensions: what a literal reading of the grammar makes of a field is
// what is agreed on.
//
// A mutant it kills: add that takes server_max_window_bits=14.
func FuzzExtensions(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits", "")
	f.Add(`permessage-deflate; server_max_window_bits="\15", permessage-deflate`, "x; y=z")
	f.Add("permessage-deflate; server_max_window_bits=15; client_no_context_takeover; server_no_context_takeover", ",")
	f.Add("permessage-deflate;client_max_window_bits=9;client_max_window_bits=9", offered)
	f.Add(strings.Repeat(`;,="\`, 100), `a;b="`)
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.ContainsAny(first+second, "\n") {
			return // of which a field has none, and the patterns want it
		}
		values := []string{first, second}
		want, wantOK := readExtensions(values)
		if got, ok := parseExtensions(values); got != want || ok != wantOK {
			t.Errorf("parseExtensions(%q) = %d, %t; want %d, %t", values, got, ok, want, wantOK)
		}
	})
}

// As long as a request's header may be, and as bad.
func BenchmarkExtensions(b *testing.B) {
	for _, bench := range []struct{ name, unit string }{
		{"offers", "permessage-deflate,"},
		{"parameters", "a;"},
		{"empty elements", ","},
		{"quoted", `a;b="\c\d\e",`},
	} {
		for _, size := range []int{8 << 10, 16 << 10} {
			value := strings.Repeat(bench.unit, size/len(bench.unit)) + "a"
			b.Run(fmt.Sprintf("%s/%d", bench.name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					parseExtensions([]string{value})
				}
			})
		}
	}
}
