package websocket

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
)

// ownDeflate is what the suite's groups 12 and 13 leave out: data that is not
// what their compressor makes. Answers are short, so they are not deflated.
func ownDeflate() []script {
	rsv1 := func(fin bool, op Opcode, payload string) string { return reserved(4, frame(fin, op, payload)) }
	text := func(payload string) string { return rsv1(last, Text, payload) }
	hello := zipped("Hello")
	world := message(Text, "Hello")
	scripts := []script{
		clean("own deflated text", sends(text(hello)).gets(world)),
		clean("own deflated binary", sends(rsv1(last, Binary, zipped("\xff\xfe"))).gets(message(Binary, "\xff\xfe"))),
		clean("own deflated text in three frames, RSV1 on the first",
			sends(rsv1(more, Text, hello[:2]), frame(more, opContinuation, hello[2:5]), frame(last, opContinuation, hello[5:])).gets(world)),
		clean("own deflated text behind an empty fragment",
			sends(rsv1(more, Text, ""), frame(last, opContinuation, hello)).gets(world)),
		clean("own ping and pong between deflated fragments",
			sends(rsv1(more, Text, hello[:4]), frame(last, opPing, "p"), frame(last, opPong, ""), frame(last, opContinuation, hello[4:])).
				gets(message(opPong, "p"), world)),
		clean("own messages deflated and not, by turns",
			sends(text(hello), frame(last, Text, "plain"), text(hello), frame(more, Text, "a"), frame(last, opContinuation, "b")).
				gets(world, message(Text, "plain"), world, message(Text, "ab"))),
		clean("own empty deflated message", sends(text("\x00")).gets(message(Text, ""))),
		clean("own empty deflated message in two frames", sends(rsv1(more, Binary, ""), frame(last, opContinuation, "\x00")).gets(message(Binary, ""))),
		clean("own several blocks", sends(text(stored(0, "Hel")+hello)).gets(message(Text, "HelHello"))),
		clean("own blocks with BFINAL", sends(text(helloFinal+helloFinal+"\x00")).gets(message(Text, "HelloHello"))),
		clean("own 1 MiB of empty stored blocks", sends(rsv1(last, Binary, strings.Repeat(stored(0, ""), 1<<20/5)+"\x00")).gets(message(Binary, ""))),
		clean("own characters cut by deflated fragments",
			sends(rsv1(more, Text, stored(0, "a\xc3")), frame(last, opContinuation, stored(0, "\xa9")+"\x00")).gets(message(Text, "aé"))),

		fails("own RSV1 on a continuation of a deflated message", 1002, sends(rsv1(more, Text, hello[:3]), rsv1(last, opContinuation, hello[3:]))),
		fails("own RSV1 on a continuation of a plain message", 1002, sends(frame(more, Text, "a"), rsv1(last, opContinuation, hello))),
		fails("own RSV1 on a ping", 1002, sends(text(hello), rsv1(last, opPing, "")).gets(world)),
		fails("own RSV1 on a pong", 1002, sends(rsv1(last, opPong, ""))),
		fails("own RSV1 on a close frame", 1002, sends(rsv1(last, opClose, ""))),
		fails("own RSV1 and RSV2", 1002, sends(reserved(6, frame(last, Text, hello)))),
		fails("own RSV2 where messages may be deflated", 1002, sends(reserved(2, frame(last, Text, hello)))),

		fails("own damaged deflated message", 1007, sends(text(hello), text("\xf2\x48\xff\xff\xff")).gets(world)),
		fails("own deflated message without any data", 1007, sends(text(""))),
		fails("own deflated message cut short", 1007, sends(text(hello[:5]))),
		fails("own deflated message with garbage behind", 1007, sends(text(hello+"\xde\xad"))),
		fails("own deflated message with its tail", 1007, sends(text(hello+tail))),
		fails("own deflated message that refers to the one before", 1007, sends(text(hello), text(zippedAfter("Hello", "Hello, Hello, Hello"))).gets(world)),
		fails("own deflated text that is not UTF-8", 1007, sends(text(zipped("ab\xffcd")))),
		fails("own deflated text that ends inside a character", 1007, sends(text(zipped("ab\xc3")))),
		fails("own deflated text that is not UTF-8, before it ends", 1007, sends(rsv1(more, Text, stored(0, "ab\xff")))),
		fails("own deflated text whose second fragment is not UTF-8", 1007, sends(rsv1(more, Text, stored(0, "ab")), frame(more, opContinuation, stored(0, "\xff")))),
		fails("own deflated binary that is damaged, before it ends", 1007, sends(rsv1(more, Binary, "\x06"))),
		fails("own bomb", 1009, sends(rsv1(last, Binary, bomb(17<<20)))),
		fails("own bomb, before it ends", 1009, sends(rsv1(more, Binary, bomb(40<<20)))),
		fails("own bomb in frames", 1009, sends(rsv1(more, Binary, bomb(17 << 20)[:100]), frame(last, opContinuation, bomb(17 << 20)[100:]))),
		fails("own deflated message of too many bytes, whatever they hold", 1009, sends(rsv1(last, Binary, "")[:1]+"\xff\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00")),
	}
	for i := range scripts {
		scripts[i].deflate = deflate
		scripts[i].chop = 997
	}
	return scripts
}

// zippedAfter is s as a client deflates it that still has before in its window.
func zippedAfter(before, s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriterDict(&b, flate.DefaultCompression, []byte(before))
	if err != nil {
		panic(err)
	}
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), tail)
}

// bomb is so many zeros, deflated.
func bomb(n int) string { return zipped(strings.Repeat("\x00", n)) }
