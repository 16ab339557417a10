package fastcgi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

func TestAppendParam(t *testing.T) {
	for _, test := range []struct {
		name, param, value string
		want               string // hex; "" means refused
	}{
		{"a short pair", "WS_A", "bc", "04 02 57535f41 6263"},
		{"an empty value", "WS_A", "", "04 00 57535f41"},
		{"a value of 127 bytes has a length of one byte", "WS_A", strings.Repeat("v", 127), "04 7f 57535f41" + strings.Repeat("76", 127)},
		{"a value of 128 bytes has a length of four", "WS_A", strings.Repeat("v", 128), "04 80000080 57535f41" + strings.Repeat("76", 128)},
		{"a value that is not UTF-8", "WS_A", "\xff", "04 01 57535f41 ff"},
		{"an empty name", "", "v", ""},
		{"a name of three characters, which php-fpm mixes up", "ABC", "v", ""},
		{"a small letter", "WS_a", "v", ""},
		{"a dot, which PHP turns into _", "HTTP_X.Y", "v", ""},
		{"a bracket, which makes an array", "HTTP_A[X]", "v", ""},
		{"a digit in front", "1ABC", "v", ""},
		{"an underscore in front", "_ABC", "v", ""},
		{"NUL in the name", "WS_A\x00", "v", ""},
		{"NUL in the value, which runs another file", "SCRIPT_FILENAME", "/a.php\x00.txt", ""},
		{"CR in the value", "WS_A", "a\rb", ""},
		{"LF in the value", "WS_A", "a\nb", ""},
		{"php.ini settings", "PHP_VALUE", "auto_prepend_file=/x", ""},
		{"php.ini settings of the admin", "PHP_ADMIN_VALUE", "x=y", ""},
		{"a file as the body", "REQUEST_BODY_FILE", "/etc/passwd", ""},
		{"the client's own CONTENT_LENGTH", "CONTENT_LENGTH", "1", ""},
		{"the client's own REQUEST_METHOD", "REQUEST_METHOD", "GET", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := AppendParam(nil, test.param, test.value)
			want, _ := hex.DecodeString(strings.ReplaceAll(test.want, " ", ""))
			if !bytes.Equal(got, want) || (err == nil) != (test.want != "") {
				t.Errorf("%x, %v; want %x", got, err, want)
			}
		})
	}
}

func TestAppendParamSize(t *testing.T) {
	most := maxPair - len("WS_BIG") - 5 // one byte and four of lengths
	for _, test := range []struct {
		name string
		size int
		ok   bool
	}{
		{"below a record's content", most - 1, true},
		{"exactly a record's content", most, true},
		{"above a record's content", most + 1, false},
	} {
		p, err := AppendParam(nil, "WS_BIG", strings.Repeat("v", test.size))
		if (err == nil) != test.ok || test.ok && len(p) != test.size+11 {
			t.Errorf("%s: %d bytes, %v", test.name, len(p), err)
		}
	}
}

// paramRecords splits a PARAMS stream into record contents.
func paramRecords(t testing.TB, wire []byte, id uint16) (contents [][]byte) {
	t.Helper()
	for len(wire) > 0 {
		if len(wire) < headerLen {
			t.Fatalf("%d bytes left over", len(wire))
		}
		n := int(binary.BigEndian.Uint16(wire[4:]))
		if wire[0] != version1 || wire[1] != typeParams || binary.BigEndian.Uint16(wire[2:]) != id || wire[6] != 0 || n > maxContent {
			t.Fatalf("header %x", wire[:headerLen])
		}
		contents = append(contents, wire[headerLen:headerLen+n])
		wire = wire[headerLen+n:]
	}
	return contents
}

func TestAppendParamsSplitsBetweenPairs(t *testing.T) {
	pair := func(n int) Params { return params(t, "WS_BIG", strings.Repeat("v", n-11)) } // n bytes
	twice := append(pair(40_000), pair(40_000)...)
	for _, test := range []struct {
		name   string
		blocks []Params
		want   []int // lengths of the records
	}{
		{"nothing but the tail", nil, []int{4, 0}},
		{"blocks that fit share a record", []Params{pair(1000), pair(2000)}, []int{3004, 0}},
		{"a block that does not fit begins a record", []Params{pair(40_000), pair(40_000)}, []int{40_000, 40_004, 0}},
		{"a block is cut between its pairs", []Params{twice}, []int{40_000, 40_004, 0}},
		{"a record exactly full", []Params{pair(65_524)}, []int{65_528, 0}},
		{"a record full but for less than the tail", []Params{pair(65_525)}, []int{65_525, 4, 0}},
		{"empty blocks", []Params{nil, {}, pair(500)}, []int{504, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire, err := appendParams(nil, 7, test.blocks, Params("\x01\x01Tt"))
			if err != nil {
				t.Fatal(err)
			}
			got := paramRecords(t, wire, 7)
			if len(got) != len(test.want) {
				t.Fatalf("%d records, want %d", len(got), len(test.want))
			}
			for i, r := range got {
				if len(r) != test.want[i] {
					t.Errorf("record %d has %d bytes, want %d", i, len(r), test.want[i])
				}
			}
		})
	}
}

func TestAppendParamsRefusesBrokenBlocks(t *testing.T) {
	big := strings.Repeat("x", 70_000)
	for _, test := range []struct{ name, block string }{
		{"a pair over a record", "\x01\x80\x01\x11\x70N" + big},
		{"lengths beyond the block", "\x7f\x80\x7f\xff\xff" + big},
	} {
		if b, err := appendParams(nil, 1, []Params{Params(test.block)}, nil); err == nil {
			t.Errorf("%s: %d bytes; want an error", test.name, len(b))
		}
	}
}

func TestParsePairCutAnywhere(t *testing.T) {
	p := params(t, "WS_A", strings.Repeat("v", 200))
	for i := range p {
		if _, _, _, err := parsePair(p[:i]); err == nil {
			t.Errorf("a pair cut at %d is parsed", i)
		}
	}
}

// FuzzParams: what is decoded is what was encoded, and no pair is split.
//
// It kills an appendParams that fills each record to its last byte.
func FuzzParams(f *testing.F) {
	f.Add("WS_EVENT", "message", "HTTP_COOKIE", "a=b", uint16(3), uint16(100))
	f.Add("WS_BIG", strings.Repeat("v", 300), "WS_BIG2", "", uint16(500), uint16(0))
	f.Add("WS_BIG", strings.Repeat("v", 127), "WS_BIG2", "v", uint16(999), uint16(127))
	f.Add("HTTP_COOKIE", strings.Repeat("v", 128), "SCRIPT_FILENAME", "/a\x00b", uint16(2), uint16(65500))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, repeat, pad uint16) {
		var want []string
		var block Params
		for i := range int(repeat%1000) + 1 {
			name, value := n1, v1
			if i%2 == 1 {
				name, value = n2, v2+strings.Repeat("p", int(pad))
			}
			b, err := AppendParam(block, name, value)
			if err != nil {
				continue
			}
			block = b
			want = append(want, name, value)
		}
		wire, err := appendParams(nil, 1, []Params{block, block}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, want...)
		for _, content := range paramRecords(t, wire, 1) {
			for len(content) > 0 {
				name, value, n, err := parsePair(content)
				if err != nil {
					t.Fatalf("a pair is split: %v", err)
				}
				if len(want) < 2 || string(name) != want[0] || string(value) != want[1] {
					t.Fatalf("%q=%q was not encoded", name, value)
				}
				want, content = want[2:], content[n:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("%d strings lost", len(want))
		}
	})
}

func TestSizeLen(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 129, 65535} {
		b := appendSize(nil, n)
		size, took, ok := parseSize(b)
		if sizeLen(n) != len(b) || size != n || took != len(b) || !ok {
			t.Errorf("%d is written as %x, of %d bytes, and read as %d", n, b, sizeLen(n), size)
		}
	}
}

func TestPairsWithin(t *testing.T) {
	p := params(t, "WS_A", "1", "WS_B", "22", "WS_C", "333") // 7, 8 and 9 bytes
	for limit, want := range map[int]int{0: 0, 6: 0, 7: 7, 14: 7, 15: 15, 23: 15, 24: 24, 25: 24} {
		if n, err := pairsWithin(p, limit); n != want || err != nil {
			t.Errorf("within %d: %d, %v; want %d", limit, n, err, want)
		}
	}
}
