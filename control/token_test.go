package control

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const secret = "0123456789abcdef0123456789abcdef" // as short as it may be

func TestLoadToken(t *testing.T) {
	at := strings.Repeat("x", maxToken)
	tests := []struct {
		name, text string
		mode       fs.FileMode
		token, err string // what it is, or what the error has
	}{
		{"a token at its shortest", secret, 0o600, secret, ""},
		{"one shorter", secret[1:], 0o600, "", "32 bytes or more"},
		{"white space does not count", " \n" + secret[1:] + "\r\n", 0o600, "", "32 bytes or more"},
		{"white space around it", "\n " + secret + "\r\n", 0o400, secret, ""},
		{"a file at its longest", at, 0o600, at, ""},
		{"a file one longer", at + "x", 0o600, "", "at most 4096 bytes"},
		{"a file one longer by white space", at + "\n", 0o600, "", "at most 4096 bytes"},
		{"an empty file", "", 0o600, "", "32 bytes or more"},
		{"two lines", secret + "\n" + secret, 0o600, "", "without a space"},
		{"a space", secret + " x", 0o600, "", "without a space"},
		{"a NUL", secret + "\x00", 0o600, "", "visible ASCII"},
		{"a DEL", secret + "\x7f", 0o600, "", "visible ASCII"},
		{"other letters", secret + "é", 0o600, "", "visible ASCII"},
		{"the first and the last character", secret + "!~", 0o600, secret + "!~", ""},
		{"its owner may do all", secret, 0o700, secret, ""},
		{"readable by all", secret, 0o604, "", "mode 0604"},
		{"writable by all", secret, 0o602, "", "mode 0602"},
		{"executable by all", secret, 0o601, "", "mode 0601"},
		{"writable by its group", secret, 0o620, "", "mode 0620"},
		{"readable by all, as files are", secret, 0o644, "", "mode 0644"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			token, err := LoadToken(path)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.HasPrefix(err.Error(), "control: token file "+path) || !token.isZero() {
					t.Errorf("LoadToken = %v; want an error with %q", err, test.err)
				} else if len(test.text) >= minToken-1 && strings.Contains(err.Error(), test.text[:minToken-1]) {
					t.Errorf("LoadToken = %v; the token is in it", err)
				}
				return
			}
			if err != nil || !token.matches(test.token) {
				t.Errorf("LoadToken = %v; want one that matches %.40q", err, test.token)
			}
		})
	}
}

func TestLoadTokenOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe:                         "want a regular file", // and no waiting for a writer
		link:                         "want a regular file",
		dir:                          "want a regular file",
		filepath.Join(dir, "nobody"): "no such file",
	} {
		if _, err := LoadToken(path); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("LoadToken(%s) = %v; want %q", path, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "real"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(link)
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadToken(link); err != nil {
		t.Errorf("LoadToken of a link to a file = %v; want nil", err)
	}
}

func TestCheckMode(t *testing.T) {
	tests := []struct {
		name  string
		mode  fs.FileMode
		group uint32
		ok    bool
	}{
		{"its owner's", 0o400, 1000, true},
		{"a group's", 0o440, 1000, false},
		{"a credential of systemd", 0o440, 0, true},
		{"root's group may write", 0o460, 0, false},
		{"root's group may run it", 0o450, 0, false},
		{"root's group and all others", 0o444, 0, false},
		{"a socket", fs.ModeSocket | 0o600, 0, false},
	}
	for _, test := range tests {
		if err := checkMode(test.mode, test.group); (err == nil) != test.ok {
			t.Errorf("%s: checkMode(%v, %d) = %v; want ok %v", test.name, test.mode, test.group, err, test.ok)
		}
	}
}

func TestMatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	long := strings.Repeat("x", maxToken)
	if err := os.WriteFile(path, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := LoadToken(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token Token
		shown string
		want  bool
	}{
		"itself":                       {token, long, true},
		"one byte less":                {token, long[1:], false},
		"one byte more":                {token, long + "x", false},
		"much more":                    {token, long + long + long, false},
		"another last byte":            {token, long[1:] + "y", false},
		"another first byte":           {token, "y" + long[1:], false},
		"nothing":                      {token, "", false},
		"nothing, and there is none":   {Token{}, "", false},
		"something, but there is none": {Token{}, long, false},
	} {
		if got := test.token.matches(test.shown); got != test.want {
			t.Errorf("%s: matches = %v; want %v", name, got, test.want)
		}
	}
}
