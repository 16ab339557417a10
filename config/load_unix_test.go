//go:build unix

package config

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Opening a named pipe must not wait for a writer.
func TestLoadRefusesNamedPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("this file system has no named pipes:", err)
	}
	if _, err := Load(name); err == nil || err.Error() != "config: "+name+": is not a regular file" {
		t.Errorf("error %v; want it refused", err)
	}
}
