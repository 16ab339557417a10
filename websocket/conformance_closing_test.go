package websocket

import (
	"fmt"
	"strings"
)

// answered is a script in which the client closes first and says more in the
// same breath, and nothing but the answer comes.
func answered(name string, code StatusCode, reason string, answer gotFrame, send ...string) script {
	return script{name: name, steps: []step{sends(send...).gets(answer)}, end: Closing{code, reason, ByClient}}
}

// closings is group 7.
func closings() []script {
	normal := closed(1000)
	reason := func(n int) string { return repeat("*", n) }
	long := pattern(256<<10, Text)
	first := script{name: "7.1.6 a long text, a short one, close and ping at once", chop: 997, drops: true,
		steps: []step{sends(frame(last, Text, long), frame(last, Text, "short"), closeFrame(1000, ""), frame(last, opPing, "")).
			gets(message(Text, long), message(Text, "short"), normal)},
		end: Closing{1000, "", ByClient}}
	scripts := []script{
		clean("7.1.1 a text, then close", echoed(Text, "Hello, world!")),
		answered("7.1.2 two close frames", 1000, "", normal, closeFrame(1000, ""), frame(last, opClose, "")),
		answered("7.1.3 close, then a ping", 1000, "", normal, closeFrame(1000, ""), frame(last, opPing, "")),
		answered("7.1.4 close, then a text", 1000, "", normal, closeFrame(1000, ""), frame(last, Text, "Hello")),
		answered("7.1.5 close between two fragments", 1000, "", normal,
			frame(more, Text, "frag"), closeFrame(1000, ""), frame(last, opContinuation, "ment")),
		first,

		answered("7.3.1 close without a code", StatusNoCode, "", message(opClose, ""), frame(last, opClose, "")),
		fails("7.3.2 close with half a code", 1002, sends(frame(last, opClose, "\x03"))),
		answered("7.3.3 close with a code", 1000, "", normal, closeFrame(1000, "")),
		answered("7.3.4 close with a reason", 1000, "Hello World!", normal, closeFrame(1000, "Hello World!")),
		answered("7.3.5 close with the longest reason", 1000, reason(123), normal, closeFrame(1000, reason(123))),
		fails("7.3.6 close with a reason too long", 1002, sends(closeFrame(1000, reason(124)))),
		fails("7.5.1 close with a reason that is not UTF-8", 1007, sends(closeFrame(1000, greek+"\xed\xa0\x80edited"))),
	}
	good := []StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}
	for i, code := range good {
		scripts = append(scripts, answered(fmt.Sprintf("7.7.%d code %d", i+1, code), code, "", closed(code), closeFrame(code, "")))
	}
	bad := []StatusCode{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999}
	for i, code := range bad {
		scripts = append(scripts, fails(fmt.Sprintf("7.9.%d code %d", i+1, code), 1002, sends(closeFrame(code, ""))))
	}
	for i, code := range []StatusCode{5000, 65535} {
		scripts = append(scripts, fails(fmt.Sprintf("7.13.%d code %d", i+1, code), 1002, sends(closeFrame(code, ""))))
	}
	return scripts
}

// ownClosings is what the suite leaves out.
func ownClosings() (scripts []script) {
	for _, code := range []StatusCode{1012, 1013, 1014} {
		scripts = append(scripts, answered(fmt.Sprintf("own registered code %d", code), code, "", closed(code), closeFrame(code, "")))
	}
	noise := "\xff\xff\xff" + strings.Repeat("\x00", 300)
	return append(scripts,
		fails("own code 1015", 1002, sends(closeFrame(1015, ""))),
		fails("own a reason that ends inside a character", 1007, sends(closeFrame(1000, "\xc3"))),
		fails("own a bad code and a bad reason: the code comes first", 1002, sends(closeFrame(0, "\xff"))),
		answered("own close, then what is no frame", 1000, "", closed(1000), closeFrame(1000, ""), noise),
		fails("own a fault, then what would be another", 1007, sends(frame(last, Text, "\xff"), noise)),
		fails("own a fault, then close", 1002, sends(reserved(1, frame(last, Text, "")), closeFrame(1000, ""))),
		clean("own a text that holds a close frame", echoed(Text, "\x08\x02\x03")),
	)
}
