package fpm

import (
	"strings"
	"testing"
)

func TestInstallHint(t *testing.T) {
	for _, test := range []struct{ name, goos, release, want string }{
		{"Debian", "linux", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n", "apt-get install php-fpm"},
		{"Ubuntu", "linux", "ID=ubuntu\nID_LIKE=debian", "apt-get install php-fpm"},
		{"a child of Ubuntu", "linux", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install php-fpm"},
		{"Alpine", "linux", "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.1\n", "apk add php83-fpm"},
		{"Fedora", "linux", "ID=fedora\nVERSION_ID=42\n", "dnf install php-fpm"},
		{"Rocky", "linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n", "dnf install php-fpm"},
		{"CentOS before dnf", "linux", "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n", "yum install php-fpm"},
		{"Amazon's second", "linux", "ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n", "yum install php-fpm"},
		{"Amazon's later ones", "linux", "ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n", "dnf install php-fpm"},
		{"Arch", "linux", "ID=arch\n", "pacman -S php-fpm"},
		{"openSUSE", "linux", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "zypper install php8-fpm"},
		{"one nobody knows", "linux", "ID=plan9\n", "named php-fpm"},
		{"no os-release", "linux", "", "named php-fpm"},
		{"macOS", "darwin", "", "brew install php"},
		{"FreeBSD", "freebsd", "ID=freebsd\n", "pkg install php83"},
		{"OpenBSD", "openbsd", "", "pkg_add php"},
	} {
		got := installHint(test.goos, test.release)
		if !strings.HasSuffix(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: installHint = %q, want …%s", test.name, got, test.want)
		}
	}
}
