package websocket

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A connection over which deflated messages have gone both ways keeps nothing
// of them. WS_FPM_LONG=1 makes it ten thousand connections, or as
// many as there are descriptors for.
func TestDeflatingKeepsNothing(t *testing.T) {
	n := 3000 // so many that what other tests have left in pools does not count
	if os.Getenv("WS_FPM_LONG") == "1" {
		n = 10_000
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n = min(n, int(min(limit.Cur, 1<<20)-200)/2)
	text := jsonText(4 << 10)
	grown := map[Deflate]int64{}
	for _, agreed := range []Deflate{noDeflate, deflate} {
		t.Run(fmt.Sprintf("%d connections, deflate %d", n, agreed), func(t *testing.T) {
			request := []byte(frame(last, Text, text))
			if agreed != noDeflate {
				request = []byte(reserved(4, frame(last, Text, zipped(text))))
			}
			h := open(t, polled, Options{})
			empty := heap()
			for range n {
				p := h.enter(Limits{Deflate: agreed})
				p.Conn.SetDeadline(time.Time{})
				p.in = nil // the client's buffer is not what is measured
			}
			before, rss := heap(), resident()
			in := bufio.NewReader(nil)
			for _, p := range h.peers {
				p.write(request)
				in.Reset(p.Conn)
				f, rsv1, err := readAnyFrame(in)
				if err != nil || rsv1 != (agreed != noDeflate) || !f.fin {
					t.Fatalf("client got %.40v, RSV1 %t, %v", f, rsv1, err)
				}
			}
			most := resident()
			in.Reset(strings.NewReader(""))
			after := heap()
			grown[agreed] = (after - before) / int64(n)
			for _, p := range h.peers {
				p.reset() // or the ports of so many would be taken for a minute
				p.wantEnded(Closing{StatusAbnormal, "", ByNone})
			}
			t.Logf("heap of a connection and its client %d bytes, and %d more after a message each way; resident %d KiB, and %d more when all had theirs",
				(before-empty)/int64(n), grown[agreed], rss>>10, (most-rss)>>10)
		})
	}
	if more := grown[deflate] - grown[noDeflate]; more > 100 && !raced {
		t.Errorf("deflated messages leave %d bytes for each connection", more)
	}
}

// resident is the memory of the process, in bytes.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	fmt.Sscan(string(b), &size, &pages)
	return pages * int64(os.Getpagesize())
}
