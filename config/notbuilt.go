package config

import "strings"

// An absent names what a later version will do. A file that asks for it is
// refused, so that nobody relies on what would silently not happen.
type absent struct {
	section, key string // no key: the section as a whole
	item         string // the value that is absent; empty: every one
	problem      string
}

// notBuilt is the one list of what the parser knows and the program cannot do
// yet: nothing at the moment.
var notBuilt = []absent{}

// lacks says what of a setting is absent.
func lacks(table []absent, section, key string, items []string) (problem string) {
	for _, a := range table {
		if a.section != section || a.key != key {
			continue
		}
		if a.item == "" {
			return a.problem
		}
		for _, item := range items {
			if word, _, _ := strings.Cut(item, ":"); word == a.item {
				return a.problem
			}
		}
	}
	return ""
}
