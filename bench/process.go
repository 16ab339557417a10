//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every
// architecture Go supports.
const tick = 10 * time.Millisecond

// cpuTime is the user and system time of a process, without its children's.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(b))
}

// parseStat reads proc_pid_stat(5): fields 14 and 15, counted from behind the
// name, which may itself hold spaces and parentheses.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields", len(fields))
	}
	var sum time.Duration
	for _, field := range fields[11:13] { // the first one here is field 3
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// ownCPU is this process's user and system time.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is what a process takes, in bytes.
type memory struct {
	pss  int64 // its share of all pages
	anon int64 // the part that is no file: heap and stacks
}

func memoryOf(pid int) (memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	var m memory
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return memory{}, err
		}
		switch fields[0] {
		case "Pss:":
			m.pss = n << 10
		case "Pss_Anon:":
			m.anon = n << 10
		}
	}
	if m.pss == 0 {
		return memory{}, fmt.Errorf("process %d has no Pss in smaps_rollup", pid)
	}
	return m, lines.Err()
}
