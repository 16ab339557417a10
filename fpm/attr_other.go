//go:build !linux && !freebsd

package fpm

import "syscall"

// attributes puts php-fpm in a process group of its own, so that Ctrl-C in a
// terminal does not reach it and all its workers can be signalled together.
// This system can't end php-fpm when this process is killed: it stays.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
