package gateway

import (
	"errors"
	"strings"
)

// errPath is why a path is refused before any route is looked for.
var errPath = errors.New("gateway: path that could be read in two ways")

// checkPath refuses a request's path, as it was sent, that a proxy or PHP
// might read as another path than we do: with an empty, "." or ".." segment, a
// backslash, or an escape that stands for a slash or a NUL.
func checkPath(escaped string) error {
	if !strings.HasPrefix(escaped, "/") || strings.Contains(escaped, `\`) {
		return errPath
	}
	lower := strings.ToLower(escaped)
	for _, bad := range []string{"%2f", "%00", "%5c"} {
		if strings.Contains(lower, bad) {
			return errPath
		}
	}
	segments := strings.Split(strings.ReplaceAll(lower[1:], "%2e", "."), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		if s == "." || s == ".." || s == "" && !last {
			return errPath
		}
	}
	return nil
}

// matches reports whether prefix is made of the first whole segments of the
// decoded path: /ws takes /ws, /ws/ and /ws/room, not /wsx. A slash at the end
// of prefix says nothing more.
func matches(prefix, path string) bool {
	rest, found := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return found && (rest == "" || rest[0] == '/')
}
