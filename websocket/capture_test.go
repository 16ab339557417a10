package websocket

import (
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// readCapture reads bytes in hex, some to a line. A line that ends in *n stands
// for n such lines; one that begins with # is a comment.
func readCapture(t testing.TB, name string) (b []byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		digits, times, repeated := strings.Cut(line, "*")
		n := 1
		if repeated {
			n, err = strconv.Atoi(times)
		}
		part, bad := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil || bad != nil {
			t.Fatalf("%s: %q is no line of a capture", name, line)
		}
		for range n {
			b = append(b, part...)
		}
	}
	return b
}
