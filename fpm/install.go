package fpm

import "strings"

// installHint says in half a line how php-fpm is installed on a system, from
// its GOOS and, on Linux, the text of its /etc/os-release.
func installHint(goos, osRelease string) string {
	switch goos {
	case "darwin":
		return "install it with: brew install php"
	case "freebsd":
		return "install it with: pkg install php83"
	case "openbsd":
		return "install it with: pkg_add php"
	}
	ids, major := distribution(osRelease)
	for _, id := range ids {
		switch id {
		case "debian", "ubuntu":
			return "install it with: apt-get install php-fpm"
		case "alpine":
			return "install it with: apk add php83-fpm"
		case "fedora", "rhel", "centos", "amzn":
			if id == "centos" && major == "7" || id == "amzn" && major == "2" {
				return "install it with: yum install php-fpm"
			}
			return "install it with: dnf install php-fpm"
		case "arch":
			return "install it with: pacman -S php-fpm"
		case "suse", "opensuse", "sles":
			return "install it with: zypper install php8-fpm"
		}
	}
	return "install the package of this system that holds it, most often named php-fpm"
}

// distribution gives the ID of an os-release file followed by those it is
// like, nearest first, and the number before the first dot of its VERSION_ID.
func distribution(osRelease string) (ids []string, major string) {
	values := map[string]string{}
	for line := range strings.Lines(osRelease) {
		key, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found {
			values[key] = strings.Trim(value, `"'`)
		}
	}
	if id := values["ID"]; id != "" {
		ids = append(ids, id)
	}
	ids = append(ids, strings.Fields(values["ID_LIKE"])...)
	major, _, _ = strings.Cut(values["VERSION_ID"], ".")
	return ids, major
}
