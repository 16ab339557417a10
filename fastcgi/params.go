package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Params are CGI variables in FastCGI's encoding of name-value pairs (FastCGI
// 1.0 section 3.4), ready to be sent any number of times. The zero value is
// empty; [AppendParam] adds to it.
type Params []byte

// maxPair is the longest encoding of one pair: a pair has to fit in a record,
// for php-fpm drops the connection when one is split between two.
const maxPair = maxContent

// AppendParam appends a variable to p. On error it gives back nil.
//
// Refused are names that are not made of A-Z, 0-9 and _ with a letter in front
// or have fewer than four characters (php-fpm mixes up names of three), values
// with NUL, CR or LF, pairs that take more than 65,528 bytes, CONTENT_LENGTH
// and REQUEST_METHOD, which the client itself sends, and the names by which
// php-fpm lets a client change its settings or read files: PHP_VALUE,
// PHP_ADMIN_VALUE and REQUEST_BODY_FILE.
func AppendParam(p Params, name, value string) (Params, error) {
	if err := checkParam(name, value); err != nil {
		return nil, err
	}
	return appendPair(p, name, value), nil
}

func checkParam(name, value string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("fastcgi: parameter %.40q: %w", name, err)
	}
	// Each value of each event passes here: ContainsAny would be much slower.
	if strings.IndexByte(value, 0) >= 0 || strings.IndexByte(value, '\r') >= 0 || strings.IndexByte(value, '\n') >= 0 {
		return fmt.Errorf("fastcgi: parameter %s: value with NUL, CR or LF", name)
	}
	if n := pairLen(len(name), len(value)); n > maxPair {
		return fmt.Errorf("fastcgi: parameter %.40s takes %d bytes, over %d", name, n, maxPair)
	}
	return nil
}

func checkName(name string) error {
	switch name {
	case "":
		return errors.New("empty name")
	case "CONTENT_LENGTH", "REQUEST_METHOD":
		return errors.New("the client sends it itself")
	case "PHP_VALUE", "PHP_ADMIN_VALUE", "REQUEST_BODY_FILE":
		return errors.New("commands php-fpm")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_'):
		default:
			return errors.New("name not of A-Z, 0-9 and _")
		}
	}
	if len(name) < 4 {
		return errors.New("name of fewer than four characters")
	}
	return nil
}

func appendPair(b []byte, name, value string) []byte {
	b = appendSize(b, len(name))
	b = appendSize(b, len(value))
	b = append(b, name...)
	return append(b, value...)
}

func pairLen(name, value int) int {
	return sizeLen(name) + sizeLen(value) + name + value
}

func sizeLen(n int) int {
	if n <= 127 {
		return 1
	}
	return 4
}

func appendSize(b []byte, n int) []byte {
	if n <= 127 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
}

var errPair = errors.New("malformed name-value pair")

// parsePair decodes the pair at the start of b; n is its size.
func parsePair(b []byte) (name, value []byte, n int, err error) {
	nameLen, i, ok := parseSize(b)
	if !ok {
		return nil, nil, 0, errPair
	}
	valueLen, j, ok := parseSize(b[i:])
	if !ok {
		return nil, nil, 0, errPair
	}
	i += j
	// Compared one by one: their sum could wrap on a 32-bit machine.
	if rest := len(b) - i; nameLen > rest || valueLen > rest-nameLen {
		return nil, nil, 0, errPair
	}
	n = i + nameLen + valueLen
	return b[i : i+nameLen], b[i+nameLen : n], n, nil
}

func parseSize(b []byte) (size, n int, ok bool) {
	if len(b) >= 1 && b[0] <= 127 {
		return int(b[0]), 1, true
	}
	if len(b) < 4 {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint32(b) &^ (1 << 31)), 4, true
}

// pairsWithin returns the size of the whole pairs at the start of p that take
// at most limit bytes together. Zero means that the first takes more.
func pairsWithin(p []byte, limit int) (int, error) {
	end := 0
	for end < len(p) {
		_, _, n, err := parsePair(p[end:])
		if err != nil {
			return 0, err
		}
		if end+n > limit {
			return end, nil
		}
		end += n
	}
	return end, nil
}
