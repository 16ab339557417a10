package fastcgi

import "syscall"

// armQuickAck makes the kernel acknowledge what comes next at once. php-fpm
// leaves Nagle's algorithm on, which else costs a kept TCP connection 40 ms
// for each reply of more than one segment. The kernel clears the option by
// itself, so it is set before every read.
func armQuickAck(fd uintptr) {
	// Without it we are slower, not wrong.
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
