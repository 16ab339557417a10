package suite

import (
	"fmt"
	"strconv"
	"strings"
)

// parsePerf reads what perf stat -x , prints: count,unit,event,…
func parsePerf(text string) (float64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Split(line, ",")
		if len(fields) > 2 && fields[2] == "raw_syscalls:sys_enter" {
			return strconv.ParseFloat(fields[0], 64)
		}
	}
	return 0, fmt.Errorf("perf printed no count: %.200q", text)
}

// parseStrace reads the last line of strace -c: % time, seconds, usecs/call,
// calls, errors (or none), total.
func parseStrace(text string) (float64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) >= 5 && fields[len(fields)-1] == "total" {
			return strconv.ParseFloat(fields[3], 64)
		}
	}
	return 0, fmt.Errorf("strace printed no total: %.200q", text)
}
