package config

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A key is one line of a section's table.
type key[T any] struct {
	name string
	want string // what the value must be, said after "want"
	def  string // the default as a file would say it; empty: none
	doc  string

	// computed says that def is told in words, and check.go finds its value.
	computed bool
	required bool // without it the section is not complete
	list     bool
	reload   Reload

	// set stores a value or says what is wrong with it.
	set func(to *T, v value) (problem string)
}

// A KeyDoc describes one key of the configuration file.
type KeyDoc struct {
	Section  string // as a file has it: "", "[listen NAME]", "[fastcgi]", ...
	Key      string
	Want     string // what its value must be, with its range
	Default  string // as a file would say it, or in words; empty: none
	Doc      string // what it means, in one line
	Required bool   // a section without it is refused
	List     bool   // several values may stand in its line, separated by commas
	Reload   Reload // when another value takes effect
}

// Reference lists every key that the parser knows, section by section, in the
// order in which they are best explained.
func Reference() []KeyDoc {
	return slices.Concat(
		describe("", globalKeys()),
		describe("[listen NAME]", listenKeys()),
		describe("[fastcgi]", poolKeys()),
		describe("[route /prefix]", routeKeys()),
		describe("[control]", controlKeys()),
	)
}

func describe[T any](section string, keys []key[T]) []KeyDoc {
	var docs []KeyDoc
	for _, k := range keys {
		if k.reload == "" {
			panic("BUG: a key that does not say what a reload does: " + k.name)
		}
		docs = append(docs, KeyDoc{section, k.name, k.want, k.def, k.doc, k.required, k.list, k.reload})
	}
	return docs
}

// store sets the key called name. It reports an unknown one.
func store[T any](to *T, keys []key[T], name string, v value) (problem string, known bool) {
	i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == name })
	if i < 0 {
		return "", false
	}
	return keys[i].set(to, v), true
}

// withDefaults gives a section whose keys have their defaults, each read from
// its text by the code that reads a file.
func withDefaults[T any](keys []key[T]) *T {
	to := new(T)
	for _, k := range keys {
		if k.def == "" || k.computed {
			continue
		}
		v, problem := lexValue(k.def)
		if problem == "" {
			problem = k.set(to, v)
		}
		if problem != "" {
			panic("BUG: the default of " + k.name + ": " + problem)
		}
	}
	return to
}

// after says when another value takes effect. Every key has to.
func (k key[T]) after(r Reload) key[T] {
	k.reload = r
	return k
}

func required[T any](k key[T]) key[T] {
	k.required = true
	return k
}

func computed[T any](k key[T]) key[T] {
	k.computed = true
	return k
}

// scalar makes a key of one value.
func scalar[T any](name, want, def, doc string, set func(to *T, s string) (problem string)) key[T] {
	return key[T]{name: name, want: want, def: def, doc: doc, set: func(to *T, v value) string {
		if !v.one {
			return "want one value, and quotes around all of it if it holds a comma"
		}
		return set(to, v.text)
	}}
}

// list makes a key of values separated by commas. A problem of an item names
// it.
func list[T any](name, want, def, doc string, set func(to *T, items []string) (item int, problem string)) key[T] {
	return key[T]{name: name, want: want, def: def, doc: doc, list: true, set: func(to *T, v value) string {
		if len(v.items) > maxItems {
			return "want at most " + strconv.Itoa(maxItems) + " items"
		}
		if i := firstTwice(v.items); i >= 0 {
			return "want " + strconv.Quote(excerpt(v.items[i])) + " once"
		}
		item, problem := set(to, v.items)
		if problem != "" && len(v.items) > 1 {
			problem += " (in " + strconv.Quote(excerpt(v.items[item])) + ")"
		}
		return problem
	}}
}

// maxItems bounds the items of a list.
const maxItems = 256

func firstTwice(items []string) int {
	for i, item := range items {
		if slices.Contains(items[:i], item) {
			return i
		}
	}
	return -1
}

// oneOf makes a key that takes one of a few words.
func oneOf[T any](name, def, doc string, field func(*T) *string, words ...string) key[T] {
	want := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	return scalar(name, want, def, doc, func(to *T, s string) string {
		if !slices.Contains(words, s) {
			return "want " + want
		}
		*field(to) = s
		return ""
	})
}

// toggle makes a key of two words, the second of which is true.
func toggle[T any](name, no, yes, doc string, field func(*T) *bool) key[T] {
	want := no + " or " + yes
	return scalar(name, want, no, doc, func(to *T, s string) string {
		if s != no && s != yes {
			return "want " + want
		}
		*field(to) = s == yes
		return ""
	})
}

func count[T any](name, def string, least, most int, doc string, field func(*T) *int) key[T] {
	want := "a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
	return scalar(name, want, def, doc, func(to *T, s string) string {
		n, ok := parseCount(s)
		if !ok || n < int64(least) || n > int64(most) {
			return "want " + want
		}
		*field(to) = int(n)
		return ""
	})
}

// size makes a key of bytes. Its bounds are written as in a file.
func size[T any](name, def, least, most, doc string, field func(*T) *int64) key[T] {
	want := "a size from " + least + " to " + most + ", in bytes or with k, M or G"
	return scalar(name, want, def, doc, func(to *T, s string) string {
		n, ok := parseSize(s)
		if !ok || n < must(parseSize(least)) || n > must(parseSize(most)) {
			return "want " + want
		}
		*field(to) = n
		return ""
	})
}

// duration makes a key of a time. Its bounds are written as in a file.
func duration[T any](name, def, least, most, doc string, field func(*T) *time.Duration) key[T] {
	want := "a time from " + least + " to " + most + ", with its unit: ms, s, m or h"
	return scalar(name, want, def, doc, func(to *T, s string) string {
		n, ok := parseTime(s)
		if !ok || n < must(parseTime(least)) || n > must(parseTime(most)) {
			return "want " + want
		}
		*field(to) = time.Duration(n)
		return ""
	})
}

func must(n int64, ok bool) int64 {
	if !ok {
		panic("BUG: a bound in the table of keys cannot be read")
	}
	return n
}

func filePath[T any](name, doc string, field func(*T) *string) key[T] {
	return scalar(name, "an absolute path", "", doc, func(to *T, s string) string {
		if problem := checkPath(s); problem != "" {
			return problem
		}
		*field(to) = s
		return ""
	})
}

func account[T any](name, doc string, field func(*T) *string) key[T] {
	const want = "the name or number of a group"
	return scalar(name, want, "", doc, func(to *T, s string) string {
		if !isAccount(s) {
			return "want " + want
		}
		*field(to) = s
		return ""
	})
}

func mode[T any](doc string, field func(*T) *fs.FileMode) key[T] {
	const want = "a mode in octal, from 0000 to 0777"
	return scalar("mode", want, "0660", doc, func(to *T, s string) string {
		m, ok := parseMode(s)
		if !ok {
			return "want " + want
		}
		*field(to) = fs.FileMode(m)
		return ""
	})
}
