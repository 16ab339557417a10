package config

import (
	"fmt"
	"strconv"
)

// A Reload says when another value of a key takes effect once the file has been
// read again.
type Reload string

const (
	AtOnce         Reload = "at once"         // for what happens from then on, on every connection
	NewConnections Reload = "new connections" // those that are open stay as they are
	Restart        Reload = "restart"         // not before that
)

// Settings are what a file says, key by key, to be compared with what it said
// before. They hold every key of every section, with its default if need be.
type Settings struct {
	file string
	list []entry
}

// An entry is one key of one section. Value is its meaning, in a form that is
// the same for whatever spelling.
type entry struct {
	section, key, value string
	line                int // of the key, or of its section if it has its default; 0: there is none
	begin               int // the line of the section
	reload              Reload
}

// A Change is a key whose value is another, or, with no key, a section that has
// come or gone.
type Change struct {
	Section string // as the file has it, such as [route /ws]; empty above the first section
	Key     string
	Line    int // in the new file; 0 if it is not there
	Reload  Reload
}

// String gives the section and the key.
func (c Change) String() string {
	if c.Section == "" || c.Key == "" {
		return c.Section + c.Key
	}
	return c.Section + " " + c.Key
}

// Since lists what differs from old, in the order of the file; what is gone
// comes last.
func (s Settings) Since(old Settings) (changes []Change) {
	before, after := old.index(), s.index()
	came := map[string]bool{}
	compare := func(list []entry, others map[[2]string]entry, gone bool) {
		for _, now := range list {
			_, section := others[[2]string{now.section}]
			was, known := others[[2]string{now.section, now.key}]
			c := Change{now.section, now.key, now.line, now.reload}
			switch {
			case !section && !came[now.section]:
				c.Key, c.Line = "", now.begin // its first key speaks for all of it
				came[now.section] = true
			case !section || gone || known && was.value == now.value:
				continue
			}
			if gone {
				c.Line = 0
			}
			changes = append(changes, c)
		}
	}
	compare(s.list, before, false)
	compare(old.list, after, true)
	return changes
}

// index finds settings by section and key, and each section by itself.
func (s Settings) index() map[[2]string]entry {
	m := map[[2]string]entry{}
	for _, one := range s.list {
		m[[2]string{one.section, one.key}] = one
		m[[2]string{one.section}] = entry{}
	}
	return m
}

// Where says in which line of the file a key of a section is set: for an error
// that is found when the value is used.
func (s Settings) Where(section, key string) string {
	where := Change{Section: section, Key: key}.String()
	if one, ok := s.index()[[2]string{section, key}]; ok && one.line > 0 {
		return s.file + ":" + strconv.Itoa(one.line) + ": " + where
	}
	return s.file + ": " + where
}

// settings gives every key of the file's sections.
func (b *builder) settings(file string) Settings {
	out := Settings{file: file}
	for _, s := range append([]*section{b.global}, b.sections...) {
		for _, k := range s.keys {
			one := entry{s.title, k.Key, s.values[k.Key], s.line, s.line, k.Reload}
			if f, ok := s.settings[k.Key]; ok {
				one.line = f.line
			} else if one.value == "" {
				one.value = s.defaultOf(k)
			}
			if s == b.global && k.Key == "listen" {
				one.value = b.listens() // the default depends on the sections
			}
			out.list = append(out.list, one)
		}
	}
	return out
}

// defaultOf is the meaning of a default that can be read.
func (s *section) defaultOf(k KeyDoc) string {
	if v, problem := lexValue(k.Default); problem == "" && k.Default != "" {
		return s.meaning(k.Key, v)
	}
	return ""
}

// listens are the addresses outside of sections.
func (b *builder) listens() (text string) {
	for _, l := range b.cfg.Listeners {
		if l.Name == "" {
			text += fmt.Sprintf("%s %s\n", l.Network, l.Address)
		}
	}
	return text
}

// meaningOf gives a function that says what a value of a key means: what a
// section that has it and nothing else is like.
func meaningOf[T any](keys []key[T]) func(name string, v value) string {
	return func(name string, v value) string {
		to := new(T)
		if problem, known := store(to, keys, name, v); problem != "" || !known {
			return problem
		}
		return fmt.Sprintf("%+v", *to)
	}
}
