package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ws-fpm.conf")
	if err := os.WriteFile(name, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(name)
	if err != nil || len(cfg.Routes) != 1 {
		t.Fatalf("Load = %+v, %v", cfg, err)
	}
	link := name + ".link"
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link); err != nil {
		t.Errorf("through a symbolic link: %v", err)
	}
	if err := os.WriteFile(name, []byte("ping = 0\n"+small), 0o600); err != nil {
		t.Fatal(err)
	}
	want := name + `:1: ping = "0": want a time from 100ms to 1h, with its unit: ms, s, m or h`
	if _, err := Load(name); err == nil || err.Error() != want {
		t.Errorf("error %v; want %s", err, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "config: open "+dir) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || err.Error() != "config: "+dir+": is a directory, want a file" {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Load(os.DevNull); err == nil || err.Error() != "config: "+os.DevNull+": is not a regular file" {
		t.Errorf("a device: %v", err)
	}
}

// A file of exactly 1 MiB is read, one byte more is not.
func TestFileSize(t *testing.T) {
	for _, test := range []struct {
		size int
		ok   bool
	}{{MaxFile - 1, true}, {MaxFile, true}, {MaxFile + 1, false}, {MaxFile + 1<<20, false}} {
		name := filepath.Join(t.TempDir(), "ws-fpm.conf")
		data := small + ";" + strings.Repeat("a", test.size-len(small)-1)
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(name)
		want := name + ": want at most 1 MiB of configuration"
		if test.ok && err != nil || !test.ok && (err == nil || err.Error() != want) {
			t.Errorf("%d bytes: error %v, want one: %v", test.size, err, !test.ok)
		}
	}
}

// The work grows with the size of a file, not with its square: each of these
// fills half of one with what is compared with all that came before.
func TestLargeFilesAreReadInTime(t *testing.T) {
	tests := []struct {
		name string
		line func(i int) string
	}{
		{"routes", func(i int) string { return fmt.Sprintf("[route /%d]\nscript = /a.php\n", i) }},
		{"routes without a pool", func(i int) string { return fmt.Sprintf("[fastcgi b%d]\n[route /%d]\n", i, i) }},
		{"listeners", func(i int) string { return fmt.Sprintf("[listen a%d]\naddress = /%d\n", i, i) }},
		{"pools", func(i int) string { return fmt.Sprintf("[fastcgi a%d]\naddress = /%d\n", i, i) }},
		{"unknown keys", func(i int) string { return fmt.Sprintf("max_connection%d = 1\n", i) }},
		{"unknown sections", func(i int) string { return fmt.Sprintf("[fastcg%d]\n", i) }},
		{"one key", func(i int) string { return "log = text\n" }},
		{"one long list", func(i int) string {
			if i == 0 {
				return "listen = :1"
			}
			return ", :1"
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			for i := 0; b.Len() < MaxFile/2; i++ {
				b.WriteString(test.line(i))
			}
			start := time.Now()
			Parse("f", []byte(b.String()))
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("%d bytes took %v", b.Len(), took)
			} else {
				t.Logf("%d bytes took %v", b.Len(), took)
			}
		})
	}
}
