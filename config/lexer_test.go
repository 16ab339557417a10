package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestLexValue(t *testing.T) {
	tests := []struct {
		name, in string
		text     string
		items    []string
	}{
		{"a word", " text", "text", []string{"text"}},
		{"white space around it", " \t text \t", "text", []string{"text"}},
		{"no white space", "text", "text", []string{"text"}},
		{"words", "a b  c", "a b  c", []string{"a b  c"}},
		{"a comment behind white space", "a ; b", "a", []string{"a"}},
		{"a comment with a hash", "a\t# b", "a", []string{"a"}},
		{"a semicolon inside", "text/plain;charset=utf-8", "text/plain;charset=utf-8", []string{"text/plain;charset=utf-8"}},
		{"a semicolon first, without white space", ";a", ";a", []string{";a"}},
		{"a hash inside", "a#b", "a#b", []string{"a#b"}},
		{"an equals sign", "a=b", "a=b", []string{"a=b"}},
		{"a list", "a, b,c ,d", "a, b,c ,d", []string{"a", "b", "c", "d"}},
		{"a list and a comment", "a, b ; c", "a, b", []string{"a", "b"}},
		{"quotes", `"a"`, "a", []string{"a"}},
		{"quotes around a comment", `"a ; b # c"`, "a ; b # c", []string{"a ; b # c"}},
		{"quotes around a comma and blanks", `" a, b "`, " a, b ", []string{" a, b "}},
		{"escapes", `"a\"b\\c"`, `a"b\c`, []string{`a"b\c`}},
		{"a backslash without quotes is itself", `a\b`, `a\b`, []string{`a\b`}},
		{"quotes and a comment", `"a" ; "b"`, "a", []string{"a"}},
		{"a list with quotes", `a, "b, c" , d`, `a, "b, c" , d`, []string{"a", "b, c", "d"}},
		{"letters of other scripts", "größe", "größe", []string{"größe"}},
		{"nothing", "", "", []string{""}},
		{"a comment alone", " ; a", "", []string{""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, problem := lexValue(test.in)
			if problem != "" || v.text != test.text || !reflect.DeepEqual(v.items, test.items) {
				t.Errorf("lexValue(%q) = %q, %q, %q; want %q, %q", test.in, v.text, v.items, problem, test.text, test.items)
			}
		})
	}
}

// However lines end and whatever stands between them, the settings are the same.
func TestLexLines(t *testing.T) {
	want := "1 key=a|2 [route /x]|3 key=b"
	tests := []struct{ name, in string }{
		{"plain", "key = a\n[route /x]\nkey = b\n"},
		{"without the last newline", "key = a\n[route /x]\nkey = b"},
		{"lines that end in CR LF", "key = a\r\n[route /x]\r\nkey = b\r\n"},
		{"white space at the ends", "\tkey = a  \n  [route /x]\t\n key\t=\tb\n"},
		{"comments behind", "key = a ; x = y\n[route  /x ] # y\nkey=b\t;\n"},
		{"a byte order mark", "\ufeffkey = a\n[ route /x]\nkey = b\n"},
		{"comments and blank lines after", "key = a\n[route /x]\nkey = b\n\n  \n; c\n # d\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, l := range lex(test.in) {
				text := string(rune('0'+l.number)) + " " + l.key + "=" + l.value.text + l.problem
				if l.kind == header {
					text = string(rune('0'+l.number)) + " " + title(l.section, l.name) + l.problem
				}
				got = append(got, text)
			}
			if strings.Join(got, "|") != want {
				t.Errorf("lex = %q; want %q", got, want)
			}
		})
	}
}

// A file cut anywhere gives the lines before the cut unchanged.
func TestLexCut(t *testing.T) {
	const text = "key = \"a, \\\" b\", c ; d\r\n[route /ws] # e\nscript = /größe.php\n"
	whole := lex(text)
	for i := range text {
		cut := lex(text[:i])
		for j := range strings.Count(text[:i], "\n") {
			if !reflect.DeepEqual(cut[j], whole[j]) {
				t.Errorf("cut at %d: line %d is %+v; want %+v", i, j+1, cut[j], whole[j])
			}
		}
	}
}
