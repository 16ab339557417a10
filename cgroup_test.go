package main

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"
)

func TestCgroupFiles(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"version 2", "0::/system.slice/ws-fpm.service\n", []string{"/sys/fs/cgroup/system.slice/ws-fpm.service/memory.max",
			"/sys/fs/cgroup/system.slice/memory.max", "/sys/fs/cgroup/memory.max"}},
		{"version 2 in a namespace of its own", "0::/\n", []string{"/sys/fs/cgroup/memory.max"}},
		{"version 1 among other controllers", "9:cpu,cpuacct:/a\n4:hugetlb,memory:/docker/x\n1:name=systemd:/b\n",
			[]string{"/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		{"both, the memory in version 1", "4:memory:/\n0::/\n", []string{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"}},
		{"a path with a colon", "0::/a:b", []string{"/sys/fs/cgroup/a:b/memory.max", "/sys/fs/cgroup/memory.max"}},
		{"a path above the root of the namespace", "0::/../x\n", []string{"/sys/fs/cgroup/x/memory.max", "/sys/fs/cgroup/memory.max"}},
		{"nothing", "", nil},
		{"no lines of that form", "x\n0:\n0::\n::/a\n0::relative\n", nil},
	} {
		if got := cgroupFiles(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", test.name, got, test.want)
		}
	}
}

func TestParseMemoryMax(t *testing.T) {
	for _, test := range []struct {
		text    string
		want    int64
		limited bool
	}{
		{"268435456\n", 256 << 20, true},
		{"max\n", 0, false},
		{"9223372036854771712\n", 0, false}, // of version 1, for no limit
		{"0\n", 0, false},
		{"-1\n", 0, false},
		{"", 0, false},
	} {
		if got, limited := parseMemoryMax(test.text); limited != test.limited || limited && got != test.want {
			t.Errorf("%q: %d, %v; want %d, %v", test.text, got, limited, test.want, test.limited)
		}
	}
}

func TestCgroupLimit(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	self := file("0::/a/b\n")
	for _, test := range []struct {
		name  string
		files fs.FS
		want  int64
	}{
		{"its own", fstest.MapFS{"proc/self/cgroup": self, "sys/fs/cgroup/a/b/memory.max": file("1000\n")}, 1000},
		{"a tighter one above", fstest.MapFS{"proc/self/cgroup": self, "sys/fs/cgroup/a/b/memory.max": file("1000\n"), "sys/fs/cgroup/a/memory.max": file("900\n")}, 900},
		{"a wider one above", fstest.MapFS{"proc/self/cgroup": self, "sys/fs/cgroup/a/b/memory.max": file("1000\n"), "sys/fs/cgroup/a/memory.max": file("max\n")}, 1000},
		{"none", fstest.MapFS{"proc/self/cgroup": self, "sys/fs/cgroup/a/b/memory.max": file("max\n")}, 0},
		{"no control groups", fstest.MapFS{}, 0},
	} {
		if got := cgroupLimit(test.files); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestBuffersWithin(t *testing.T) {
	for _, test := range []struct {
		name                 string
		buffers, limit, want int64
	}{
		{"no limit", 1000, 0, 1000},
		{"less than a quarter", 249, 1000, 249},
		{"a quarter", 250, 1000, 250},
		{"more than a quarter", 251, 1000, 250},
	} {
		if got := buffersWithin(test.buffers, test.limit); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
