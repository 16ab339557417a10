//go:build linux

package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is the processor time, user and system, of each thread of some
// processes, in nanoseconds as the scheduler counts it.
type Usage map[int]time.Duration

// CPU reads the usage of a process and all that descend from it.
func CPU(root int) (Usage, error) {
	tree, err := Tree(root)
	if err != nil {
		return nil, err
	}
	u := Usage{}
	for _, pid := range tree {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil && pid == root {
			return nil, err
		}
		for _, t := range threads {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
			if err != nil {
				continue // it has just ended
			}
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return nil, err
			}
			if u[tid], err = parseSchedstat(string(b)); err != nil {
				return nil, err
			}
		}
	}
	if len(u) == 0 {
		return nil, fmt.Errorf("process %d has no schedstat: the kernel was built without", root)
	}
	return u, nil
}

func parseSchedstat(s string) (time.Duration, error) {
	first, _, _ := strings.Cut(s, " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("schedstat is %q", s)
	}
	return time.Duration(n), nil
}

// Since is what was used after an earlier reading. What a thread used that has
// ended meanwhile is lost.
func (u Usage) Since(before Usage) time.Duration {
	var sum time.Duration
	for tid, used := range u {
		sum += used - before[tid]
	}
	return sum
}

// Own is this process's user and system time.
func Own() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
