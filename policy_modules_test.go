package main

import (
	"cmp"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mayRequire are the modules of this repository, and what each may have from
// elsewhere. What ws-fpm is compared with may need anything; bench, which
// starts it, only knows it as programs.
var mayRequire = map[string]string{
	"go.mod":                    `^github\.com/google/go-cmp `,
	"bench/go.mod":              `^$`,
	"bench/peers/golang/go.mod": `.`,
}

func TestModules(t *testing.T) {
	found := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return cmp.Or(err, error(fs.SkipDir))
		}
		if d.Name() != "go.mod" {
			return nil
		}
		allowed, known := mayRequire[filepath.ToSlash(name)]
		if !known {
			t.Errorf("%s: a module that is not in mayRequire", name)
			return nil
		}
		found++
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:require |\t)([a-z][^\s]*\.[^\s]* v[^\s]*)`).FindAllStringSubmatch(string(b), -1) {
			if !regexp.MustCompile(allowed).MatchString(m[1]) {
				t.Errorf("%s: requires %s", name, m[1])
			}
		}
		return nil
	})
	if err != nil || found != len(mayRequire) {
		t.Errorf("%d of %d modules, %v", found, len(mayRequire), err)
	}
}

// TestNothingUnsafe reads the imports of every Go file of every module here:
// what measures and what it is measured with are written as safely as what is
// measured.
func TestNothingUnsafe(t *testing.T) {
	modules := map[string]int{} // files, by the first element of the path
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
			return cmp.Or(err, error(fs.SkipDir))
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			if spec.Path.Value == `"unsafe"` || spec.Path.Value == `"C"` {
				t.Errorf("%s: imports %s", name, spec.Path.Value)
			}
		}
		first, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		modules[first]++
		return nil
	})
	if err != nil || modules["main.go"] != 1 || modules["bench"] == 0 {
		t.Errorf("read %v files, %v; want this module's and bench's", modules, err)
	}
}
