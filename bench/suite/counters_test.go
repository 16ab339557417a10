package suite

import "testing"

func TestCounters(t *testing.T) {
	const strace = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
100.00    0.000000           0        10         2 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.000000           0        29         2 total
`
	for _, test := range []struct {
		name, text string
		parse      func(string) (float64, error)
		want       float64
	}{
		{"perf", "\n4711,,raw_syscalls:sys_enter,99,100.00,,\n", parsePerf, 4711},
		{"strace", strace, parseStrace, 29},
	} {
		if got, err := test.parse(test.text); got != test.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
		for _, text := range []string{"", "<not counted>,,raw_syscalls:sys_enter,0\n", "denied: total"} {
			if got, err := test.parse(text); err == nil {
				t.Errorf("%s took %q as %v", test.name, text, got)
			}
		}
	}
}
