package websocket

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

const (
	greek   = "\u03ba\u1f79\u03c3\u03bc\u03b5"                            // characters of two and three bytes
	latin   = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!" // of two bytes
	tooHigh = "\xf4\x90\x80\x80"                                          // above U+10FFFF, as its second byte shows
)

// singles are fragments of text of a byte each, with an empty one at the end.
func singles(text string) (frames []string) {
	op := Text
	for i := range len(text) {
		frames = append(frames, frame(more, op, text[i:i+1]))
		op = opContinuation
	}
	return append(frames, frame(last, op, ""))
}

// texts is group 6.
func texts() []script {
	surrogate := greek + "\xed\xa0\x80edited"
	cont := func(fin bool, p string) string { return frame(fin, opContinuation, p) }
	whole := frame(last, Text, greek+tooHigh+"edited")
	header := len(whole) - len(greek+tooHigh+"edited")
	part := func(from, to int) string { // bytes of the payload as they are on the wire
		if from > 0 {
			from += header
		}
		return whole[from : header+to]
	}
	scripts := []script{
		clean("6.1.1 an empty text", echoed(Text, "")),
		clean("6.1.2 three empty fragments", sends(frame(more, Text, ""), cont(more, ""), cont(last, "")).gets(message(Text, ""))),
		clean("6.1.3 only the middle fragment has bytes",
			sends(frame(more, Text, ""), cont(more, "middle"), cont(last, "")).gets(message(Text, "middle"))),
		clean("6.2.1 text of two-byte characters", echoed(Text, latin)),
		clean("6.2.2 cut between characters", sends(frame(more, Text, latin[:15]), cont(last, latin[15:])).gets(message(Text, latin))),
		clean("6.2.3 in fragments of a byte", sends(singles(latin)...).gets(message(Text, latin))),
		clean("6.2.4 a Greek word in fragments of a byte", sends(singles(greek)...).gets(message(Text, greek))),
		fails("6.3.1 a surrogate", 1007, sends(frame(last, Text, surrogate))),
		fails("6.3.2 a surrogate in fragments of a byte", 1007, sends(singles(surrogate)...)),

		fails("6.4.1 the second of three fragments is bad", 1007,
			sends(frame(more, Text, greek)), sends(cont(more, tooHigh))).late(cont(last, "edited")),
		fails("6.4.2 the second byte of a character is bad, in a fragment of its own", 1007,
			sends(frame(more, Text, greek+tooHigh[:1])), sends(cont(more, tooHigh[1:2]))).late(cont(last, tooHigh[2:]+"edited")),
		fails("6.4.3 the middle of a frame is bad", 1007,
			sends(part(0, 11)), sends(part(11, 15))).late(part(15, 21)),
		fails("6.4.4 the second byte of a character in the middle of a frame is bad", 1007,
			sends(part(0, 12)), sends(part(12, 13))).late(part(13, 21)),
	}
	for _, group := range sequences() {
		for i, text := range group.texts {
			name := fmt.Sprintf("6.%d.%d %s: % x", group.number, i+1, group.about, text)
			if group.valid(i) {
				scripts = append(scripts, clean(name, echoed(Text, text)))
			} else {
				scripts = append(scripts, fails(name, 1007, sends(frame(last, Text, text))))
			}
		}
	}
	return scripts
}

// A sequence is one of the parts 6.5 to 6.23: texts in a frame each.
type sequence struct {
	number int
	about  string
	good   []int // numbers of those that are UTF-8; nil: see all
	all    bool  // all of them are
	texts  []string
}

func (s sequence) valid(i int) bool {
	for _, n := range s.good {
		if n == i+1 {
			return true
		}
	}
	return s.all
}

func sequences() []sequence {
	var prefixes, nonCharacters, pairs, spaced []string
	for i := range len(greek) {
		prefixes = append(prefixes, greek[:i+1])
	}
	for plane := range rune(17) {
		nonCharacters = append(nonCharacters, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	for _, high := range []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"} {
		pairs = append(pairs, high+"\xed\xb0\x80", high+"\xed\xbf\xbf")
	}
	for _, span := range [][2]int{{0xc0, 0xde}, {0xe0, 0xee}, {0xf0, 0xf6}, {0xf8, 0xfa}, {0xfc, 0xfc}} {
		var b bytes.Buffer
		for c := span[0]; c <= span[1]; c++ {
			b.Write([]byte{byte(c), ' '})
		}
		spaced = append(spaced, b.String())
	}
	var continuations bytes.Buffer
	for c := 0x80; c <= 0xbe; c++ {
		continuations.WriteByte(byte(c))
	}
	cutShort := []string{
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	joined := ""
	for _, s := range cutShort {
		joined += s
	}
	return []sequence{
		{5, "a character of each length", nil, true, []string{"hello\u0024world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", greek}},
		{6, "the word cut short", []int{2, 5, 7, 9, 11}, false, prefixes},
		{7, "the lowest of a length", nil, true, []string{"\u0000", "\u0080", "\u0800", "\U00010000"}},
		{8, "the lowest of five and six bytes", nil, false, []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}},
		{9, "the highest of a length", nil, true, []string{"\u007f", "\u07ff", "\uffff", "\U0010ffff"}},
		{10, "the highest there once was", nil, false, []string{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
		{11, "around the borders", []int{1, 2, 3, 4}, false, []string{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff", tooHigh}},
		{12, "continuation bytes without a start", nil, false, []string{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf",
			"\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", continuations.String()}},
		{13, "starts with a space each", nil, false, spaced},
		{14, "the last byte is missing", nil, false, cutShort},
		{15, "all of those joined", nil, false, []string{joined}},
		{16, "bytes there never are", nil, false, []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
		{17, "a slash too long", nil, false, []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}},
		{18, "the highest that is too long", nil, false, []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
		{19, "zero too long", nil, false, []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
		{20, "a surrogate", nil, false, []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"}},
		{21, "two surrogates", nil, false, pairs},
		{22, "not a character, but UTF-8", nil, true, nonCharacters},
		{23, "specials", nil, true, []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}},
	}
}

// The table's own verdicts agree with Go's library.
func badSequences() (wrong []string) {
	for _, s := range sequences() {
		for i, text := range s.texts {
			if s.valid(i) != utf8.ValidString(text) {
				wrong = append(wrong, fmt.Sprintf("6.%d.%d % x", s.number, i+1, text))
			}
		}
	}
	return wrong
}
