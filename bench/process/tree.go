// Package process reads from /proc what running programs take.
package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Tree lists a process and all that descend from it: a server's workers are a
// part of what it costs.
func Tree(root int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	found := false
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has just ended
		}
		parent, err := parseParent(string(b))
		if err != nil {
			return nil, err
		}
		found = found || pid == root
		children[parent] = append(children[parent], pid)
	}
	if !found {
		return nil, fmt.Errorf("there is no process %d", root)
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// parseParent reads field 4 of proc_pid_stat(5), counted from behind the name,
// which may itself hold spaces and parentheses.
func parseParent(stat string) (int, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, fmt.Errorf("stat has %d fields", len(fields))
	}
	return strconv.Atoi(fields[1])
}
