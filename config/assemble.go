package config

import (
	"slices"
	"strconv"
	"strings"
)

// A builder makes a Config of the lines of a file, and gathers what is wrong.
type builder struct {
	cfg      *Config
	global   *section
	sections []*section          // those of the file that have a usable header
	byName   map[string]*section // the same by kind and name
	at       *section            // where settings go; nil: nowhere, the header is wrong
	routes   bool                // a route was begun, be it a wrong one
	faults   []fault
}

// A section is a part of a file and what it has set so far.
type section struct {
	line       int
	kind, name string
	title      string // [kind name]; empty for the global section
	settings   map[string]fault
	values     map[string]string // of the settings: their meaning
	put        func(key string, v value) (problem string, known bool)
	meaning    func(key string, v value) string
	keys       []KeyDoc
	listener   *Listener // one of these four, by the kind
	pool       *Pool
	route      *Route
	control    *Control
}

func newBuilder() *builder {
	keys := globalKeys()
	cfg := withDefaults(keys)
	global := &section{
		settings: map[string]fault{},
		values:   map[string]string{},
		meaning:  meaningOf(keys),
		keys:     describe("", keys),
		put:      func(key string, v value) (string, bool) { return store(cfg, keys, key, v) },
	}
	return &builder{cfg: cfg, global: global, at: global, byName: map[string]*section{}}
}

func (b *builder) fault(f fault) { b.faults = append(b.faults, f) }

func (b *builder) add(l line) {
	switch l.kind {
	case unreadable:
		b.fault(fault{line: l.number, text: l.text, problem: l.problem})
	case header:
		b.addHeader(l)
	case setting:
		if b.at != nil {
			b.addSetting(b.at, l)
		}
	default:
		panic("BUG: a line of an unknown kind")
	}
}

// addHeader begins a section. The settings of one that cannot be used, for its
// name or because it is the second one, are checked all the same, so that all
// that is wrong is said at once.
func (b *builder) addHeader(l line) {
	b.at = nil
	b.routes = b.routes || l.section == "route"
	f := fault{line: l.number, title: title(l.section, l.name), problem: checkHeader(l)}
	if l.problem != "" {
		f.title, f.text, f.problem = "", l.text, l.problem
	}
	if !isSection(l.section) {
		b.fault(f)
		return
	}
	b.at = newSection(l)
	if f.problem != "" {
		b.fault(f)
		return
	}
	id := b.at.kind + " " + b.at.name
	if first, twice := b.byName[id]; twice {
		f.problem = "want this section once; the first is in line " + strconv.Itoa(first.line)
		b.fault(f)
		return
	}
	b.byName[id] = b.at
	b.sections = append(b.sections, b.at)
}

func isSection(kind string) bool {
	return slices.Contains([]string{"listen", "fastcgi", "route", "control"}, kind)
}

// checkHeader says what is wrong with a section's kind or name.
func checkHeader(l line) (problem string) {
	switch l.section {
	case "listen":
		if !isName(l.name) {
			return "want [listen NAME], the name of letters, digits, dots, dashes and underscores"
		}
	case "fastcgi":
		if l.name != "" && !isName(l.name) {
			return "want [fastcgi] or [fastcgi NAME], the name of letters, digits, dots, dashes and underscores"
		}
	case "route":
		return checkPrefix(l.name)
	case "control":
		if l.name != "" {
			return "want [control], without a name"
		}
	case "global":
		return "unknown section: the keys that php-fpm has in [global] stand above the first section here"
	default:
		kinds := []string{"listen", "fastcgi", "route", "control"}
		if near := nearest(l.section, kinds); near != "" {
			return "unknown section: did you mean " + near + "?"
		}
		return "unknown section: want [listen NAME], [fastcgi], [fastcgi NAME], [route /prefix] or [control]"
	}
	return ""
}

func newSection(l line) *section {
	s := &section{line: l.number, kind: l.section, name: l.name, title: title(l.section, l.name),
		settings: map[string]fault{}, values: map[string]string{}}
	switch l.section {
	case "listen":
		keys := listenKeys()
		s.listener, s.keys = withDefaults(keys), describe(l.section, keys)
		s.put = func(key string, v value) (string, bool) { return store(s.listener, keys, key, v) }
		s.meaning = meaningOf(keys)
		s.listener.Name = l.name
	case "fastcgi":
		if s.name == "" {
			s.name = "default"
		}
		keys := poolKeys()
		s.pool, s.keys = withDefaults(keys), describe(l.section, keys)
		s.put = func(key string, v value) (string, bool) { return store(s.pool, keys, key, v) }
		s.meaning = meaningOf(keys)
		s.pool.Name = s.name
	case "route":
		if s.name != "/" {
			s.name = strings.TrimSuffix(s.name, "/")
		}
		keys := routeKeys()
		s.route, s.keys = withDefaults(keys), describe(l.section, keys)
		s.put = func(key string, v value) (string, bool) { return store(s.route, keys, key, v) }
		s.meaning = meaningOf(keys)
		s.route.Prefix = s.name
	case "control":
		keys := controlKeys()
		s.control, s.keys = withDefaults(keys), describe(l.section, keys)
		s.put = func(key string, v value) (string, bool) { return store(s.control, keys, key, v) }
		s.meaning = meaningOf(keys)
	default:
		panic("BUG: a section without keys: " + l.section)
	}
	return s
}

// title is a header as it stands in a report.
func title(kind, name string) string {
	return strings.TrimSuffix("["+kind+" "+name, " ") + "]"
}

func (b *builder) addSetting(s *section, l line) {
	f := fault{line: l.number, title: s.title, key: l.key, text: l.value.text}
	if first, twice := s.settings[l.key]; twice {
		f.problem = "want this key once; the first is in line " + strconv.Itoa(first.line)
		if slices.ContainsFunc(s.keys, func(k KeyDoc) bool { return k.Key == l.key && k.List }) {
			f.problem += ", and takes several values, separated by commas"
		}
		b.fault(f)
		return
	}
	s.settings[l.key] = f
	if f.problem = b.store(s, l); f.problem != "" {
		b.fault(f)
		return
	}
	s.values[l.key] = s.meaning(l.key, l.value)
}

func (b *builder) store(s *section, l line) (problem string) {
	if !slices.ContainsFunc(s.keys, func(k KeyDoc) bool { return k.Key == l.key }) {
		if len(b.faults) >= maxFaults {
			return "unknown key" // it will only be counted
		}
		return unknownKey(s, l.key)
	}
	switch {
	case l.problem != "":
		return l.problem
	case len(l.value.items) == 1 && l.value.items[0] == "":
		return "want a value; without this line the default counts"
	case slices.Contains(l.value.items, ""):
		return "want a value on each side of a comma"
	}
	problem, known := s.put(l.key, l.value)
	if !known {
		panic("BUG: a key that is listed and not stored: " + l.key)
	}
	return problem
}

// unknownKey says what was probably meant: a key of another section, or one of
// this section that is spelt nearly so.
func unknownKey(s *section, key string) (problem string) {
	var places, here []string
	for _, k := range Reference() {
		if k.Key == key {
			place := "in " + k.Section
			if k.Section == "" {
				place = "above the first section"
			}
			places = append(places, place)
		}
	}
	for _, k := range s.keys {
		here = append(here, k.Key)
	}
	if near := nearest(key, here); near != "" && len(places) == 0 {
		return "unknown key: did you mean " + near + "?"
	}
	if len(places) > 0 {
		return "unknown key: it stands " + strings.Join(places, " or ")
	}
	return "unknown key: want one of " + strings.Join(here, ", ")
}
