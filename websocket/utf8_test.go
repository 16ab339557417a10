package websocket

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// badText is text that is not UTF-8, and how many of its bytes prove it.
// More than it has means that it only ends too early. Numbers are those of the
// Autobahn test suite.
var badText = []struct {
	name, hex string
	at        int
}{
	{"6.3 surrogate in a word", "cebae1bdb9cf83cebcceb5 eda080 656469746564", 13},
	{"6.4 above U+10FFFF", "cebae1bdb9cf83cebcceb5 f4908080 656469746564", 13},
	{"6.6.1 first byte of a word", "ce", 2},
	{"6.6.3 three bytes of a word", "cebae1", 4},
	{"6.6.4 four bytes of a word", "cebae1bd", 5},
	{"6.8.1 lowest of 5 bytes", "f888808080", 1},
	{"6.8.2 lowest of 6 bytes", "fc8480808080", 1},
	{"6.10.1 highest of 4 bytes once", "f7bfbfbf", 1},
	{"6.10.2 highest of 5 bytes", "fbbfbfbfbf", 1},
	{"6.10.3 highest of 6 bytes", "fdbfbfbfbfbf", 1},
	{"6.11.5 U+110000", "f4908080", 2},
	{"6.12.1 first continuation byte alone", "80", 1},
	{"6.12.2 last continuation byte alone", "bf", 1},
	{"6.12.5 continuation bytes", "80bf80bf", 1},
	{"6.13.1 start of 2 and a space", "c320", 2},
	{"6.13.2 start of 3 and a space", "e020", 2},
	{"6.13.3 start of 4 and a space", "f020", 2},
	{"6.14.2 3 bytes but one, overlong", "e080", 2},
	{"6.14.3 4 bytes but one, overlong", "f08080", 2},
	{"6.14.6 2 bytes but one", "df", 2},
	{"6.14.7 3 bytes but one", "efbf", 3},
	{"6.14.8 4 bytes but one", "f48fbf", 4},
	{"6.15 all of 6.14", "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf", 1},
	{"6.16.1 FE", "fe", 1},
	{"6.16.2 FF", "ff", 1},
	{"6.17.1 slash in 2 bytes", "c0af", 1},
	{"6.17.2 slash in 3 bytes", "e080af", 2},
	{"6.17.3 slash in 4 bytes", "f08080af", 2},
	{"6.18.1 highest overlong of 2 bytes", "c1bf", 1},
	{"6.18.2 highest overlong of 3 bytes", "e09fbf", 2},
	{"6.18.3 highest overlong of 4 bytes", "f08fbfbf", 2},
	{"6.19.1 U+0000 in 2 bytes", "c080", 1},
	{"6.20.1 U+D800", "eda080", 2},
	{"6.20.7 U+DFFF", "edbfbf", 2},
	{"6.21.1 surrogate pair", "eda080edb080", 2},
	{"third byte of 3 is ASCII", "e282 41", 3},
	{"third byte of 4 is ASCII", "f09f98 41", 4},
	{"fault behind 40 ASCII bytes", strings.Repeat("41", 40) + "ff" + strings.Repeat("41", 40), 41},
}

var goodText = []struct{ name, text string }{
	{"6.1 nothing", ""},
	{"6.2.1 with 2-byte characters", "Hello-µ@ßöäüàá-UTF-8!!"},
	{"6.2.4 a Greek word", "κόσμε"},
	{"6.5.2 2-byte character", "hello\u00a2world"},
	{"6.5.4 4-byte character", "hello\U00024b62world"},
	{"6.7 lowest of 1 to 4 bytes", "\u0000\u0080\u0800\U00010000"},
	{"6.9 highest of 1 to 4 bytes", "\u007f\u07ff\uffff\U0010ffff"},
	{"6.11 next to the surrogates", "\ud7ff\ue000\ufffd"},
	{"6.22 non-characters", "\ufffe\uffff\U0001fffe\U0001ffff\U0010fffe"},
	{"6.23 specials", "\ufff9\ufffa\ufffb\ufffc\ufffd"},
	{"long, a character at each end", "€" + strings.Repeat("0123456789", 10) + "😀"},
}

func TestTextCheckAccepts(t *testing.T) {
	for _, test := range goodText {
		t.Run(test.name, func(t *testing.T) {
			text := []byte(test.text)
			for i := range len(text) + 1 {
				for j := i; j <= len(text); j++ {
					var c textCheck
					for _, part := range [][]byte{text[:i], text[i:j], text[j:]} {
						if !c.add(part) {
							t.Fatalf("cut at %d and %d: refused", i, j)
						}
					}
					if !c.complete() {
						t.Fatalf("cut at %d and %d: incomplete", i, j)
					}
				}
			}
			var c textCheck
			for i := range text {
				if !c.add(text[i:i+1]) || c.complete() != utf8.Valid(text[:i+1]) {
					t.Fatalf("after %x, byte by byte: refused, or complete is %t", text[:i+1], c.complete())
				}
			}
		})
	}
}

func TestTextCheckRefuses(t *testing.T) {
	for _, test := range badText {
		t.Run(test.name, func(t *testing.T) {
			text := unhex(t, test.hex)
			for i := range len(text) + 1 { // with text[:i] before, in one part
				for end := i; end <= len(text); end++ {
					var c textCheck
					got := c.add(text[:i]) && c.add(text[i:end])
					if want := end < test.at; got != want {
						t.Errorf("add(%x), add(%x) = %t, want %t", text[:i], text[i:end], got, want)
					}
					if got && end == len(text) && c.complete() {
						t.Errorf("%x, cut at %d, is complete", text, i)
					}
				}
			}
			var c textCheck
			at := slices.IndexFunc(text, func(b byte) bool { return !c.add([]byte{b}) }) + 1
			if at == 0 && !c.complete() {
				at = len(text) + 1
			}
			if at != test.at {
				t.Errorf("%x byte by byte: refused at byte %d, want %d", text, at, test.at)
			}
		})
	}
}

// FuzzText: a text cut anywhere is UTF-8 exactly if the whole is.
//
// A mutant it kills: add that forgets a character which a cut made complete.
func FuzzText(f *testing.F) {
	for _, test := range goodText {
		f.Add([]byte(test.text), uint8(2), uint8(3))
	}
	for _, test := range badText {
		f.Add(unhex(f, test.hex), uint8(1), uint8(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, i, j uint8) {
		first := min(int(i), len(text))
		second := min(first+int(j), len(text))
		var c textCheck
		got := c.add(text[:first]) && c.add(text[first:second]) && c.add(text[second:]) && c.complete()
		if want := utf8.Valid(text); got != want {
			t.Errorf("%x cut at %d and %d: UTF-8 = %t, want %t", text, first, second, got, want)
		}
	})
}

func BenchmarkTextCheck(b *testing.B) {
	for _, bench := range []struct {
		name string
		text []byte
	}{
		{"ASCII", bytes.Repeat([]byte("0123456789abcdef"), 1<<10)},
		{"Greek", bytes.Repeat([]byte("κόσμε "), 1<<10)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				var c textCheck
				if !c.add(bench.text) {
					b.Fatal("refused")
				}
			}
		})
	}
}
