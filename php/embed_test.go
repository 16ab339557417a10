package php

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// require skips a test that needs a program; where nothing may be skipped it
// fails it.
func require(t *testing.T, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("WS_FPM_REQUIRE") == "1" {
		t.Fatalf("no %s: apt-get install %s", program, debianPackage)
	}
	t.Skipf("no %s: apt-get install %s", program, debianPackage)
}

func TestFiles(t *testing.T) {
	var got []string
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, name)
		}
		return err
	})
	for _, name := range []string{"ws.php", "echo.php", "slow.php", "fatal.php", "page/index.html", "examples/chat.html", "examples/chat-ws.php"} {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not in %q (%v)", name, got, err)
		}
	}
}

func TestScriptsAreValid(t *testing.T) {
	require(t, "php", "php-cli")
	scripts, err := fs.Glob(Files, "*.php")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts = %q, %v", scripts, err)
	}
	for _, name := range scripts {
		if out, err := exec.Command("php", "-n", "-l", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestArticleHandler gives the handler bytes that are not UTF-8, of which
// json_encode would make nothing at all by default.
func TestArticleHandler(t *testing.T) {
	require(t, "php", "php-cli")
	cmd := exec.Command("php", "-n", "-r", `$_REQUEST = ["Test_message_4444" => "", "x" => "\xff/ö"]; $_SERVER = ["WS_EVENT" => "message"]; include "ws.php";`)
	out, err := cmd.CombinedOutput()
	got := strings.Join(strings.Fields(string(out)), " ")
	want := `{ "status": "ok", "payload": [ { "Test_message_4444": "", "x": "` + "\ufffd" + `/ö" }, { "WS_EVENT": "message" } ] }`
	if err != nil || got != want {
		t.Errorf("ws.php printed %s (%v), want %s", got, err, want)
	}
}

var (
	reference = regexp.MustCompile(`(?:src|href|action)\s*=\s*"([^"]*)"|url\(\s*['"]?([^'")]*)|@import|\bfetch\(|\bimport\(`)
	inline    = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<style|\sstyle\s*=|\son[a-z]+\s*=\s*"|javascript:`)
	unsafe    = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.style\b`)
)

// The pages work under a policy that allows their own files and nothing inline.
func TestPage(t *testing.T) {
	served := map[string]string{"page/chat/": "examples/chat.html"} // what the demo has at another place
	for _, pattern := range []string{"page/*", "examples/chat.html", "examples/chat.css", "examples/chat.js", "examples/chat.svg"} {
		names, err := fs.Glob(Files, pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %q, %v", pattern, names, err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(Files, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range reference.FindAllSubmatch(text, -1) {
				if string(m[0]) == "fetch(" && name == "examples/chat.js" {
					continue // of its own PHP pages, which the policy sees to
				}
				target := string(m[1]) + string(m[2])
				file := path.Dir(name) + "/" + target
				if at, is := served[file]; is {
					file = at
				}
				if _, err := fs.Stat(Files, file); target == "" || err != nil {
					t.Errorf("%s refers to %q, which is not embedded", name, m[0])
				}
			}
			for _, m := range inline.FindAll(text, -1) {
				t.Errorf("%s has %q inline", name, m)
			}
			for _, m := range unsafe.FindAll(text, -1) {
				t.Errorf("%s uses %s", name, m)
			}
		}
	}
}

// What browser tests hold on to.
func TestPageIDs(t *testing.T) {
	page, err := fs.ReadFile(Files, "page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"url", "connect", "disconnect", "message", "send", "opcode-text", "opcode-binary", "log", "state", "route", "clear"} {
		if n := strings.Count(string(page), ` id="`+id+`"`); n != 1 {
			t.Errorf("%d elements with the id %s, want 1", n, id)
		}
	}
	if !strings.Contains(string(page), ">Test message 4444</textarea>") {
		t.Error("the message box does not begin with the test message")
	}
}
