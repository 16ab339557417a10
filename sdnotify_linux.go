package main

import "syscall"

// monotonicMicros is the time in µs that the manager compares with when it began
// to wait for our reload, on the clock CLOCK_MONOTONIC. This package cannot read
// that one without unsafe. The uptime, in whole seconds rounded up and with the
// time spent suspended, is never before it, which is all that is asked.
func monotonicMicros() int64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Uptime) * 1_000_000
}
