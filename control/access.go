package control

import (
	"slices"
	"strings"
)

// Allow lists the users and groups whose processes may use a unix socket, by
// number. If both lists are empty, the socket's mode and group decide alone;
// else root and the user that this process runs as are allowed too, for both
// could get in anyway.
//
// A process is of a group if that is its own, or if the system's user database
// has its user in that group: the standard library has no way to ask for the
// others. A user of another user namespace is seen as 65534, nobody.
type Allow struct {
	Users, Groups []uint32
}

func (a Allow) isZero() bool { return len(a.Users) == 0 && len(a.Groups) == 0 }

// A peer is the process at the other end of a unix socket, as the kernel knew
// it when it connected.
type peer struct{ uid, gid uint32 }

// admits reports whether a lets in p. Self is the user that we are. MemberOf
// gives the groups that a user is listed in; it is asked last and seldom.
func (a Allow) admits(p peer, self uint32, memberOf func(uid uint32) []uint32) bool {
	switch {
	case a.isZero(), p.uid == 0, p.uid == self:
		return true
	case slices.Contains(a.Users, p.uid), slices.Contains(a.Groups, p.gid):
		return true
	case len(a.Groups) == 0:
		return false
	}
	return slices.ContainsFunc(memberOf(p.uid), func(gid uint32) bool { return slices.Contains(a.Groups, gid) })
}

// bearer gives the token of a request from its Authorization fields (RFC 6750,
// section 2.1), or nothing: a request with two has none.
func bearer(fields []string) string {
	if len(fields) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.Trim(token, " ")
}
