package main

import (
	"path"
	"strconv"
	"strings"
)

// cgroupFiles are the files that may hold a memory limit of this process, given
// the text of /proc/self/cgroup: of its own control group and of all above, for
// each of which binds. Those of version 2 (memory.max) have 0 and no controller
// in their line, those of version 1 the controller memory. In a container the
// path may be that outside, and then only the topmost is there.
func cgroupFiles(text string) (files []string) {
	for line := range strings.Lines(text) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		mount, file := "/sys/fs/cgroup", "memory.max"
		switch {
		case !ok || !strings.HasPrefix(group, "/"):
			continue
		case id == "0" && controllers == "":
		case hasItem(controllers, "memory"):
			mount, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group = path.Clean(group); ; group = path.Dir(group) {
			files = append(files, path.Join(mount, group, file))
			if group == "/" {
				break
			}
		}
	}
	return files
}

func hasItem(list, item string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if s == item {
			return true
		}
	}
	return false
}

// parseMemoryMax reads such a file: a number of bytes, or none. What is beyond
// any machine's memory stands for no limit in version 1.
func parseMemoryMax(text string) (limit int64, limited bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil && n > 0 && n < 1<<60
}
