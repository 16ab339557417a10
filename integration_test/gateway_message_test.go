package integration_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestGatewaySizes: messages at every border of a frame's length come back as
// they were, text as text and binary as binary, in frames of at most 64 KiB.
func TestGatewaySizes(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "mirror.php")
	c := dial(t, g.at("/ws"))
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20} {
		binary := make([]byte, size)
		random.Read(binary)
		text := []byte(strings.Repeat("grüße ☃ ", size/12+1))[:size]
		for len(text) > 0 && !bytes.HasSuffix(text, []byte(" ")) && text[len(text)-1] >= 0x80 {
			text = append(text[:len(text)-1:len(text)-1], '.') // no half character at the end
			if cut := bytes.TrimRight(text, "."); len(cut) > 0 && cut[len(cut)-1] >= 0xc0 {
				text[len(cut)-1] = '.'
			}
		}
		for _, op := range []opcode{opText, opBinary} {
			payload := map[opcode][]byte{opText: text, opBinary: binary}[op]
			if err := c.send(frame{fin: true, op: op, key: testKey, payload: payload}); err != nil {
				t.Fatal(err)
			}
			c.wantMessage(t, op, payload)
		}
	}
	c.binary(make([]byte, 1<<20))
	for left := 1 << 20; left > 0; {
		f, err := c.frame()
		if err != nil || len(f.payload) > 64<<10 || f.fin != (len(f.payload) == left) {
			t.Fatalf("%d bytes left: frame of %d bytes, fin %v, %v", left, len(f.payload), f.fin, err)
		}
		left -= len(f.payload)
	}
	c.goodbye(t)
}

// TestGatewayFragments: how a message is cut into frames and writes, and what
// control frames go between, never changes it.
func TestGatewayFragments(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "mirror.php")
	payload := []byte("Test message 4444: grüße aus ☃, 🐘!")
	ping := func(n int) frame { return frame{fin: true, op: opPing, key: testKey, payload: []byte(itoa(n))} }
	pings := func(frames []frame) (mixed []frame) {
		for i, f := range frames {
			mixed = append(mixed, ping(i), f)
		}
		return mixed
	}
	ones := slices.Repeat([]int{1}, len(payload))
	type row struct {
		name   string
		frames []frame
		pings  int
	}
	rows := []row{
		{"a byte each, an empty last frame", fragments(opText, payload, ones...), 0},
		{"a ping before each byte", pings(fragments(opText, payload, ones...)), len(payload) + 1},
		{"empty frames in front, between and behind", fragments(opText, payload, 0, 0, 7, 0, 0, len(payload)-7), 0},
	}
	for cut := range len(payload) + 1 {
		rows = append(rows, row{fmt.Sprintf("cut at %d, with a ping", cut), pings(fragments(opText, payload, cut)), 2})
	}
	c := dial(t, g.at("/ws"))
	for _, row := range rows {
		c.controls = nil
		if err := c.send(row.frames...); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		c.wantText(t, string(payload))
		if len(c.controls) != row.pings {
			t.Errorf("%s: %d pongs before the answer, want %d", row.name, len(c.controls), row.pings)
		}
		for i, f := range c.controls {
			if f.op != opPong || string(f.payload) != itoa(i) {
				t.Errorf("%s: control frame %d is %d %q, want pong %d", row.name, i, f.op, f.payload, i)
			}
		}
	}
	var wire []byte
	for _, f := range fragments(opText, payload, 5, 10) {
		wire = f.appendTo(wire)
	}
	if err := c.writeSlowly(wire, 1, 0); err != nil {
		t.Fatal(err)
	}
	c.wantText(t, string(payload))
}

// TestGatewayPipelined: what follows the handshake in the same segment counts,
// and answers come in the order of the messages.
func TestGatewayPipelined(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "mirror.php")
	h := g.at("/ws")
	for i := range 50 {
		h.after = frame{fin: true, op: opText, key: testKey, payload: []byte(itoa(i))}.appendTo(h.after)
	}
	c := dial(t, h)
	for i := range 50 {
		c.wantText(t, itoa(i))
	}
	c.goodbye(t)
	g.wantMetrics(series{`ws_fpm_messages_received_total`: 50, `ws_fpm_messages_sent_total`: 50})
}

// TestGatewayFiveMegabytes: a message of 5 MB goes through PHP and comes back,
// in however many frames it was sent.
func TestGatewayFiveMegabytes(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "mirror.php\nmax_message = 8M")
	payload := make([]byte, 5_000_000)
	rand.NewChaCha8([32]byte{5}).Read(payload)
	c := dial(t, g.at("/ws"))
	for _, count := range []int{1, 1000, 65537} {
		sizes := slices.Repeat([]int{len(payload) / count}, count-1)
		if err := c.send(fragments(opBinary, payload, sizes...)...); err != nil {
			t.Fatalf("%d fragments: %v", count, err)
		}
		op, got, err := c.message()
		if err != nil || op != opBinary || !bytes.Equal(got, payload) {
			t.Fatalf("%d fragments: opcode %d, %d bytes, %v", count, op, len(got), err)
		}
	}
}

// TestGatewayMaxMessage: a message at max_message passes, one byte more closes
// with 1009, after the answers to what came before.
func TestGatewayMaxMessage(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "mirror.php\nmax_message = 1000")
	below, at, above := make([]byte, 999), make([]byte, 1000), make([]byte, 1001)
	for _, test := range []struct {
		name   string
		frames []frame
		code   int // 0: it passes
	}{
		{"below", fragments(opBinary, below), 0},
		{"at", fragments(opBinary, at), 0},
		{"at, in fragments", fragments(opBinary, at, 1, 500, 499), 0},
		{"above", fragments(opBinary, above), 1009},
		{"above as a sum", fragments(opBinary, above, 500, 500), 1009},
	} {
		c := dial(t, g.at("/ws"))
		before := frame{fin: true, op: opText, key: testKey, payload: []byte("before")}
		if err := c.send(append([]frame{before}, test.frames...)...); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		c.wantText(t, "before")
		if test.code != 0 {
			c.wantClose(t, test.code)
			continue
		}
		if _, got, err := c.message(); err != nil || len(got) == 0 {
			t.Errorf("%s: %d bytes, %v; want the message back", test.name, len(got), err)
		}
		c.goodbye(t)
	}
	g.wantMetrics(series{`ws_fpm_closes_total{code="1009"}`: 2, `ws_fpm_cut_total{cause="protocol"}`: 2})
}

// TestGatewayProtocolErrors: whoever breaks the protocol gets the answers to
// what came before, then the code that names the fault, and nothing more.
func TestGatewayProtocolErrors(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "slow.php")
	text := func(s string) frame { return frame{fin: true, op: opText, key: testKey, payload: []byte(s)} }
	control := func(op opcode, payload ...byte) frame {
		return frame{fin: true, op: op, key: testKey, payload: payload}
	}
	for _, test := range []struct {
		name   string
		frames []frame
		code   int
	}{
		{"no mask", []frame{{fin: true, op: opText, unmasked: true, payload: []byte("x")}}, 1002},
		{"RSV1 without an extension", []frame{{fin: true, rsv: 4, op: opText, key: testKey}}, 1002},
		{"RSV3", []frame{{fin: true, rsv: 1, op: opText, key: testKey}}, 1002},
		{"opcode 3", []frame{{fin: true, op: 3, key: testKey}}, 1002},
		{"opcode 11", []frame{{fin: true, op: 11, key: testKey}}, 1002},
		{"length in two bytes that fits in one", []frame{{fin: true, op: opText, key: testKey, form: form16}}, 1002},
		{"length in eight bytes that fits in two", []frame{{fin: true, op: opText, key: testKey, form: form64}}, 1002},
		{"ping in fragments", []frame{{op: opPing, key: testKey}}, 1002},
		{"ping of 126 bytes", []frame{control(opPing, make([]byte, 126)...)}, 1002},
		{"continuation of nothing", []frame{{fin: true, key: testKey}}, 1002},
		{"text within a message", []frame{{op: opText, key: testKey}, text("x")}, 1002},
		{"Close with one byte", []frame{control(opClose, 3)}, 1002},
		{"Close with 1005", []frame{control(opClose, 3, 0xed)}, 1002},
		{"Close with 999", []frame{control(opClose, 3, 0xe7)}, 1002},
		{"text that is not UTF-8", []frame{text("\xc0\x80")}, 1007},
		{"half a character in the last fragment", fragments(opText, []byte("ab\xe2\x98"), 2), 1007},
		{"a bad byte in a message without end", []frame{{op: opText, key: testKey, payload: []byte("\xff")}}, 1007},
		{"reason that is not UTF-8", []frame{control(opClose, 3, 0xe8, 0xff)}, 1007},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.at("/ws"))
			if err := c.send(append([]frame{text("20000"), text("0")}, test.frames...)...); err != nil {
				t.Fatal(err)
			}
			c.wantText(t, "20000")
			c.wantText(t, "0")
			c.wantClose(t, test.code)
		})
	}
}

// TestGatewayArticle: the handler of the article works as it is. PHP reads the
// message as a form, so $_REQUEST carries it.
func TestGatewayArticle(t *testing.T) {
	t.Parallel()
	_, g := serving(t, "", "article.php\ncontent_type = application/x-www-form-urlencoded")
	c := dial(t, g.at("/ws/?room=7", "Cookie: seen=yes"))
	for message, want := range map[string]string{
		"Test message 4444": `"payload":[{"room":"7","Test_message_4444":""},{`,
		"name=J%C3%BCrgen":  `"payload":[{"room":"7","name":"J\u00fcrgen"},{`,
	} {
		answer := c.ask(t, message)
		for _, want := range []string{`{"status":"ok","message":"websocket test",`, want, `"HTTP_COOKIE":"seen=yes"`, `"REQUEST_METHOD":"POST"`} {
			if !strings.Contains(answer, want) {
				t.Errorf("the answer to %q lacks %s: %s", message, want, answer)
			}
		}
	}
}
