package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// setListen reads the global list: listeners without a section of their own.
func setListen(c *Config, items []string) (item int, problem string) {
	var listeners []Listener
	for i, s := range items {
		l := withDefaults(listenKeys())
		if l.Network, l.Address, problem = parseListen(s); problem != "" {
			return i, problem
		}
		listeners = append(listeners, *l)
	}
	c.Listeners = listeners
	return 0, ""
}

// parseListen reads an address to accept clients on. Port 0 is one that the
// system picks.
func parseListen(s string) (network, address, problem string) {
	if name, is := strings.CutPrefix(s, "systemd:"); is {
		if !isName(name) {
			return "", "", "want systemd:NAME, with the FileDescriptorName of the socket unit"
		}
		return "systemd", name, ""
	}
	if s == "systemd" {
		return "systemd", "", ""
	}
	if !strings.ContainsAny(s, ":/") {
		return "", "", "want " + wantListen
	}
	return parseAddress(s)
}

// setPoolAddress reads an address to connect to: it needs a host and a port.
func setPoolAddress(p *Pool, s string) (problem string) {
	if !strings.ContainsAny(s, ":/") {
		return "want " + wantPool
	}
	network, address, problem := parseAddress(s)
	if problem != "" {
		return problem
	}
	if network == "tcp" && (strings.HasPrefix(address, ":") || strings.HasSuffix(address, ":0")) {
		return "want a host and a port, such as 127.0.0.1:9000"
	}
	p.Network, p.Address = network, address
	return ""
}

// parsePrivate reads an address that only this machine can reach.
func parsePrivate(s string) (network, address, problem string) {
	network, address, problem = parseAddress(s)
	if problem == "" && network == "tcp" && !isLoopback(address) {
		return "", "", "want a unix socket or a loopback address, such as 127.0.0.1:9081"
	}
	return network, address, problem
}

// setAPI reads where PHP finds the control API, which may be another address
// than ours where a proxy or a container's network stands between.
func setAPI(c *Control, s string) (problem string) {
	if strings.HasPrefix(s, "unix:") || strings.HasPrefix(s, "/") {
		_, path, problem := parseAddress(s)
		c.API = "unix:" + path
		return problem
	}
	rest, is := strings.CutPrefix(s, "http://")
	if !is {
		rest, is = strings.CutPrefix(s, "https://")
	}
	host, _, _ := strings.Cut(rest, "/")
	if !is || host == "" || strings.ContainsAny(s, " \t\"?#@") {
		return "want an http:// or https:// URL, or a unix socket"
	}
	c.API = s
	return ""
}

func setLogLevel(c *Config, s string) (problem string) {
	levels := []string{"debug", "info", "warn", "error"}
	i := slices.Index(levels, s)
	if i < 0 {
		return "want debug, info, warn or error"
	}
	c.LogLevel = slog.LevelDebug + slog.Level(i)*(slog.LevelInfo-slog.LevelDebug)
	return ""
}

func setTrustedProxies(c *Config, items []string) (item int, problem string) {
	var prefixes []netip.Prefix
	for i, s := range items {
		if s == "unix" {
			c.TrustUnix = true
			continue
		}
		p, problem := parsePrefix(s)
		if problem != "" {
			return i, problem
		}
		prefixes = append(prefixes, p)
	}
	c.TrustedProxies = prefixes
	return 0, ""
}

func setEvents(r *Route, items []string) (item int, problem string) {
	all := []string{"connect", "message", "disconnect"}
	for i, s := range items {
		if !slices.Contains(all, s) {
			return i, "want connect, message, disconnect or some of them"
		}
	}
	r.Events = slices.DeleteFunc(all, func(s string) bool { return !slices.Contains(items, s) })
	return 0, ""
}

func setOrigins(r *Route, items []string) (item int, problem string) {
	var origins []string
	for i, s := range items {
		switch s {
		case "*":
			if len(items) > 1 {
				return i, "want * alone: it lets every web page in"
			}
			origins = append(origins, s)
		case "same":
			origins = append(origins, s)
		default:
			origin, problem := parseOrigin(s)
			if problem != "" {
				return i, problem
			}
			origins = append(origins, origin)
		}
	}
	r.Origins = origins
	return 0, ""
}

func setSubprotocols(r *Route, items []string) (item int, problem string) {
	for i, s := range items {
		if !isToken(s) {
			return i, "want names without spaces or any of ()<>@,;:\\\"/[]?={}"
		}
	}
	r.Subprotocols = items
	return 0, ""
}

func setContentType(r *Route, s string) (problem string) {
	if s != "auto" && !isMediaType(s) {
		return "want auto, or a media type such as application/json"
	}
	r.ContentType = s
	return ""
}

func setPool(r *Route, s string) (problem string) {
	if !isName(s) {
		return "want the name of a [fastcgi NAME] section"
	}
	r.Pool = s
	return ""
}

func setRoot(r *Route, s string) (problem string) {
	if s != "/" {
		s = strings.TrimSuffix(s, "/")
		if problem := checkPath(s); problem != "" {
			return problem
		}
	}
	r.Root = s
	return ""
}

func setAccounts(field func(*Control) *[]string) func(*Control, []string) (int, string) {
	return func(c *Control, items []string) (item int, problem string) {
		for i, s := range items {
			if !isAccount(s) {
				return i, "want names or numbers, separated by commas"
			}
		}
		*field(c) = items
		return 0, ""
	}
}
