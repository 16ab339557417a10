package websocket

import (
	"fmt"
	"strings"
)

var repeat = strings.Repeat

// framing is group 1: the borders of the three forms of a length.
func framing() (scripts []script) {
	sizes := []int{0, 125, 126, 127, 128, 65535, 65536, 65536}
	for i, kind := range []struct {
		op   Opcode
		byte string
	}{{Text, "*"}, {Binary, "\xfe"}} {
		for j, size := range sizes {
			s := clean(fmt.Sprintf("1.%d.%d %v of %d bytes", i+1, j+1, kind.op, size), echoed(kind.op, repeat(kind.byte, size)))
			if j == len(sizes)-1 {
				s.name += ", chopped"
			}
			if size > 128 {
				s.chop = 997
			}
			scripts = append(scripts, s)
		}
	}
	return scripts
}

// pings is group 2.
func pings() []script {
	ping := func(p string) string { return frame(last, opPing, p) }
	pong := func(p string) string { return frame(last, opPong, p) }
	pinged := func(p string) step { return sends(ping(p)).gets(message(opPong, p)) }
	var ten step
	for i := range 10 {
		p := fmt.Sprintf("payload %d", i)
		ten.send, ten.want = append(ten.send, ping(p)), append(ten.want, message(opPong, p))
	}
	return []script{
		clean("2.1 an empty ping", pinged("")),
		clean("2.2 a ping with text", pinged("Hello, world!")),
		clean("2.3 a ping that is not UTF-8", pinged("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		clean("2.4 the longest ping", pinged(repeat("\xfe", 125))),
		fails("2.5 a ping too long", 1002, sends(ping(repeat("\xfe", 126)))),
		clean("2.6 the longest ping, chopped", pinged(repeat("\xfe", 125))),
		clean("2.7 an empty pong unasked", sends(pong(""))),
		clean("2.8 a pong unasked", sends(pong("unasked"))),
		clean("2.9 a pong unasked, then a ping", sends(pong("unasked"), ping("asked")).gets(message(opPong, "asked"))),
		clean("2.10 ten pings", ten),
		clean("2.11 ten pings, chopped", ten),
	}
}

// reservedBits is group 3, without an extension that gives them a meaning.
func reservedBits() []script {
	hello, ping := frame(last, Text, "Hello, world!"), frame(last, opPing, "")
	between := func(bits byte) step {
		return sends(hello, reserved(bits, hello), ping).gets(message(Text, "Hello, world!"))
	}
	return []script{
		fails("3.1 RSV3", 1002, sends(reserved(1, hello))),
		fails("3.2 a good text, RSV2, a ping", 1002, between(2)),
		fails("3.3 a good text, RSV2 and RSV3, a ping", 1002, between(3)),
		fails("3.4 a good text, RSV1, a ping", 1002, between(4)),
		fails("3.5 binary with RSV1 and RSV3", 1002, sends(reserved(5, frame(last, Binary, "\xff\xfe")))),
		fails("3.6 text with RSV1 and RSV2", 1002, sends(reserved(6, hello))),
		fails("3.7 a close frame with all three", 1002, sends(reserved(7, closeFrame(1000, "")))),
	}
}

// reservedOpcodes is group 4.
func reservedOpcodes() (scripts []script) {
	hello, ping := frame(last, Text, "Hello, world!"), frame(last, opPing, "")
	for i, first := range []Opcode{3, 11} {
		for j := range Opcode(5) {
			op, payload := first+j, "payload"
			if j == 0 || j == 2 {
				payload = ""
			}
			st := sends(frame(last, op, payload))
			if j >= 2 {
				st = sends(hello, frame(last, op, payload), ping).gets(message(Text, "Hello, world!"))
			}
			name := fmt.Sprintf("4.%d.%d opcode %d with %q", i+1, j+1, op, payload)
			if j >= 2 {
				name += ", between a text and a ping"
			}
			scripts = append(scripts, fails(name, 1002, st))
		}
	}
	return scripts
}

// fragmentation is group 5. What the suite asks of one style, such as 5.3 to
// 5.5, is here the same script several times: each is played in every style.
func fragmentation() []script {
	first, rest := frame(more, Text, "frag"), frame(last, opContinuation, "ment")
	ping, pong, whole := frame(last, opPing, "ping"), message(opPong, "ping"), message(Text, "fragment")
	hello := frame(last, Text, "Hello")
	stray := func(fin bool) string { return frame(fin, opContinuation, "stray") }

	two := sends(first, rest).gets(whole)
	around := sends(first, ping, rest).gets(pong, whole)
	alone := sends(stray(last), hello)
	open := sends(stray(more), hello)
	twice := func(fin bool) step { return sends(stray(fin), first, rest, stray(fin), first, rest) }
	five := []step{
		sends(frame(more, Text, "1"), frame(more, opContinuation, "2"), frame(last, opPing, "A")).gets(message(opPong, "A")),
		sends(frame(more, opContinuation, "3"), frame(more, opContinuation, "4"), frame(last, opPing, "B"),
			frame(last, opContinuation, "5")).gets(message(opPong, "B"), message(Text, "12345")),
	}
	return []script{
		fails("5.1 a ping in fragments", 1002, sends(frame(more, opPing, "a"), rest)),
		fails("5.2 a pong in fragments", 1002, sends(frame(more, opPong, "a"), rest)),
		clean("5.3 text in two fragments, whole", two),
		clean("5.4 text in two fragments, flushed", two),
		clean("5.5 text in two fragments, byte by byte", two),
		clean("5.6 a ping between two fragments, whole", around),
		clean("5.7 a ping between two fragments, flushed", around),
		clean("5.8 a ping between two fragments, byte by byte", around),
		fails("5.9 a last continuation of nothing, whole", 1002, alone),
		fails("5.10 a last continuation of nothing, flushed", 1002, alone),
		fails("5.11 a last continuation of nothing, byte by byte", 1002, alone),
		fails("5.12 a continuation of nothing, whole", 1002, open),
		fails("5.13 a continuation of nothing, flushed", 1002, open),
		fails("5.14 a continuation of nothing, byte by byte", 1002, open),
		fails("5.15 a continuation after the last fragment", 1002, sends(first, rest, stray(more), hello).gets(whole)),
		fails("5.16 a continuation of nothing before each of two texts", 1002, twice(more)),
		fails("5.17 a last continuation of nothing before each of two texts", 1002, twice(last)),
		fails("5.18 a text inside a text", 1002, sends(first, frame(last, Text, "ment"))),
		clean("5.19 five fragments, two pings, a wait", five...),
		clean("5.20 five fragments, two pings, a wait, flushed", five...),
	}
}

// ownFraming is what the suite leaves out: lengths and masks that only a
// careless server takes, and limits.
func ownFraming() []script {
	hello, ping := frame(last, Text, "Hello"), frame(last, opPing, "")
	bad := func(name string, code StatusCode, wire ...string) script {
		return fails("own "+name, code, sends(append(append([]string{hello}, wire...), ping)...).gets(message(Text, "Hello")))
	}
	const key = "\x00\x00\x00\x00"
	var fragments step
	for i := range 130 {
		op := opContinuation
		if i == 0 {
			op = Text
		}
		fragments.send = append(fragments.send, frame(more, op, ""))
	}
	pipelined := step{}
	for i := range 100 {
		p := fmt.Sprintf("message %d", i)
		pipelined.send, pipelined.want = append(pipelined.send, frame(last, Text, p)), append(pipelined.want, message(Text, p))
	}
	return []script{
		clean("own a mask of zeros", sends("\x82\x82"+key+"ab").gets(message(Binary, "ab"))),
		clean("own a hundred messages at once, in order", pipelined),
		bad("an unmasked text", 1002, "\x81\x05Hello"),
		bad("an unmasked empty binary", 1002, "\x82\x00"),
		bad("an unmasked ping", 1002, "\x89\x00"),
		bad("an unmasked close frame", 1002, "\x88\x02\x03\xe8"),
		bad("an unmasked last fragment", 1002, frame(more, Text, "a"), "\x80\x01b"),
		bad("an unmasked frame of 2^62 bytes", 1002, "\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00"),
		bad("125 bytes in 16 bits", 1002, "\x82\xfe\x00\x7d"+key+repeat("a", 125)),
		bad("no bytes in 64 bits", 1002, "\x82\xff\x00\x00\x00\x00\x00\x00\x00\x00"+key),
		bad("65535 bytes in 64 bits", 1002, "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"+key),
		bad("a length of 2^63", 1002, "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"+key),
		bad("a length of 2^64-1", 1002, "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"+key),
		bad("a length of 2^63-1", 1009, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"+key),
		bad("a length of 2^32", 1009, "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00"+key),
		bad("a length of 2^31", 1009, "\x82\xff\x00\x00\x00\x00\x80\x00\x00\x00"+key),
		bad("one byte over the limit", 1009, "\x82\xff\x00\x00\x00\x00\x01\x00\x00\x01"+key),
		bad("a fragment over the limit with another", 1009, frame(more, Binary, "a"), "\x80\xff\x00\x00\x00\x00\x01\x00\x00\x00"+key),
		bad("a second HTTP request", 1002, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		bad("a close frame in fragments", 1002, "\x08\x82"+key+"\x03\xe8"),
		bad("a text inside a binary", 1002, frame(more, Binary, "a"), frame(last, Text, "b")),
		bad("a binary inside a text", 1002, frame(more, Text, "a"), frame(last, Binary, "b")),
		fails("own 129 empty continuation frames", 1008, fragments),
	}
}
