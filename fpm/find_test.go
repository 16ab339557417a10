package fpm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNamedLikeFPM(t *testing.T) {
	for name, want := range map[string]bool{
		"php-fpm":         true,
		"php-fpm8.4":      true,
		"php-fpm84":       true,
		"php84-fpm":       true,
		"php8.4-fpm":      true,
		"php":             false,
		"php8.4":          false,
		"php8-fpm8":       false,
		"php-fpm.conf":    false,
		"php-fpm-8.4":     false,
		"php-fpm8.4.dpkg": false,
		"xphp-fpm":        false,
		"":                false,
	} {
		if got := namedLikeFPM(name); got != want {
			t.Errorf("namedLikeFPM(%q) = %t", name, got)
		}
	}
}

func TestCandidates(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"php-fpm8.1", "php-fpm8.4", "php", "php-fpm8.3"} {
		writeProgram(t, filepath.Join(dir, name), "")
	}
	if err := os.Chmod(filepath.Join(dir, "php-fpm8.3"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("php-fpm8.4", filepath.Join(dir, "php-fpm")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "php9-fpm"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	var got []string
	for _, path := range candidates(".:" + dir + "::/nowhere:/[") {
		if strings.HasPrefix(path, dir) {
			got = append(got, filepath.Base(path))
		}
	}
	if want := []string{"php-fpm", "php-fpm8.1"}; !slices.Equal(got, want) {
		t.Errorf("candidates = %q, want %q: each once, programs only", got, want)
	}
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string) string {
		return writeProgram(t, filepath.Join(dir, name), script)
	}
	old := program("php-fpm", `[ "$1" = -v ] && echo "PHP 8.1.30 (fpm-fcgi)"`)
	new1 := program("php-fpm8.10", `echo "PHP 8.10.1 (fpm-fcgi)"`)
	new2 := program("php8.10-fpm", `echo "PHP 8.10.1 (fpm-fcgi)"`)
	cli := program("php-fpm9", `echo "PHP 9.0.0 (cli)"`)
	broken := program("php-fpm10", `echo "PHP 10.0.0 (fpm-fcgi)"; exit 1`)

	best, ok := newest(t.Context(), []string{cli, old, broken, new1, new2, "/nowhere/php-fpm"})
	if !ok || best.path != new1 || best.version.text != "8.10.1" {
		t.Errorf("newest = %+v, %t; want %s, the first of the newest", best, ok, new1)
	}
	if best, ok := newest(t.Context(), []string{cli, broken}); ok {
		t.Errorf("newest of none = %+v", best)
	}
}

// writeProgram writes a shell script and returns its path.
func writeProgram(t *testing.T, path, script string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
