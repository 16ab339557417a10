package php

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestWsFpm runs the tests of WsFpm.php, which are PHP's own.
func TestWsFpm(t *testing.T) {
	for _, test := range []struct{ script, program, debianPackage string }{
		{"values.php", "php", "php-cli"},
		{"replies.php", "php-cgi", "php-cgi"},
		{"api.php", "php", "php-cli"},
	} {
		t.Run(test.script, func(t *testing.T) {
			t.Parallel()
			require(t, "php", "php-cli")
			require(t, test.program, test.debianPackage)
			out, err := exec.Command("php", "-n", "-d", "display_errors=stderr", filepath.Join("tests", test.script)).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte(" checks, 0 failed\n")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestWsFpmLoads: loading the file prints nothing, sends no header and starts
// nothing.
func TestWsFpmLoads(t *testing.T) {
	require(t, "php", "php-cli")
	out, err := exec.Command("php", "-n", "-r", `
		error_reporting(E_ALL);
		$before = [get_defined_vars(), ini_get_all(), ob_get_level()];
		require "WsFpm.php";
		var_dump($before == [array_diff_key(get_defined_vars(), ["before" => 0]), ini_get_all(), ob_get_level()], headers_sent());`).CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != "bool(true) bool(false)" {
		t.Errorf("after loading: %s (%v)", out, err)
	}
}

// TestWsFpmOldSyntax looks for what PHP 7.4 cannot parse or does not have, in
// case there is only a newer PHP to run the tests.
func TestWsFpmOldSyntax(t *testing.T) {
	names, err := filepath.Glob("examples/*.php")
	if err != nil || len(names) == 0 {
		t.Fatal("no examples", err)
	}
	for _, name := range append(names, "WsFpm.php") {
		for i, line := range strings.Split(read(t, name), "\n") {
			if code := strings.TrimSpace(line); strings.HasPrefix(code, "*") || strings.HasPrefix(code, "//") {
				continue
			}
			for _, new := range []string{
				"?->", "match (", "readonly", "enum ", ": mixed", ": static", ": never", "str_contains(", "str_starts_with(",
				"str_ends_with(", "get_debug_type(", "::class)", "(...)", "#[", "Stringable", "array_is_list(", "json_validate(",
			} {
				if strings.Contains(line, new) {
					t.Errorf("%s:%d: %q is not in PHP 7.4", name, i+1, new)
				}
			}
		}
	}
}

func TestExamples(t *testing.T) {
	require(t, "php", "php-cli")
	for _, pattern := range []string{"examples/*.php", "tests/*.php"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %q, %v", pattern, names, err)
		}
		for _, name := range names {
			if out, err := exec.Command("php", "-n", "-l", name).CombinedOutput(); err != nil {
				t.Errorf("%s: %s", name, out)
			}
			if lines := strings.Count(read(t, name), "\n"); strings.HasPrefix(name, "examples") && lines > 40 {
				t.Errorf("%s has %d lines, want 40 at most", name, lines)
			}
		}
	}
}

// TestChatPresent: of what several processes write down at once nothing is lost.
func TestChatPresent(t *testing.T) {
	require(t, "php", "php-cli")
	const processes, changes = 4, 300
	dir := t.TempDir()
	var running []*exec.Cmd
	for range processes {
		cmd := exec.Command("php", "-n", "-r", `require "examples/chat-present.php";
			for ($i = 0; $i < `+strconv.Itoa(changes)+`; $i++) present(fn($here) => $here + [getmypid() . "-$i" => []]);`)
		cmd.Env = append(os.Environ(), "CHAT_DIR="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	var state struct {
		N    int
		Here map[string]any
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "ws-fpm-chat.json"))), &state); err != nil ||
		state.N != processes*changes || len(state.Here) != state.N {
		t.Errorf("after %d changes: n = %d, %d are there (%v)", processes*changes, state.N, len(state.Here), err)
	}
}

// TestChatDir: without CHAT_DIR the chat writes to a directory that is its user's
// and nobody else's, or not at all.
func TestChatDir(t *testing.T) {
	require(t, "php", "php-cli")
	for _, test := range []struct {
		name  string
		there func(dir string) error // nil: nothing is
		works bool
	}{
		{"nothing is there yet", nil, true},
		{"it is there", func(dir string) error { return os.Mkdir(dir, 0o700) }, true},
		{"others may read it", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o740)) }, false},
		{"others may write to it", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o702)) }, false},
		{"it is a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, false},
		{"it is a link to one of ours", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"-real", 0o700), os.Symlink(dir+"-real", dir))
		}, false},
		{"it is a link to nothing", func(dir string) error { return os.Symlink(dir+"-real", dir) }, false},
		{"it is another user's", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 12345, -1)) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "ws-fpm-chat-"+strconv.Itoa(os.Geteuid()))
			if test.there != nil {
				if err := test.there(dir); errors.Is(err, os.ErrPermission) {
					t.Skip("only root gives away what is its own")
				} else if err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("php", "-n", "-r", `umask(0); require "examples/chat-present.php"; present(fn($here) => $here);`)
			cmd.Env = append(os.Environ(), "CHAT_DIR=", "TMPDIR="+above)
			out, err := cmd.CombinedOutput()
			if (err == nil) != test.works || err != nil && !strings.Contains(string(out), "see CHAT_DIR") {
				t.Errorf("%v, %s", err, out)
			}
			found, err := filepath.Glob(above + "/*/*")
			if err != nil || (len(found) > 0) != test.works {
				t.Errorf("written: %q, %v", found, err)
			}
			if info, err := os.Stat(dir); test.works && (err != nil || info.Mode().Perm() != 0o700) {
				t.Errorf("the directory: %v, %v", info, err)
			}
		})
	}
}

func TestComposer(t *testing.T) {
	var c struct {
		Name, License string
		Require       map[string]string
		Autoload      struct{ Classmap []string }
	}
	if err := json.Unmarshal([]byte(read(t, "composer.json")), &c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "ws-fpm/ws-fpm" || c.License != "MIT" || c.Require["php"] != ">=7.4" || len(c.Autoload.Classmap) != 1 {
		t.Errorf("composer.json = %+v", c)
	}
	for _, name := range append(c.Autoload.Classmap, "LICENSE") {
		if read(t, name) == "" {
			t.Errorf("%s is empty", name)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
