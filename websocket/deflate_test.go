package websocket

import (
	"bytes"
	"fmt"
	"testing"
)

// A deflater stops where there would be no gain, and then goes on with the next
// message as if nothing had been.
func TestDeflaterStopsWithoutGain(t *testing.T) {
	d := deflaters.Get().(*deflater)
	defer d.release()
	d.out, d.most = d.out[:0], 5
	if n, err := d.Write([]byte("abcde")); n != 5 || err != nil {
		t.Errorf("Write of all there is room for = %d, %v", n, err)
	}
	if n, err := d.Write([]byte("f")); n != 0 || err != errNoGain {
		t.Errorf("Write of one byte more = %d, %v", n, err)
	}
	long := []byte(jsonText(4 << 10))
	for range 3 {
		if err := d.deflate([]byte(noise(100_000))); err != errNoGain || len(d.out) > 100_000+len(tail)-1 {
			t.Errorf("noise: %d bytes, %v", len(d.out), err)
		}
		if err := d.deflate(long); err != nil {
			t.Errorf("after that: %v", err)
		}
		if got, fault := inflate(d.out, Text, 1<<20); !bytes.Equal(got, long) || fault != nil {
			t.Errorf("%d bytes, %v", len(got), fault)
		}
	}
}

// FuzzDeflate: what is deflated is what is inflated again, and is shorter.
//
// A mutant it kills: deflate that does not take the tail off.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte(""), uint16(0))
	f.Add([]byte("a"), uint16(1000))
	f.Add([]byte(`{"key": "value"}`), uint16(300))
	f.Fuzz(func(t *testing.T, unit []byte, n uint16) {
		payload := bytes.Repeat(unit, 1+int(n)%(1+200_000/(1+len(unit))))
		d := deflaters.Get().(*deflater)
		defer d.release()
		if d.deflate(payload) != nil {
			return
		}
		got, fault := inflate(d.out, Binary, int64(len(payload)))
		if fault != nil || !bytes.Equal(got, payload) || len(d.out) >= len(payload) {
			t.Errorf("%d bytes became %d and then %d, %v", len(payload), len(d.out), len(got), fault)
		}
	})
}

// The end of a message is read as one block's header, and in no other way.
func TestDeflatedEndIsABlock(t *testing.T) {
	for _, test := range []struct {
		name string
		read func(d *deflated) (string, error)
		want string
	}{
		{"a byte, then the rest", func(d *deflated) (string, error) {
			c, err := d.ReadByte()
			if err != nil {
				return "", err
			}
			var b [9]byte
			n, err := d.Read(b[:])
			return string(c) + string(b[:n]), err
		}, end},
		{"all as data", func(d *deflated) (string, error) {
			var b [9]byte
			n, err := d.Read(b[:])
			return string(b[:n]), err
		}, "EOF"},
		{"byte by byte", func(d *deflated) (s string, err error) {
			for range len(end) {
				c, err := d.ReadByte()
				if err != nil {
					return s, err
				}
				s += string(c)
			}
			return s, nil
		}, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range 2 {
				d := deflated{payload: []byte("xy"), whole: true, at: 2}
				for range len(tail) {
					if i == 0 {
						d.ReadByte()
					} else {
						d.Read(make([]byte, 1))
					}
				}
				got, err := test.read(&d)
				if err != nil {
					got = fmt.Sprint(err)
				}
				if got != test.want || d.spent() != (test.want == end) {
					t.Errorf("%q, spent %t; want %q", got, d.spent(), test.want)
				}
			}
		})
	}
}
