package fastcgi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecords(t *testing.T) {
	for _, test := range []struct {
		name string
		got  []byte
		want string
	}{
		{"BEGIN of a responder", appendBegin(nil, 1, false), "01 01 0001 0008 00 00 0001 00 0000000000"},
		{"BEGIN on a kept connection", appendBegin(nil, 0x0102, true), "01 01 0102 0008 00 00 0001 01 0000000000"},
		{"no body: the empty STDIN alone, without padding", appendStdin(nil, 1, nil), "01 05 0001 0000 00 00"},
		{"a body and the empty STDIN", appendStdin(nil, 1, []byte("hi")), "01 05 0001 0002 00 00 6869 01 05 0001 0000 00 00"},
		{"GET_VALUES is for the connection, id 0", appendGetValues(nil), "01 09 0000 0011 00 00 0f 00 464347495f4d5058535f434f4e4e53"},
	} {
		if want := unhex(t, test.want); !bytes.Equal(test.got, want) {
			t.Errorf("%s: %x; want %x", test.name, test.got, want)
		}
	}
}

func TestAppendStdinSplits(t *testing.T) {
	for _, test := range []struct {
		size int
		want []int
	}{
		{maxContent - 1, []int{maxContent - 1, 0}},
		{maxContent, []int{maxContent, 0}},
		{maxContent + 1, []int{maxContent, 1, 0}},
	} {
		wire := appendStdin(nil, 1, make([]byte, test.size))
		for i, want := range test.want {
			if n := int(binary.BigEndian.Uint16(wire[4:])); n != want {
				t.Errorf("%d bytes: record %d has %d, want %d", test.size, i, n, want)
			}
			wire = wire[headerLen+int(binary.BigEndian.Uint16(wire[4:])):]
		}
		if len(wire) > 0 {
			t.Errorf("%d bytes: %d too many", test.size, len(wire))
		}
	}
}

func TestSetID(t *testing.T) {
	wire := appendGetValues(appendStdin(appendBegin(nil, 1, true), 1, []byte("body")))
	want := appendGetValues(appendStdin(appendBegin(nil, 5, true), 5, []byte("body")))
	if setID(wire, 5); !bytes.Equal(wire, want) {
		t.Errorf("%x; want %x", wire, want)
	}
}

// FuzzRecord: whatever header parses is given back byte for byte, its reserved
// byte and its padding apart, which we neither heed nor send.
//
// It kills a parseHeader that reads the id from one byte.
func FuzzRecord(f *testing.F) {
	f.Add(appendBegin(nil, 1, true))
	f.Add(endRecord(65535, 0))
	f.Add(padded(typeStdout, 0x0102, strings.Repeat("x", 0x0304), 5))
	f.Add([]byte("HTTP/1.1 400"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerLen {
			return
		}
		h, err := parseHeader((*[headerLen]byte)(b))
		if err != nil {
			if b[0] == version1 {
				t.Fatalf("%x: %v", b[:headerLen], err)
			}
			return
		}
		got := appendHeader(nil, h.typ, h.id, int(h.content))
		got[6], got[7] = h.padding, b[7]
		if !bytes.Equal(got, b[:headerLen]) {
			t.Fatalf("%x became %x", b[:headerLen], got)
		}
	})
}
