package websocket

import "testing"

func TestRate(t *testing.T) {
	const second = int64(1e9)
	for _, test := range []struct {
		name      string
		perSecond int64
		burst     int64
		at        []int64 // when it happens
		want      int64   // the wait after the last one
	}{
		{"the first of a burst", 10, 5, []int64{0}, -3 * second / 10},
		{"one below the burst", 10, 5, []int64{0, 0, 0, 0}, 0},
		{"the whole burst", 10, 5, []int64{0, 0, 0, 0, 0}, second / 10},
		{"one above the burst", 10, 5, []int64{0, 0, 0, 0, 0, 0}, 2 * second / 10},
		{"at the rate for ever", 10, 1, []int64{0, second / 10, 2 * second / 10}, second / 10},
		{"a burst again after a rest", 10, 2, []int64{0, 0, 5 * second}, 0},
		{"a rest earns no more than the burst", 10, 2, []int64{0, 100 * second, 100 * second, 100 * second}, 2 * second / 10},
		{"a late start", 1, 1, []int64{1e15}, second},
	} {
		t.Run(test.name, func(t *testing.T) {
			var r rate
			var got int64
			for _, at := range test.at {
				got = r.take(at, test.perSecond, test.burst)
			}
			if got != test.want {
				t.Errorf("take at %v = wait %d; want %d", test.at, got, test.want)
			}
		})
	}
}

// Over any time at full speed, no more happens than burst plus rate.
func TestRateOverTime(t *testing.T) {
	var r rate
	n, now := 0, int64(0)
	for now < 10e9 {
		n++
		now += max(r.take(now, 200, 400), 0)
	}
	if n < 2390 || n > 2410 {
		t.Errorf("%d times in 10 s at 200 a second and 400 at once; want 2400", n)
	}
}
