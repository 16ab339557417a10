package config

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// finish checks what no single line shows, and gives the whole.
func (b *builder) finish() *Config {
	for _, s := range b.sections {
		b.checkRequired(s)
		switch {
		case s.listener != nil:
			b.checkListener(s)
			b.cfg.Listeners = append(b.cfg.Listeners, *s.listener)
		case s.pool != nil:
			b.checkPool(s)
			b.cfg.Pools = append(b.cfg.Pools, *s.pool)
		case s.control != nil:
			b.checkControl(s)
			b.cfg.Control = s.control
		}
	}
	if len(b.cfg.Listeners) == 0 {
		l := withDefaults(listenKeys())
		l.Network, l.Address = "tcp", "127.0.0.1:8080"
		b.cfg.Listeners = append(b.cfg.Listeners, *l)
	}
	b.checkAddresses()
	for _, s := range b.sections { // after the pools, which may stand behind them
		if s.route != nil {
			b.checkRoute(s)
			b.cfg.Routes = append(b.cfg.Routes, *s.route)
		}
	}
	if !b.routes {
		b.fault(fault{problem: "no route: want at least one section [route /prefix] with script = /path/of/a/file.php"})
	}
	return b.cfg
}

// faultAt makes a fault of the setting of a key, or of its section if the key
// has its default.
func (s *section) faultAt(key, problem string) fault {
	f, ok := s.settings[key]
	if !ok {
		f = fault{line: s.line, title: s.title}
	}
	f.problem = problem
	return f
}

// checkRequired takes a key that has a fault for set: one fault is enough.
func (b *builder) checkRequired(s *section) {
	for _, k := range s.keys {
		if _, ok := s.settings[k.Key]; !ok && k.Required {
			b.fault(fault{line: s.line, title: s.title, problem: "want a line " + k.Key + " = …, with " + k.Want})
		}
	}
}

func (b *builder) checkListener(s *section) {
	l := s.listener
	_, cert := s.settings["tls_cert"]
	_, key := s.settings["tls_key"]
	switch {
	case cert && !key:
		b.fault(s.faultAt("tls_cert", "want tls_key too, the key of this certificate"))
	case key && !cert:
		b.fault(s.faultAt("tls_key", "want tls_cert too, the certificate of this key"))
	}
	if l.Network == "unix" || l.Network == "" {
		return
	}
	for _, k := range []string{"mode", "group"} {
		if _, ok := s.settings[k]; ok {
			b.fault(s.faultAt(k, "want it only where address is a unix socket"))
		}
	}
}

// checkAddresses finds listeners that would take each other's address.
func (b *builder) checkAddresses() {
	first := map[string]string{}
	for _, l := range b.cfg.Listeners {
		// An empty host is every address, which [::] is as well.
		address := l.Network + " " + strings.Replace(l.Address, "[::]", "", 1)
		if l.Network == "" || l.Network == "tcp" && strings.HasSuffix(address, ":0") {
			continue
		}
		where := "the global listen"
		f := b.global.faultAt("listen", "")
		if l.Name != "" {
			s := b.byName["listen "+l.Name]
			where, f = s.title, s.faultAt("address", "")
		}
		if other, twice := first[address]; twice {
			f.problem = "want another address, " + other + " has this one"
			b.fault(f)
			continue
		}
		first[address] = where
	}
}

func (b *builder) checkPool(s *section) {
	p := s.pool
	if _, ok := s.settings["max_streams"]; !ok {
		p.MaxStreams = max(1, p.MaxConns/2)
	}
	if p.MaxStreams > p.MaxConns {
		b.fault(s.faultAt("max_streams", "want at most max_conns, which is "+strconv.Itoa(p.MaxConns)))
	}
}

func (b *builder) checkRoute(s *section) {
	r := s.route
	if r.Root == "" {
		r.Root = path.Dir(r.Script)
	}
	if r.Script != "" && !strings.HasPrefix(r.Script, strings.TrimSuffix(r.Root, "/")+"/") {
		b.fault(s.faultAt("script", "want a file below root, which is "+r.Root))
	}
	if b.byName["fastcgi "+r.Pool] == nil {
		b.fault(s.faultAt("fastcgi", b.unknownPool(r.Pool)))
	}
}

func (b *builder) unknownPool(name string) (problem string) {
	problem = strings.TrimSuffix("want a section [fastcgi "+name, " default") + "] with address = …"
	if len(b.faults) >= maxFaults {
		return problem // it will only be counted
	}
	var names []string
	for _, p := range b.cfg.Pools {
		names = append(names, p.Name)
	}
	switch near := nearest(name, names); {
	case near != "":
		problem += ", or did you mean " + near + "?"
	case 0 < len(names) && len(names) <= 5:
		problem += ", or fastcgi = " + strings.Join(names, " or ")
	}
	return problem
}

func (b *builder) checkControl(s *section) {
	c := s.control
	if c.Network == "tcp" {
		if c.TokenFile == "" {
			b.fault(s.faultAt("listen", "want token_file too: everybody on this machine can reach a port"))
		}
		for _, k := range slices.Sorted(maps.Keys(s.settings)) {
			if k == "mode" || k == "group" || strings.HasPrefix(k, "allow_") {
				b.fault(s.faultAt(k, "want it only where listen is a unix socket"))
			}
		}
	}
	if c.API == "" && c.Network == "unix" {
		c.API = "unix:" + c.Address
	} else if c.API == "" {
		c.API = "http://" + c.Address
	}
}
