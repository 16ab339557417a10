package hub

import "strings"

// maxName is the longest name of a channel, in bytes.
const maxName = 200

// ValidName reports whether name can be that of a channel: 1 to 200 characters
// of A-Z, a-z, 0-9 and _.:/@-, in segments between slashes of which none is
// empty, "." or "..". Such a name stands for itself in a header's list and in
// the path of a URL, whoever tidies that up.
func ValidName(name string) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("_.:/@-", c) >= 0:
		default:
			return false
		}
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
