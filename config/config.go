// Package config reads ws-fpm's configuration file: php-fpm's own style of
// ini file, checked as a whole before anything of it is used.
//
// It knows the file and nothing of the program. What is wrong in a file is
// reported all at once, each fault with its line, and no part of a file with a
// fault is used. Every setting has a range; none means "unlimited".
//
// The files lexer.go, values.go and suggest.go are pure: text in, values out.
package config

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// MaxFile is the size of the largest configuration file read, in bytes.
const MaxFile = 1 << 20

// Load reads and checks the configuration file at path. It must be a regular
// file of at most MaxFile bytes. Errors are those of Parse, or say why the
// file cannot be read.
func Load(path string) (*Config, error) {
	cfg, _, err := Read(path)
	return cfg, err
}

// Read is Load, and gives the settings one by one as well.
func Read(path string) (*Config, Settings, error) {
	// Without O_NONBLOCK, opening a named pipe waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Settings{}, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, Settings{}, fmt.Errorf("config: %w", err)
	}
	if st.IsDir() {
		return nil, Settings{}, fmt.Errorf("config: %s: is a directory, want a file", path)
	}
	if !st.Mode().IsRegular() {
		return nil, Settings{}, fmt.Errorf("config: %s: is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, Settings{}, fmt.Errorf("config: %w", err)
	}
	return parse(path, data)
}

// Parse checks data, the content of a configuration file, and applies the
// defaults. The name only stands in errors.
//
// An error has one line for each fault, in the file's order:
//
//	name:line: [section] key = "value": what is wanted instead
//
// It lists at most 100 faults and counts the rest.
func Parse(name string, data []byte) (*Config, error) {
	cfg, _, err := parse(name, data)
	return cfg, err
}

func parse(name string, data []byte) (*Config, Settings, error) {
	if len(data) > MaxFile {
		return nil, Settings{}, fmt.Errorf("%s: want at most 1 MiB of configuration", name)
	}
	b := newBuilder()
	for _, l := range lex(string(data)) {
		b.add(l)
	}
	cfg := b.finish()
	if len(b.faults) > 0 {
		return nil, Settings{}, newError(name, b.faults)
	}
	return cfg, b.settings(name), nil
}
