package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"ws-fpm/php"
)

// unpackExamples writes the embedded scripts to a directory of their own,
// which PHP can read whoever it runs as.
func unpackExamples() (dir string, err error) {
	dir, err = os.MkdirTemp("", "ws-fpm-demo-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(dir, "examples"), 0o755); err != nil {
		return "", err
	}
	if err := os.Chmod(filepath.Join(dir, "examples"), 0o755); err != nil { // whatever the umask is
		return "", err
	}
	names, err := fs.Glob(php.Files, "*.php")
	if err != nil {
		return "", err
	}
	chat, err := fs.Glob(php.Files, "examples/*.php")
	if err != nil {
		return "", err
	}
	for _, name := range append(names, chat...) {
		b, err := fs.ReadFile(php.Files, name)
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return "", err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// examplePage gives the files of the demo's page.
func examplePage() fs.FS {
	page, err := fs.Sub(php.Files, "page")
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	return page
}

// ownerOf names the user a script belongs to, as whom PHP can surely read it.
// It is empty where that cannot be chosen: when we are not root, or the owner
// is root or has no name.
func ownerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil || os.Getuid() != 0 {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return ""
	}
	u, err := user.LookupId(strconv.Itoa(int(st.Uid)))
	if err != nil {
		return ""
	}
	return u.Username
}
