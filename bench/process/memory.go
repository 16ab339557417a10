package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Memory is what processes take, in bytes.
type Memory struct {
	PSS     int64 // their share of all pages
	Private int64 // the part that nobody else has: heap, stacks, buffers
}

// MemoryOf adds up a process and all that descend from it.
func MemoryOf(root int) (Memory, error) {
	tree, err := Tree(root)
	if err != nil {
		return Memory{}, err
	}
	var sum Memory
	for _, pid := range tree {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			if pid == root {
				return Memory{}, err
			}
			continue // it has just ended
		}
		m, err := parseRollup(f)
		f.Close()
		if err != nil {
			return Memory{}, fmt.Errorf("smaps_rollup of %d: %w", pid, err)
		}
		sum.PSS += m.PSS
		sum.Private += m.Private
	}
	return sum, nil
}

func parseRollup(r io.Reader) (m Memory, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return Memory{}, err
		}
		switch fields[0] {
		case "Pss:":
			m.PSS = n << 10
		case "Private_Clean:", "Private_Dirty:":
			m.Private += n << 10
		}
	}
	if m.PSS == 0 && lines.Err() == nil {
		return Memory{}, fmt.Errorf("no line Pss")
	}
	return m, lines.Err()
}
