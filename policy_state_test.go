package main

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// makers give values that nobody changes afterwards.
var makers = []string{"errors.New", "fmt.Errorf", "netip.MustParsePrefix", "regexp.MustCompile", "strings.NewReplacer"}

// holders are types whose variables may be of a package: a pool is only a cache,
// an embedded file system is read-only.
var holders = []string{"sync.Pool", "embed.FS"}

// checkState finds variables of a package that change, or are made to. Tables
// and error values are allowed as long as nobody assigns to them, takes their
// address, or deletes from them.
func checkState(files []source) (problems []string) {
	vars := map[string]*ast.ValueSpec{}
	for _, s := range files {
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if s.test || !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					if name.Name != "_" && !isConstant(v, i) {
						problems = append(problems, s.path+": the variable "+name.Name+" is state of the package")
					}
					vars[name.Name] = v
				}
			}
		}
	}
	for _, s := range files {
		if s.test {
			continue
		}
		for _, name := range changed(s.file, vars) {
			problems = append(problems, s.path+": changes "+name+", which is of the package")
		}
	}
	return problems
}

// isConstant reports whether the i-th variable of v is made to stay as it is.
func isConstant(v *ast.ValueSpec, i int) bool {
	if slices.Contains(holders, dotted(v.Type)) {
		return true
	}
	if i >= len(v.Values) {
		return false
	}
	switch x := v.Values[i].(type) {
	case *ast.BasicLit, *ast.BinaryExpr:
		return true
	case *ast.CompositeLit:
		pkg, _, _ := strings.Cut(dotted(x.Type), ".")
		return pkg != "sync" && pkg != "atomic" || slices.Contains(holders, dotted(x.Type))
	case *ast.CallExpr:
		return slices.Contains(makers, dotted(x.Fun))
	}
	return false
}

// dotted gives a name as it is written, with its package's.
func dotted(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		if pkg, ok := x.X.(*ast.Ident); ok {
			return pkg.Name + "." + x.Sel.Name
		}
	}
	return ""
}

// changed lists the variables of vars that f assigns to, takes the address of,
// or empties.
func changed(f *ast.File, vars map[string]*ast.ValueSpec) (names []string) {
	check := func(e ast.Expr) {
		id := root(e)
		if id == nil || vars[id.Name] == nil {
			return
		}
		// A declaration in this file that is not the variable's hides it.
		if id.Obj != nil && id.Obj.Decl != vars[id.Name] {
			return
		}
		names = append(names, id.Name)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			for _, e := range x.Lhs {
				check(e)
			}
		case *ast.IncDecStmt:
			check(x.X)
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				check(x.X)
			}
		case *ast.CallExpr:
			if id, ok := x.Fun.(*ast.Ident); ok && slices.Contains([]string{"clear", "copy", "delete"}, id.Name) && len(x.Args) > 0 {
				check(x.Args[0])
			}
		}
		return true
	})
	return names
}

// root is the variable that an expression is a part of.
func root(e ast.Expr) *ast.Ident {
	switch x := e.(type) {
	case *ast.Ident:
		return x
	case *ast.IndexExpr:
		return root(x.X)
	case *ast.SelectorExpr:
		return root(x.X)
	case *ast.SliceExpr:
		return root(x.X)
	case *ast.StarExpr:
		return root(x.X)
	case *ast.ParenExpr:
		return root(x.X)
	}
	return nil
}

// The policy itself is tested by what it must refuse.
func TestPolicyRefuses(t *testing.T) {
	const doc = "// Package p is one.\npackage p\n\n"
	tests := []struct{ name, path, text, want string }{
		{"nothing in a plain file", "hub/a.go", doc + "var errA = errors.New(\"a\")\n", ""},
		{"an arrow upwards", "websocket/a.go", doc + "import _ \"ws-fpm/gateway\"\n", "websocket/a.go: imports ws-fpm/gateway, which is not below it"},
		{"an arrow between leaves, in a test too", "hub/a_test.go", "package p\n\nimport _ \"ws-fpm/metrics\"\n", "hub/a_test.go: imports ws-fpm/metrics, which is not below it"},
		{"a package without a place", "queue/a.go", doc, "package queue is not in mayImport"},
		{"a third party", "hub/a.go", doc + "import _ \"example.com/x\"\n", "hub/a.go: imports example.com/x, from outside the standard library"},
		{"go-cmp outside a test", "hub/a.go", doc + "import _ \"github.com/google/go-cmp/cmp\"\n", "hub/a.go: imports github.com/google/go-cmp/cmp, from outside the standard library"},
		{"go-cmp in a test is allowed", "hub/a_test.go", "package p\n\nimport _ \"github.com/google/go-cmp/cmp\"\n", ""},
		{"unsafe in a test", "hub/a_test.go", "package p\n\nimport _ \"unsafe\"\n", "hub/a_test.go: imports unsafe, which is not used here"},
		{"cgo", "hub/a.go", doc + "import \"C\"\n", "hub/a.go: imports C, which is not used here"},
		{"reflect outside a test", "hub/a.go", doc + "import _ \"reflect\"\n", "hub/a.go: imports reflect, which is not used here"},
		{"another FastCGI", "fastcgi/a.go", doc + "import _ \"net/http/fcgi\"\n", "fastcgi/a.go: imports net/http/fcgi, which is not used here"},
		{"another FastCGI as a peer in a test is allowed", "fastcgi/a_test.go", "package p\n\nimport _ \"net/http/fcgi\"\n", ""},
		{"a clock in a pure file", "websocket/frame.go", doc + "import _ \"time\"\n", "websocket/frame.go: imports time, and is pure"},
		{"one of ours that does things in a pure file", "gateway/reply.go", doc + "import _ \"ws-fpm/metrics\"\n", "gateway/reply.go: imports ws-fpm/metrics, and is pure"},
		{"one of ours for its values in a pure file", "gateway/reply.go", doc + "import _ \"ws-fpm/fastcgi\"\n", ""},
		{"a goroutine in a pure file", "fastcgi/mux.go", doc + "func f() { go f() }\n", "fastcgi/mux.go: is pure and starts a goroutine"},
		{"func init", "hub/a.go", doc + "func init() {}\n", "hub/a.go: has func init"},
		{"a method called init is allowed", "hub/a.go", doc + "func (t T) init() {}\n", ""},
		{"bad layout", "hub/a.go", doc + "var  a = 1\n", "hub/a.go: not as gofmt writes it"},
		{"unfinished work", "hub/a.go", doc + "// FIX" + "ME later\n", "hub/a.go: a comment says FIX" + "ME"},
		{"no package comment", "hub/a.go", "package p\n", "package hub has 0 package comments, want one"},
		{"the program among the integration tests", "integration_test/a.go", doc, "integration_test/a.go: want test files only"},
		{"a variable without a value", "hub/a.go", doc + "var n int\n", "hub/a.go: the variable n is state of the package"},
		{"a mutex", "hub/a.go", doc + "var mu = sync.Mutex{}\n", "hub/a.go: the variable mu is state of the package"},
		{"a made map", "hub/a.go", doc + "var m = make(map[int]int)\n", "hub/a.go: the variable m is state of the package"},
		{"a pointer", "hub/a.go", doc + "var p = &T{}\n", "hub/a.go: the variable p is state of the package"},
		{"a pool is allowed", "hub/a.go", doc + "var p = sync.Pool{}\n\nfunc f() { g(&q) }\n", ""},
		{"embedded files are allowed", "hub/a.go", doc + "var files embed.FS\n", ""},
		{"an unchanged table is allowed", "hub/a.go", doc + "var m = map[int]int{1: 2}\n\nfunc f() int { m := 1; m++; return m }\n", ""},
		{"a changed table", "hub/a.go", doc + "var m = map[int]int{1: 2}\n\nfunc f() { m[1] = 3 }\n", "hub/a.go: changes m, which is of the package"},
		{"a deleted entry", "hub/a.go", doc + "var m = map[int]int{1: 2}\n\nfunc f() { delete(m, 1) }\n", "hub/a.go: changes m, which is of the package"},
		{"a counter", "hub/a.go", doc + "var n = 1\n\nfunc f() { n++ }\n", "hub/a.go: changes n, which is of the package"},
		{"an address taken", "hub/a.go", doc + "var n = 1\n\nfunc f() *int { return &n }\n", "hub/a.go: changes n, which is of the package"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parseSource(test.path, []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			dir := path.Dir(test.path)
			got := checkPackage(dir, []source{s})
			if test.want == "" && len(got) > 0 || test.want != "" && !slices.Contains(got, test.want) {
				t.Errorf("checkPackage = %q; want %q", got, test.want)
			}
		})
	}
}
