package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "ws-fpm"

// mayImport is the map of this program: each package, and which of ours it may
// import. A package missing here is an error, so a new one is a decision.
var mayImport = map[string][]string{
	".":                {"config", "control", "fastcgi", "fpm", "gateway", "hub", "metrics", "php", "websocket"},
	"config":           {},
	"control":          {"hub", "metrics"},
	"fastcgi":          {},
	"fpm":              {},
	"gateway":          {"fastcgi", "hub", "metrics", "websocket"},
	"hub":              {},
	"integration_test": {"config", "fastcgi", "fpm"}, // its client is its own, to judge ours
	"metrics":          {},
	"php":              {},
	"websocket":        {},
}

// pure files decide protocol and do nothing else. One that is not there has been
// renamed, and must not escape.
var pure = []string{
	"cgroup.go",
	"config/address.go", "config/lexer.go", "config/suggest.go", "config/values.go",
	"control/access.go", "control/batch.go", "control/fields.go", "control/host.go",
	"fastcgi/head.go", "fastcgi/mux.go", "fastcgi/params.go", "fastcgi/record.go",
	"gateway/attributes.go", "gateway/channels.go", "gateway/cookies.go", "gateway/params.go", "gateway/path.go", "gateway/peer.go", "gateway/reply.go", "gateway/stream.go",
	"hub/name.go",
	"websocket/backlog.go", "websocket/close.go", "websocket/closing.go", "websocket/decoder.go", "websocket/encode.go", "websocket/errors.go", "websocket/extensions.go", "websocket/frame.go",
	"websocket/mask.go", "websocket/origin.go", "websocket/rate.go", "websocket/request.go", "websocket/utf8.go",
}

var pureImports = []string{
	"bytes", "cmp", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt", "iter", "maps", "math", "math/bits", "path",
	"net/netip", "slices", "strconv", "strings", "unicode/utf8", // an address of netip is a value: it reaches no network
}

// pureOurs are packages of ours whose values pure files may use: params, header
// fields, opcodes. That they also hold what does I/O is for the reader to see.
var pureOurs = []string{"fastcgi", "hub", "websocket"}

// banned imports, and where: everywhere, outside tests, or on the way to PHP.
var (
	bannedEverywhere   = []string{"C", "expvar", "net/http/pprof", "unsafe"} // the two in the middle serve on a global mux
	bannedOutsideTests = []string{"reflect", "testing"}
	bannedNearPHP      = []string{"net/http/fcgi", "net/textproto"}
	allowedInTests     = []string{"github.com/google/go-cmp/cmp", "github.com/google/go-cmp/cmp/cmpopts"}
)

// bannedDirectories say nothing of what is in them.
var bannedDirectories = []string{"common", "errors", "helpers", "internal", "pkg", "types", "util", "utils"}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// TestPolicy reads every Go file of the module, for whatever system.
func TestPolicy(t *testing.T) {
	packages := map[string][]source{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return enter(t, name, d)
		case filepath.Ext(name) != ".go":
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(name), data)
		if err != nil {
			return err
		}
		packages[path.Dir(s.path)] = append(packages[path.Dir(s.path)], s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pure {
		if !slices.ContainsFunc(packages[path.Dir(name)], func(s source) bool { return s.path == name }) {
			t.Errorf("%s is to be pure, and is not there", name)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		for _, problem := range checkPackage(dir, packages[dir]) {
			t.Error(problem)
		}
	}
}

// enter skips what is not of this module, and refuses some names.
func enter(t *testing.T, name string, d fs.DirEntry) error {
	if name == "." {
		return nil
	}
	if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir // a module of its own
	}
	if slices.Contains(bannedDirectories, d.Name()) {
		t.Errorf("%s: want a directory named by its subject", name)
	}
	return nil
}

// A source is one parsed file.
type source struct {
	path string
	test bool
	text []byte
	file *ast.File
}

func parseSource(name string, text []byte) (source, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
	return source{name, strings.HasSuffix(name, "_test.go"), text, f}, err
}

func checkPackage(dir string, files []source) (problems []string) {
	allowed, known := mayImport[dir]
	if !known {
		problems = append(problems, "package "+dir+" is not in mayImport")
	}
	comments, code := 0, false
	for _, s := range files {
		problems = append(problems, checkText(s)...)
		problems = append(problems, checkImports(s, allowed)...)
		problems = append(problems, checkStatements(s)...)
		if s.file.Doc != nil {
			comments++
		}
		code = code || !s.test || dir == "integration_test"
	}
	if code && comments != 1 {
		problems = append(problems, fmt.Sprintf("package %s has %d package comments, want one", dir, comments))
	}
	return append(problems, checkState(files)...)
}

func checkText(s source) (problems []string) {
	if want, err := format.Source(s.text); err != nil || !bytes.Equal(s.text, want) {
		problems = append(problems, s.path+": not as gofmt writes it")
	}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if word := unfinished.FindString(c.Text); word != "" {
				problems = append(problems, s.path+": a comment says "+word)
			}
			for _, start := range []string{"//go:linkname", "//go:generate", "// Code generated"} {
				if strings.HasPrefix(c.Text, start) {
					problems = append(problems, s.path+": has "+start)
				}
			}
		}
	}
	if path.Dir(s.path) == "integration_test" && !s.test {
		problems = append(problems, s.path+": want test files only")
	}
	return problems
}

func checkImports(s source, allowed []string) (problems []string) {
	nearPHP := !s.test && slices.Contains([]string{"fastcgi", "gateway"}, path.Dir(s.path))
	for _, spec := range s.file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		ours, isOurs := strings.CutPrefix(name, module+"/")
		problem := ""
		switch {
		case isOurs && !slices.Contains(allowed, ours):
			problem = "which is not below it"
		case isOurs && isPure(s) && !slices.Contains(pureOurs, ours):
			problem = "and is pure"
		case isOurs:
		case slices.Contains(bannedEverywhere, name),
			!s.test && slices.Contains(bannedOutsideTests, name),
			nearPHP && slices.Contains(bannedNearPHP, name):
			problem = "which is not used here"
		case strings.Contains(strings.Split(name, "/")[0], ".") && !(s.test && slices.Contains(allowedInTests, name)):
			problem = "from outside the standard library"
		case isPure(s) && !slices.Contains(pureImports, name):
			problem = "and is pure"
		}
		if problem != "" {
			problems = append(problems, s.path+": imports "+name+", "+problem)
		}
	}
	return problems
}

func isPure(s source) bool { return slices.Contains(pure, s.path) }

func checkStatements(s source) (problems []string) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			problems = append(problems, s.path+": has func init")
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if _, ok := n.(*ast.GoStmt); ok && isPure(s) {
			problems = append(problems, s.path+": is pure and starts a goroutine")
		}
		return true
	})
	return problems
}
