package websocket

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// jsonText is some JSON of n bytes as an application sends it.
func jsonText(n int) string {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"user %d","score":%d.%02d,"active":%t,"tags":["a%d","b%d"]},`,
			1000+i*7, i*i%977, i*31%1000, i*17%100, i%3 == 0, i%13, i*5%29)
	}
	return b.String()[:n-2] + "]}"
}

// What deflating costs, in processor time: an echo over a socket, of the
// server and its client together, and each half by itself.
func BenchmarkDeflate(b *testing.B) {
	s, err := NewServer(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, size := range []int{1 << 10, 16 << 10, 128 << 10} {
		payload := []byte(jsonText(size))
		wire := []byte(zipped(string(payload)))
		b.Run(fmt.Sprintf("deflate/%d", size), func(b *testing.B) {
			perCPU(b, func() {
				d := s.deflate(payload)
				b.ReportMetric(float64(len(d.out)), "bytes")
				d.release()
			})
		})
		b.Run(fmt.Sprintf("inflate/%d", size), func(b *testing.B) {
			perCPU(b, func() {
				f := inflaters.Get().(*inflater)
				n, fault := f.measure(wire, true, Text, 1<<20)
				if fault != nil {
					b.Fatal(fault)
				}
				if n > inflateRoom {
					f.fill(make([]byte, n), wire)
				}
				inflaters.Put(f)
			})
		})
		for _, agreed := range []Deflate{noDeflate, deflate} {
			b.Run(fmt.Sprintf("echo/%d/deflate=%d", size, agreed), func(b *testing.B) {
				h := open(b, polled, Options{})
				p := h.enter(Limits{Deflate: agreed})
				p.Conn.SetDeadline(time.Time{})
				request := []byte(frame(last, Text, string(payload)))
				if agreed != noDeflate {
					request = []byte(reserved(4, frame(last, Text, string(wire))))
				}
				perCPU(b, func() {
					p.write(request)
					for {
						f, _, err := readAnyFrame(p.in)
						if err != nil {
							b.Fatal(err)
						}
						if f.fin {
							break
						}
					}
				})
			})
		}
	}
}

// perCPU reports the processor time of the process that do takes; time on the
// wall means little where others work, too.
func perCPU(b *testing.B, do func()) {
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
}
