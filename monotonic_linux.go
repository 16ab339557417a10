package main

import (
	"strconv"
	"syscall"
	"time"
)

// monotonic is the system's monotonic clock as a field of a notification, for
// sd_notify(3) wants it with RELOADING=1. It is the next full second: all that
// the manager asks of it is not to lie before its own request, and the clock
// itself cannot be read with the standard library.
func monotonic() (field string, ok bool) {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return "", false
	}
	uptime := time.Duration(info.Uptime+1) * time.Second
	return "MONOTONIC_USEC=" + strconv.FormatInt(uptime.Microseconds(), 10), true
}
