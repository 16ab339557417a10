package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"ws-fpm/config"
)

var update = flag.Bool("update", false, "rewrite the table of settings in README.md")

// TestReadmeSettings keeps the README's table of settings that of the program.
func TestReadmeSettings(t *testing.T) {
	const begin, end = "<!-- settings -->\n", "<!-- /settings -->"
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md has no %q … %q", begin, end)
	}
	want := settingsTable()
	if *update {
		if err := os.WriteFile("README.md", []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Error("README.md's settings are not those of the program; go test -run TestReadmeSettings -update . rewrites them")
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| section | key | value | default | meaning | SIGHUP |\n|---|---|---|---|---|---|\n")
	for _, k := range config.Reference() {
		section := cmp.Or(k.Section, "(above the first section)")
		value := "none"
		switch {
		case k.Required:
			value = "required"
		case k.Default != "":
			value = k.Default
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", section, k.Key, k.Want, value, k.Doc, k.Reload)
	}
	return b.String()
}
