package fpm

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Options say how a php-fpm is run. The zero value is a small pool of its own
// on a unix socket that only the caller's user can open.
type Options struct {
	// Binary is the php-fpm to run. Empty means the one that Find finds.
	Binary string

	// Dir is where the fresh directory for the configuration, the socket and
	// PHP's temporary files is made; Stop removes that directory with all it
	// holds. Empty means the system's directory for temporary files.
	Dir string

	// Listen is where php-fpm accepts connections: the absolute path of a
	// unix socket, or an IP address and port; with port 0, a free one is
	// picked. Empty means a unix socket in the fresh directory.
	Listen string

	// User is whom the workers run as when the caller is root; everybody
	// else's workers run as the caller and User must be empty. Empty as root
	// means the first that exists of the accounts that web servers use,
	// then nobody. That user must be able to read the scripts.
	User string

	// Children is the number of workers, thus of scripts that run at once,
	// at most 1024. Zero means 4.
	Children int

	// MaxRequests is how many requests a worker serves before a fresh one
	// takes its place. Zero means 1000.
	MaxRequests int

	// Grace is how long Stop lets running scripts go on, in whole seconds
	// and at least one. Zero means 10 s.
	Grace time.Duration

	// Global and Pool are further lines, such as "pm = ondemand" or
	// "php_admin_value[memory_limit] = 64M", for php-fpm's [global] section
	// and for its pool. They come last, so they win over everything above.
	Global, Pool []string

	// Log receives what php-fpm and its workers write to standard error,
	// line by line, and what the supervisor does. Nil means nowhere.
	Log *slog.Logger
}

const (
	maxChildren = 1024
	maxGrace    = time.Hour
)

func (o Options) withDefaults() (Options, error) {
	o.Children = cmp.Or(o.Children, 4)
	o.MaxRequests = cmp.Or(o.MaxRequests, 1000)
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Children < 1 || o.Children > maxChildren:
		return o, fmt.Errorf("fpm: Children is %d, want 1 to %d", o.Children, maxChildren)
	case o.MaxRequests < 1:
		return o, fmt.Errorf("fpm: MaxRequests is negative: %d", o.MaxRequests)
	case o.Grace < time.Second || o.Grace > maxGrace || o.Grace%time.Second != 0:
		return o, fmt.Errorf("fpm: Grace is %v, want whole seconds from 1s to %v", o.Grace, maxGrace)
	}
	for _, line := range append(append([]string(nil), o.Global...), o.Pool...) {
		if err := checkLine(line); err != nil {
			return o, err
		}
	}
	return o, nil
}

// checkLine keeps a further line to what it is for: one directive. A section
// header in its place would move all the lines behind it elsewhere.
func checkLine(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return fmt.Errorf("fpm: directive %q is more than a line", line)
	}
	name, _, found := strings.Cut(line, "=")
	if name = strings.TrimSpace(name); !found || name == "" || name[0] == '[' {
		return fmt.Errorf("fpm: directive %q is not of the form name = value", line)
	}
	return nil
}
