package websocket

import "testing"

func TestRate(t *testing.T) {
	const ms = second / 1000
	type step struct {
		at   int64 // when it comes
		n    int   // how many come then
		wait int64 // how long before the next may come
	}
	for _, test := range []struct {
		name             string
		perSecond, burst int64
		steps            []step
	}{
		{"nothing so far", 10, 50, []step{{0, 0, 0}}},
		{"one less than the burst", 10, 50, []step{{0, 49, 0}}},
		{"the burst", 10, 50, []step{{0, 50, 100 * ms}}},
		{"the burst, and a moment before the next is paid for", 10, 50, []step{{0, 50, 100 * ms}, {100*ms - 1, 0, 1}}},
		{"the burst, and the moment when the next is paid for", 10, 50, []step{{0, 50, 100 * ms}, {100 * ms, 0, 0}}},
		{"one more than the burst", 10, 50, []step{{0, 51, 200 * ms}}},
		{"a wait gives back what it is worth", 10, 50, []step{{0, 50, 100 * ms}, {300 * ms, 2, 0}, {300 * ms, 1, 100 * ms}}},
		{"at the rate for ever", 10, 1, []step{{0, 1, 100 * ms}, {100 * ms, 1, 100 * ms}, {200 * ms, 1, 100 * ms}}},
		{"silence does not save up more than the burst", 10, 50, []step{{0, 50, 100 * ms}, {3600 * second, 50, 100 * ms}}},
		{"the default for messages", 200, 400, []step{{7, 399, 0}, {7, 1, 5 * ms}}},
		{"the most", 1_000_000, 2_000_000, []step{{0, 1_999_999, 0}, {0, 1, 1000}}},
		{"the least", 1, 2, []step{{0, 1, 0}, {0, 1, second}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRate(test.perSecond, test.burst)
			paid := int64(0)
			for i, s := range test.steps {
				for range s.n {
					paid = r.spend(paid, s.at)
				}
				if got := r.wait(paid, s.at); got != s.wait {
					t.Errorf("step %d: wait is %d ns, want %d", i, got, s.wait)
				}
			}
		})
	}
}

// However it is spread, no stretch of time lets through more than the burst and
// what the rate gives meanwhile.
func FuzzRate(f *testing.F) {
	f.Add([]byte{0, 0, 1, 200, 3, 0, 0, 255})
	f.Fuzz(func(t *testing.T, gaps []byte) {
		r := newRate(10, 5)
		var paid, now int64
		var times []int64
		for _, gap := range gaps {
			now += int64(gap) * 3e6
			if r.wait(paid, now) == 0 {
				paid = r.spend(paid, now)
				times = append(times, now)
			}
		}
		for i := range times {
			for j := i; j < len(times); j++ {
				if n, most := int64(j-i+1), 5+(times[j]-times[i])/r.interval; n > most {
					t.Fatalf("%d in %d ns, want %d at most", n, times[j]-times[i], most)
				}
			}
		}
	})
}
