//go:build linux || freebsd

package fpm

import "syscall"

// attributes puts php-fpm in a process group of its own, so that Ctrl-C in a
// terminal does not reach it and all its workers can be signalled together.
//
// Should this process be killed, the kernel terminates the master, which takes
// its workers with it. Linux watches the thread that started the master, so
// the supervisor keeps to one thread (prctl(2), PR_SET_PDEATHSIG).
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
